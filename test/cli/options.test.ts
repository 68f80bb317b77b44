import { join } from "node:path";
import { stringify } from "yaml";
import { expect, test } from "vitest";
import { stepList, streamOptions } from "../../src/cli/stream-options.ts";
import { createStream } from "../../src/loader.ts";
import { optionNames } from "../../src/options.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { samples } from "../loader/streams.ts";
import { wrongOptions } from "../loader/wrong-options.ts";
import { run } from "./run.ts";

const flagOf = (name: string): string =>
  `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

test("wrong options in a config file are told as in code", async () => {
  for (const [given, words] of wrongOptions) {
    const folder = temporaryFolder({ "stream.yaml": stringify({ source: samples, ...given }) });
    const error: unknown = await (async () =>
      createStream(streamOptions(undefined, { config: join(folder, "stream.yaml") })))().catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code: "BAD_OPTION" });
    for (const word of words) expect((error as Error).message).toContain(word);
  }
});

test("wrong flags are told as in code", async () => {
  for (const [given, words] of wrongOptions) {
    const entries = Object.entries(given);
    // Lists of maps and templates can't be written as a flag; a text that is no number has words of its own.
    if (entries.some(([name, value]) => !optionNames.includes(name) || typeof value === "object"))
      continue;
    if (entries.some(([, value]) => Number.isNaN(value))) continue;
    const flags = Object.fromEntries(entries.map(([name, value]) => [name, String(value)]));
    const error: unknown = await (async () =>
      createStream(streamOptions([samples], flags)))().catch((thrown: unknown) => thrown);
    if (given["seed"] === "7" || given["entries"] === "rotation" || given["weights"] === 2) {
      await (error as Awaited<ReturnType<typeof createStream>>).close(); // right as a flag
      continue;
    }
    expect(error).toMatchObject({ code: "BAD_OPTION" });
    if (given["window"] === "big")
      expect((error as Error).message).toContain('--window: got "big"');
    else for (const word of words) expect((error as Error).message).toContain(word);
  }
});

test("exit status 2, one message on standard error, nothing on standard output", () => {
  for (const [args, words] of [
    [
      ["digest", samples, "--batch", "0"],
      ["error BAD_OPTION: batch: got 0", "1 to 1048576"],
    ],
    [
      ["digest", samples, "--window", "big"],
      ['--window: got "big"', "number"],
    ],
    [
      ["digest", samples, "--sead", "7"],
      ["unknown option '--sead'", "Did you mean --seed?"],
    ],
    [
      ["digset", samples],
      ["unknown command 'digset'", "digest"],
    ],
    [
      ["digest", samples, "--seed"],
      ["--seed", "argument missing"],
    ],
    [
      ["digest", samples, "--steps", "1..x"],
      ["--steps", '"x"'],
    ],
    [["digest", "--steps", "1"], ["source"]],
    [["digest", "--config", "/nowhere.yaml"], ["/nowhere.yaml"]],
    [["batch", samples, "--step", "1"], ["--out"]],
    [
      ["bench", samples, "--format", "gif"],
      ['"gif"', "raw, jpeg, png"],
    ],
    [
      ["serve", samples, "--token-file", "/nowhere"],
      ["/nowhere", "ENOENT"],
    ],
    [[], ["Usage: ssl-r1"]],
  ] as const) {
    const { status, out, err } = run(args);
    expect({ args, status, out }).toEqual({ args, status: 2, out: "" });
    for (const word of words) expect(err).toContain(word);
    expect(err).not.toMatch(/^\s+at /m);
  }
});

test("with --json errors are JSON; what is not the caller's fault has status 1", () => {
  const { status, out, err } = run(["digest", "/nowhere", "--json"]);
  expect({ status, out }).toEqual({ status: 1, out: "" });
  expect(JSON.parse(err)).toMatchObject({ error: { code: "SOURCE_NOT_FOUND" } });
});

test("every verb's help lists every option of a stream, with its flag", () => {
  for (const verb of ["serve", "batch", "preview", "digest", "bench"]) {
    const { status, out } = run([verb, "--help"]);
    expect(status).toBe(0);
    for (const name of optionNames)
      if (name !== "source") expect(out).toMatch(new RegExp(`^ +${flagOf(name)} <`, "m"));
    expect(out).toMatch(/--config <file>/);
    expect(out).toMatch(/--json/);
  }
  for (const verb of ["inspect", "score"]) expect(run([verb, "--help"]).out).toContain("--json");
});

test("flags go over the config file, and the argument over its source", () => {
  const folder = temporaryFolder({ "stream.yaml": "source: elsewhere\nseed: 3\nbatch: 8\n" });
  const config = join(folder, "stream.yaml");
  expect(streamOptions(undefined, { config })).toEqual({ source: "elsewhere", seed: 3, batch: 8 });
  expect(
    streamOptions(["here"], { config, seed: "4", entries: "rotation, ordering:2x2*2" }),
  ).toEqual({
    source: "here",
    seed: 4,
    batch: 8,
    entries: ["rotation", "ordering:2x2*2"],
  });
  for (const text of ["- a list\n", "just text", "a: [1\n", ""]) {
    const bad = join(temporaryFolder({ "bad.yaml": text }), "bad.yaml");
    expect(() => streamOptions(["here"], { config: bad })).toThrow("bad.yaml");
  }
});

test("lists of steps", () => {
  expect(stepList("4")).toEqual([4]);
  expect(stepList("0..3,7, 2..1")).toEqual([0, 1, 2, 3, 7, 2, 1]);
  for (const text of [
    "",
    "1..",
    "..1",
    "-1",
    "1..2..3",
    "1.5",
    "0..99999999",
    "a",
    "9007199254740993",
  ])
    expect(() => stepList(text)).toThrow("--steps");
});
