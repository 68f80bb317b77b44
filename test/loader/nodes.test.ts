import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, onTestFinished, test } from "vitest";
import { batchDigest } from "../../src/digest.ts";
import { createStream, type Stream } from "../../src/loader.ts";
import type { Puzzle } from "../../src/model.ts";
import type { StreamOptions } from "../../src/options.ts";
import { createDeal } from "../../src/plan/deal.ts";
import { partitionsOf } from "../../src/plan/nodes.ts";
import { fromBytes } from "../../src/shards/bytes.ts";
import { members } from "../../src/shards/tar.ts";
import { noise, temporaryFolder } from "../fixtures/files.ts";
import { entry, tarOf } from "../fixtures/tar.ts";
import { samples } from "./streams.ts";

/** The photos of the sample shards, encoded. */
const photos: Uint8Array[] = [];
for (const name of ["photos-000000.tar", "photos-000001.tar"]) {
  const tar = readFileSync(join(samples, name));
  for await (const { name: path, size, offset } of members(fromBytes(tar, name), name))
    if (path.endsWith(".jpg")) photos.push(tar.subarray(offset, offset + size));
}

const nameOf = (shard: number): string => `${String(shard).padStart(3, "0")}.tar`;

/** The photos in so many tars, photo p in tar p mod count. */
function tarsOf(count: number, each = Math.floor(photos.length / count)): Uint8Array[] {
  return Array.from({ length: count }, (_, shard) =>
    tarOf(
      Array.from({ length: each }, (_, at) => {
        const photo = (shard + at * count) % photos.length;
        return entry(`p${photo}-${at}.jpg`, photos[photo]);
      }),
    ),
  );
}

function folderOf(tars: readonly Uint8Array[]): string {
  return temporaryFolder(Object.fromEntries(tars.map((tar, shard) => [nameOf(shard), tar])));
}

/** Such as must be read from beginning to end. */
function packedFolder(tars: readonly Uint8Array[]): string {
  const packed = tars.map((tar) => gzipSync(tar, { level: 1 }));
  return temporaryFolder(
    Object.fromEntries(packed.map((data, shard) => [`${nameOf(shard)}.gz`, data])),
  );
}

const BATCH = 32;
const PARTITIONS = 4;
const SEED = 7;
const plain = {
  batch: BATCH,
  partitions: PARTITIONS,
  seed: SEED,
  deal: "shards",
  entries: ["rotation"],
  maxPixels: 40_000,
  workers: 1,
} as const;

async function open(options: Partial<StreamOptions> & Pick<StreamOptions, "source">) {
  const stream = await createStream({ ...plain, ...options });
  onTestFinished(() => stream.close());
  return stream;
}

const slotsOf = (partition: number): number[] =>
  Array.from({ length: BATCH / PARTITIONS }, (_, at) => partition * (BATCH / PARTITIONS) + at);

/** Names of shards that hold rows of the partitions, by the rules of docs/determinism.md. */
function shardsOf(partitions: readonly number[], shards: number): Set<string> {
  const shape = { first: 0, shards, deal: "shards", own: [] } as const;
  const deal = createDeal(SEED, shape, PARTITIONS);
  const all = Array.from({ length: shards }, (_, shard) => shard);
  const held = all.filter((shard) =>
    partitions.some((partition) => deal.place(partition, shard) !== undefined),
  );
  return new Set(held.map(nameOf));
}

/** Tars are counted by opening them and in no other way. */
const counted = (stream: Stream): Set<string> =>
  new Set(stream.counts().shards.map(({ name }) => name));

async function digests(stream: Stream, steps: readonly number[]): Promise<string[]> {
  const found: string[] = [];
  for await (const batch of stream.batches({ steps })) found.push(batchDigest(batch));
  return found;
}

/** Batches put together from loaders that are each asked for the slots of their own partitions. */
async function assembled(loaders: readonly Stream[], steps: readonly number[]): Promise<string[]> {
  const found: string[] = [];
  for (const step of steps) {
    const puzzles: Puzzle[] = [];
    for (const loader of loaders) {
      const slots = loader.near!.flatMap(slotsOf);
      if (slots.length > 0) puzzles.push(...(await loader.get(step, slots)).puzzles);
    }
    expect(puzzles.map(({ slot }) => slot)).toEqual(Array.from({ length: BATCH }, (_, at) => at));
    found.push(batchDigest({ step, puzzles, failed: [] }));
  }
  return found;
}

/** In the first epoch, and in later ones. */
const steps = [0, 5, 123_456];

