import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { root } from "../fixtures/serve.ts";
import { chanceOf } from "./chance.ts";
import { scenarios } from "./scenarios.ts";

test("the short form of npm run chaos: faults of every kind, and the same batches", async () => {
  const run = fileURLToPath(new URL("run.ts", import.meta.url));
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [run, "--json"], {
    cwd: root,
  });
  expect(stderr).toBe("");
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { scenario: string; faults: object; batches: number });
  expect(new Set(lines.map(({ scenario }) => scenario))).toEqual(
    new Set(scenarios.map(({ name }) => name)),
  );
  for (const { faults, batches } of lines) {
    expect(Object.keys(faults).length).toBeGreaterThan(0);
    expect(batches).toBeGreaterThan(0);
  }
}, 240_000);

test("chance follows from its words", () => {
  const drawn = (...words: string[]): number[] => {
    const chance = chanceOf(...words);
    return Array.from({ length: 1000 }, () => chance.between(1, 6));
  };
  expect(drawn("a", "b")).toEqual(drawn("a", "b"));
  expect(drawn("a", "b")).not.toEqual(drawn("a", "c"));
  for (const face of [1, 2, 3, 4, 5, 6])
    expect(drawn("a").filter((one) => one === face).length).toBeGreaterThan(100);
});
