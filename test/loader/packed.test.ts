import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import sharp from "sharp";
import { expect, test } from "vitest";
import { batchDigest } from "../../src/digest.ts";
import { createStream } from "../../src/loader.ts";
import type { StreamOptions } from "../../src/options.ts";
import { noise } from "../cache/feeds.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { entry, tarOf } from "../fixtures/tar.ts";
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

test("memory that is too small for the windows is told with figures before anything is read, as far as counts tell which shards they span", async () => {
  const source = gzipped();
  const sizes = readdirSync(source).map((name) => statSync(join(source, name)).size);
  const largest = Math.max(...sizes);
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  const options = { source, cache: "none", batch: 40, partitions: 8, deal: "rows" } as const;
  const refusal = (shards: number, bytes: number, limit: number): object => ({
    code: "LIMIT",
    message: expect.stringContaining(
      `${shards} shards of ${bytes} bytes together, and memoryLimit is ${limit} bytes`,
    ) as string,
    context: { step: 0, shards, bytes, limit },
  });
  await expect(createStream({ ...options, memoryLimit: 1 << 20 })).rejects.toMatchObject(
    refusal(1, largest, 1 << 20),
  );
  const counting = await createStream({ ...options, memoryLimit: 2 * bytes, passes: 1 });
  const counts = counting.counts();
  await counting.close();
  await expect(createStream({ ...options, counts, memoryLimit: bytes - 1 })).rejects.toMatchObject(
    refusal(2, bytes, bytes - 1),
  );
  await (await createStream({ ...options, memoryLimit: bytes })).close();
  await (await createStream({ ...options, cache: temporaryFolder(), memoryLimit: 2e6 })).close();
  await (await createStream({ ...options, source: samples, memoryLimit: 2e6 })).close();
});

test("memory that runs out is told with figures", async () => {
  // zeros behind each photo pack to nothing: the shard's size does not tell
  const long = await sharp(noise(320 * 240 * 3, 1), {
    raw: { width: 320, height: 240, channels: 3 },
  })
    .jpeg()
    .toBuffer()
    .then((photo) => Buffer.concat([photo, Buffer.alloc(400_000)]));
  const tar = tarOf(Array.from({ length: 4 }, (_, at) => entry(`${at}.jpg`, long)));
  const source = temporaryFolder({ "a.tar.gz": gzipSync(tar) });
  const options = { source, cache: "none", memoryLimit: "1MiB", batch: 8 };
  await expect(digests(options, [0])).rejects.toMatchObject({
    code: "LIMIT",
    message: expect.stringMatching(
      /no room for a row of \d+ bytes: the limit is 1048576 bytes/,
    ) as string,
  });
});