for (const [shards, counts] of [
  [12, [1, 2, 3, 4, 6]],
  [14, [3, 6]],
] as const)
  test(`${shards} tars dealt whole: ${counts.join(", ")} nodes open those of their partitions and give the same batches`, async () => {
    const source = folderOf(tarsOf(shards));
    const alone = await open({ source });
    const expected = await digests(alone, steps);
    /** Shards that are left over when all partitions have as many; these are shared. */
    const shared = shards % PARTITIONS;
    for (const count of counts) {
      const loaders: Stream[] = [];
      for (let index = 0; index < count; index++)
        loaders.push(await open({ source, node: `${index}/${count}` }));
      expect(await assembled(loaders, steps)).toEqual(expected);
      const sets = loaders.map(counted);
      for (const [index, loader] of loaders.entries()) {
        const near = partitionsOf(index, count, PARTITIONS);
        expect(loader.near).toEqual(near);
        expect(sets[index]).toEqual(shardsOf(near, shards));
        expect(loader.statistics.shardsOpened()).toBe(sets[index]!.size);
        expect(loader.info().fingerprint).toBe(alone.info().fingerprint);
      }
      const working = Math.min(count, PARTITIONS);
      const sum = sets.reduce((all, set) => all + set.size, 0);
      expect(sum).toBe(shards + shared * (working - 1));
      expect(new Set(sets.flatMap((set) => [...set])).size).toBe(shards);
    }
  });

test("what the puzzles of a partition show lies in its shards, and in all of them", async () => {
  const source = folderOf(tarsOf(12));
  // strangers for similarity are of the same window
  const entries = ["rotation", "similarity"];
  const loader = await open({ source, entries, node: { index: 1, count: 3 } });
  const shown = new Set<unknown>();
  // 15 rows, four slots of an entry a step: two epochs
  for (let step = 0; step < 8; step++)
    for (const { recipe } of (await loader.get(step, slotsOf(2))).puzzles)
      shown.add(recipe["shard"]);
  expect(loader.near).toEqual([2]);
  expect(shown).toEqual(shardsOf([2], 12));
  expect(loader.statistics.shardsOpened()).toBe(shown.size);
});

test("shards of other nodes may be damaged: they are not looked at", async () => {
  const source = folderOf(tarsOf(12));
  const whole = await open({ source });
  const own = shardsOf(partitionsOf(0, 2, PARTITIONS), 12);
  for (let shard = 0; shard < 12; shard++)
    if (!own.has(nameOf(shard))) {
      const path = join(source, nameOf(shard));
      const { size } = statSync(path);
      rmSync(path); // the whole loader has it open
      writeFileSync(path, noise(size, shard));
    }
  const half = await open({ source, node: "0/2" });
  for (const step of steps) {
    const slots = half.near!.flatMap(slotsOf);
    const [mine, theirs] = [await half.get(step, slots), await whole.get(step, slots)];
    expect(batchDigest(mine)).toBe(batchDigest(theirs));
  }
  await expect(half.get(0, slotsOf(3))).rejects.toMatchObject({ code: "SHARD_CORRUPT" });
});

test("a loader answers for partitions of others, too, and opens their shards then", async () => {
  const source = folderOf(tarsOf(12));
  const expected = await digests(await open({ source }), steps);
  const spare = await open({ source, node: "4/5" });
  expect(spare.near).toEqual([]);
  expect([spare.statistics.shardsOpened(), spare.info().samples]).toEqual([0, 0]);
  await spare.get(0, slotsOf(1));
  for (const name of counted(spare)) expect(shardsOf([1], 12)).toContain(name);
  expect(await digests(spare, steps)).toEqual(expected);
  const first = await open({ source, node: "0/3" });
  expect(await digests(first, steps)).toEqual(expected);
  expect(counted(first).size).toBe(12);
});

test("dealt by rows, every node needs every shard", async () => {
  const source = folderOf(tarsOf(12));
  const rows = { source, deal: "rows" } as const;
  const expected = await digests(await open(rows), steps);
  const loaders = [await open({ ...rows, node: "0/2" }), await open({ ...rows, node: "1/2" })];
  expect(await assembled(loaders, steps)).toEqual(expected);
  expect(loaders.map(({ statistics }) => statistics.shardsOpened())).toEqual([12, 12]);
});

test("with passes all counts are needed, whatever the node, and may be given", async () => {
  const source = folderOf(tarsOf(12));
  const passes = { source, passes: 2 } as const;
  const whole = await open(passes);
  const { steps: length } = whole.info();
  const node = await open({ ...passes, node: "1/4" });
  expect([node.info().steps, node.statistics.shardsOpened()]).toEqual([length, 12]);
  const told = await open({ ...passes, node: "1/4", counts: whole.counts() });
  expect([told.info().steps, told.statistics.shardsOpened()]).toEqual([length, 0]);
  for (const step of [0, length! - 1])
    expect(batchDigest(await told.get(step, slotsOf(1)))).toBe(
      batchDigest(await whole.get(step, slotsOf(1))),
    );
  for (const name of counted(told)) expect(counted(whole)).toContain(name);
  expect(told.statistics.shardsOpened()).toBe(shardsOf([1], 12).size);
});

