import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { batchDigest } from "../../src/digest.ts";
import type { ResolvedOptions } from "../../src/options.ts";
import { open, samples, take } from "./streams.ts";

const golden = JSON.parse(readFileSync(new URL("golden.json", import.meta.url), "utf8")) as {
  readonly streams: readonly (Pick<ResolvedOptions, "preset" | "order"> & {
    readonly fingerprint: string;
    readonly digests: readonly string[];
  })[];
};

test("both presets and both orders have golden digests", () => {
  const covered = golden.streams.map(({ preset, order }) => `${preset} ${order}`);
  expect(covered).toEqual([
    "robust independent",
    "robust shared",
    "paper independent",
    "paper shared",
  ]);
});

for (const { preset, order, fingerprint, digests } of golden.streams)
  test(`${preset}, ${order}: the bits of the first release`, async () => {
    const stream = await open({ seed: 7, batch: 40, preset, order, workers: 2 });
    const batches = await take(stream, digests.length);
    expect(batches.map(batchDigest)).toEqual(digests);
    expect(stream.info().fingerprint).toBe(fingerprint);
  });

describe("the same bits from every compiler of the engine", () => {
  const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
  const digest = (...flags: string[]): string =>
    execFileSync(
      process.execPath,
      [
        ...flags,
        main,
        "digest",
        samples,
        "--seed",
        "7",
        "--batch",
        "40",
        "--steps",
        "1",
        "--workers",
        "2",
      ],
      { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] },
    );
  const expected = golden.streams[0]!.digests[1];

  for (const flags of [
    ["--liftoff-only"], // WebAssembly's quick compiler alone
    ["--no-liftoff"], // its optimising one alone
    ["--no-opt", "--no-maglev"], // JavaScript never optimised
    ["--always-sparkplug", "--always-turbofan"],
  ])
    test(flags.join(" "), () => {
      expect(digest(...flags)).toBe(`1 ${expected}\n`);
    });
});
