import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { asStreamError, errorCodes, StreamError } from "../src/errors.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const page = readFileSync(join(root, "docs/errors.md"), "utf8");
const sections = page.split(/^## /m).slice(1);

const textOf = (folder: string, extension: string): string =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(extension) && name !== "errors.ts")
    .map((name) => readFileSync(join(root, folder, name), "utf8"))
    .join("\n");

test("the page has a section for each code, in the same order, and no other", () => {
  expect(sections.map((text) => text.split("\n", 1)[0])).toEqual([...errorCodes]);
});

test("each section says what it means and what to do", () => {
  for (const section of sections) {
    const lines = section.trim().split("\n").slice(1);
    expect(lines.length, section).toBeGreaterThanOrEqual(2);
    for (const line of lines) expect(line).toMatch(/[.:;,\w]$/);
  }
});

test("every code is used, and every code that is used is one", () => {
  const code = textOf("src", ".ts");
  for (const name of errorCodes) expect(code, name).toContain(`"${name}"`);
  const thrown = [...code.matchAll(/new StreamError\(\s*"(\w+)"/g)].map(([, name]) => name!);
  expect(thrown.length).toBeGreaterThan(50);
  expect(thrown.filter((name) => !(errorCodes as readonly string[]).includes(name))).toEqual([]);
});

test("Python knows no code that is not in the set", () => {
  const python = readFileSync(join(root, "python/ssl_r1/errors.py"), "utf8");
  const known = [...python.matchAll(/"([A-Z]+(?:_[A-Z]+)*)"/g)].map(([, name]) => name!);
  expect(known.length).toBeGreaterThan(5);
  expect(known.filter((name) => !(errorCodes as readonly string[]).includes(name))).toEqual([]);
});

test("what the page says of options, limits and files is so", () => {
  const code = textOf("src", ".ts");
  for (const [, option] of page.matchAll(/`(maxSkipShare|maxPixels|maxInputPixels|partitions)`/g))
    expect(code).toContain(`${option}:`);
  for (const flag of ["--insecure", "--token-file"]) expect(code).toContain(flag);
});

test("an error has a code, a context and perhaps a cause; others are wrapped", () => {
  const plain = new StreamError("ABORTED", "given up");
  expect(plain).toMatchObject({ name: "StreamError", code: "ABORTED", context: {} });
  expect("cause" in plain).toBe(false);
  const cause = new Error("because");
  expect(new StreamError("LIMIT", "full", { cause, context: { shard: "a" } })).toMatchObject({
    cause,
    context: { shard: "a" },
  });
  expect(asStreamError(plain)).toBe(plain);
  expect(asStreamError(cause)).toMatchObject({ code: "INTERNAL", message: "because", cause });
  expect(asStreamError("text", "BAD_FRAME")).toMatchObject({ code: "BAD_FRAME", message: "text" });
});