test("many shards are counted as the stream comes to them, a node's among its own", async () => {
  const shards = 280;
  const source = folderOf(tarsOf(shards, 1));
  const small = { source, window: 32 } as const;
  const expected = await digests(await open(small), [0, 1]);
  const loaders = [await open({ ...small, node: "0/2" }), await open({ ...small, node: "1/2" })];
  expect(loaders.map(({ statistics }) => statistics.shardsOpened())).toEqual([0, 0]);
  expect(await assembled(loaders, [0, 1])).toEqual(expected);
  for (const loader of loaders) {
    const own = shardsOf(loader.near!, shards);
    for (const name of counted(loader)) expect(own).toContain(name);
    const opened = loader.statistics.shardsOpened();
    expect(opened).toBeGreaterThanOrEqual(2 * 4);
    expect(opened).toBeLessThan(own.size / 2);
  }
  // far away all its own have to be counted, and no others
  await loaders[1]!.get(123_456, slotsOf(3));
  for (const name of counted(loaders[1]!))
    expect(shardsOf(loaders[1]!.near!, shards)).toContain(name);
});

test("several sources, each dealt by itself", async () => {
  const source = [folderOf(tarsOf(12)), folderOf(tarsOf(8))];
  const expected = await digests(await open({ source, weights: [2, 1] }), steps);
  const loaders: Stream[] = [];
  for (const node of ["0/3", "1/3", "2/3"])
    loaders.push(await open({ source, weights: [2, 1], node }));
  expect(await assembled(loaders, steps)).toEqual(expected);
  // of 3 + 2 shards a partition
  expect(loaders.map(({ statistics }) => statistics.shardsOpened())).toEqual([10, 5, 5]);
});

test("too few images: the same answer as of a plain loader", async () => {
  const source = folderOf(tarsOf(8, 1));
  const refusal = async (node?: string): Promise<unknown> =>
    createStream({ ...plain, source, ...(node !== undefined && { node }) }).then(
      () => undefined,
      ({ code, message }: { code: string; message: string }) => ({ code, message }),
    );
  const expected = await refusal();
  expect(expected).toMatchObject({ code: "TOO_FEW_ROWS" });
  for (const node of ["0/1", "0/2", "3/4"]) expect(await refusal(node)).toEqual(expected);
});

test("packed tars: fetched ahead and kept, but only its own", async () => {
  const source = packedFolder(tarsOf(12));
  const windows = { source, window: 8, prefetch: 3 } as const;
  const order = [0, 1, 2, 3, 4];
  const expected = await digests(await open({ ...windows, cache: temporaryFolder() }), order);
  const loaders: Stream[] = [];
  for (const node of ["0/3", "1/3", "2/3"])
    loaders.push(await open({ ...windows, node, cache: temporaryFolder() }));
  expect(await assembled(loaders, order)).toEqual(expected);
  expect(loaders.map(({ statistics }) => statistics.shardsOpened())).toEqual([6, 3, 3]);
});

test("in memory, the windows that must fit are those of its partitions", async () => {
  const source = packedFolder(tarsOf(12));
  const size = Array.from({ length: 12 }, (_, shard) => shard)
    .map((shard) => statSync(join(source, `${nameOf(shard)}.gz`)).size)
    .reduce((sum, one) => sum + one, 0);
  // the first shards of four partitions are too much, the three of one are not
  const memory = { source, cache: "none", memoryLimit: Math.round((size / 12) * 3.7) } as const;
  await expect(createStream({ ...plain, ...memory })).rejects.toMatchObject({ code: "LIMIT" });
  const loader = await open({ ...memory, node: "1/4" });
  for (let step = 0; step < 6; step++)
    expect((await loader.get(step, slotsOf(1))).puzzles).toHaveLength(8);
});

test("on a server: a node fetches its own shards and no others", async () => {
  const tars = tarsOf(12);
  const fetched = new Set<string>();
  const server = createServer(({ method, url = "" }, answer) => {
    const tar = tars[Number(/(\d+)\.tar$/.exec(url)?.[1])]!;
    if (method === "GET") fetched.add(url.slice(1));
    answer.writeHead(200, { "content-length": tar.length });
    answer.end(method === "GET" ? tar : undefined);
  }).listen(0, "127.0.0.1");
  onTestFinished(() => server.close().closeAllConnections());
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  const source = `http://127.0.0.1:${port}/{000..011}.tar`;
  const expected = await digests(await open({ source: folderOf(tars) }), [0, 1, 2, 3, 4]);
  const sets: string[][] = [];
  const loaders: Stream[] = [];
  for (const node of ["0/3", "1/3", "2/3"])
    loaders.push(await open({ source, node, cache: "none" }));
  expect(fetched.size).toBe(0);
  for (const loader of loaders) {
    fetched.clear();
    for (let step = 0; step < 5; step++) await loader.get(step, loader.near!.flatMap(slotsOf));
    expect(fetched).toEqual(shardsOf(loader.near!, 12));
    expect(loader.statistics.shardsOpened()).toBe(fetched.size);
    sets.push([...fetched]);
  }
  expect(new Set(sets.flat()).size).toBe(sets.flat().length);
  expect(await assembled(loaders, [0, 1, 2, 3, 4])).toEqual(expected);
});
