import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { chanceOf } from "../chaos/chance.ts";
import { testPython } from "../fixtures/serve.ts";
import { doors } from "./doors.ts";
import { fuzz, type Door } from "./loop.ts";
import { mutate } from "./mutate.ts";

afterAll(async () => {
  for (const door of doors) await door.close?.();
});

test.each(doors)(
  "$name: whatever comes is taken or refused, soon and in little memory",
  async (door) => {
    const { findings, runs } = await fuzz(door, { seed: "suite", milliseconds: 1_500 });
    expect(findings.map(({ reason }) => reason)).toEqual([]);
    expect(runs).toBeGreaterThan(door.seeds().length);
  },
);

test("the Python parsers likewise", async () => {
  const script = fileURLToPath(new URL("fuzz.py", import.meta.url));
  const { stdout } = await promisify(execFile)(testPython(), [script, "suite", "3"]);
  expect(stdout).toMatch(/^python wire .*: 0 findings\npython rewards .*: 0 findings\n$/);
});

/** A door with a hole that only one word opens. */
const holed: Door = {
  name: "holed",
  most: 20,
  seeds: () => [Buffer.from("xxxx")],
  words: ["open"],
  take(input) {
    if (Buffer.from(input).includes("open")) throw new TypeError("inside");
  },
};

test("a hole is found, and by the same seed again", async () => {
  const found = async (seed: string): Promise<readonly string[]> => {
    const { findings } = await fuzz(holed, { seed, milliseconds: 60_000, runs: 5_000 });
    return findings.map(({ input }) => Buffer.from(input).toString());
  };
  const first = await found("1");
  expect(first.length).toBeGreaterThanOrEqual(10);
  expect(await found("1")).toEqual(first);
  expect(await found("2")).not.toEqual(first);
});

test("inputs are no longer than a door wants them, and the input itself stays as it was", () => {
  const input = Buffer.alloc(100, 7);
  const chance = chanceOf("mutate");
  for (let i = 0; i < 2_000; i++)
    expect(mutate(input, [input], chance, { most: 120 }).length).toBeLessThanOrEqual(120);
  expect(input.equals(Buffer.alloc(100, 7))).toBe(true);
});
