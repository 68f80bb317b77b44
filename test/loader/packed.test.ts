import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { batchDigest } from "../../src/digest.ts";
import { createStream } from "../../src/loader.ts";
import type { StreamOptions } from "../../src/options.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { samples } from "./streams.ts";

const tars = ["photos-000000.tar", "photos-000001.tar"].map((name) =>
  readFileSync(join(samples, name)),
);
const folderOf = (extension: string, pack: (tar: Buffer) => Buffer): string =>
  temporaryFolder(Object.fromEntries(tars.map((tar, at) => [`${at}.tar.${extension}`, pack(tar)])));
const gzipped = (): string => folderOf("gz", gzipSync);

async function digests(options: StreamOptions, steps: readonly number[]): Promise<string[]> {
  const stream = await createStream({ seed: 5, batch: 8, workers: 2, ...options });
  try {
    const found: string[] = [];
    for await (const batch of stream.batches({ steps })) found.push(batchDigest(batch));
    return found;
  } finally {
    await stream.close();
  }
}

const steps = [0, 1, 123_456, 2];

for (const [form, pack] of Object.entries({ gz: gzipSync, zst: zstdCompressSync }))
  test(`packed tars (${form}) on this machine are the stream of the tars, also after a jump: on disk and in memory`, async () => {
    const source = folderOf(form, pack);
    const plain = await digests({ source: samples }, steps);
    const cache = temporaryFolder();
    expect(await digests({ source, cache }, steps)).toEqual(plain);
    expect(await digests({ source, cache }, steps)).toEqual(plain);
    expect(await digests({ source, cache: "none" }, steps)).toEqual(plain);
    expect(await digests({ source, cache, prefetch: 0, workers: 1 }, steps.toReversed())).toEqual(
      plain.toReversed(),
    );
  });

test("passes over packed tars", async () => {
  const passes = { passes: 1, batch: 20, partitions: 1 };
  const last = [3, 0];
  expect(await digests({ source: gzipped(), cache: "none", ...passes }, last)).toEqual(
    await digests({ source: samples, ...passes }, last),
  );
});

test("a mix of forms: its own order for each source, shares as weighted, the same with counts from elsewhere", async () => {
  const [one, other] = ["photos-000000.tar", "photos-000001.tar"].map((name) =>
    join(samples, name),
  );
  const weights = [3, 1];
  const plain = await digests({ source: [one!, other!], weights }, steps);
  const packed = await digests(
    { source: [one!, join(gzipped(), "1.tar.gz")], weights, cache: "none" },
    steps,
  );
  expect(packed).toEqual(plain);
  expect(await digests({ source: [other!, one!], weights }, steps)).not.toEqual(plain);
  const stream = await createStream({
    source: [one!, other!],
    weights,
    seed: 5,
    batch: 8,
    workers: 1,
  });
  const { puzzles } = await stream.get(7);
  await stream.close();
  const from = puzzles.filter(({ recipe }) => recipe["shard"] === "1:photos-000000.tar");
  expect(from).toHaveLength(6);
});

test("memory that is too small for the shards in use is told with figures", async () => {
  const options = { source: gzipped(), cache: "none", memoryLimit: "1MiB", batch: 40 };
  await expect(digests(options, [0, 1, 2, 3, 4])).rejects.toMatchObject({
    code: "LIMIT",
    message: expect.stringMatching(/\d{6,} .*1048576|1048576.*\d{6,}/) as string,
  });
});
