import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { FLAGS_AT, MAX_SLABS } from "../../src/workers/messages.ts";
import { open, take } from "./streams.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;
const MIB = 2 ** 20;

const usedSlabs = (memory: ArrayBufferLike): number =>
  new Int32Array(memory, FLAGS_AT, MAX_SLABS).filter((flag) => flag !== 0).length;

const endless = function* (): Generator<{ step: number }> {
  for (let step = 0; ; step++) yield { step };
};

test("three hundred batches leave nothing behind", async () => {
  const entries = ["rotation", "ordering:2x2", "correspondence"];
  const stream = await open({ seed: 9, batch: 3, entries, preset: "paper" });
  const alive = new AbortController();
  let memory: ArrayBufferLike | undefined;
  let atHundred = 0;
  let mostSlabs = 0;
  let step = 0;
  for await (const cell of stream.cells(endless(), { signal: alive.signal })) {
    const { buffer } = cell.puzzles[0]!.images[0]!.data;
    memory = buffer;
    mostSlabs = Math.max(mostSlabs, usedSlabs(buffer));
    cell.release();
    if (++step === 100) {
      collectGarbage();
      atHundred = process.memoryUsage().heapUsed;
    }
    if (step === 300) break;
  }
  collectGarbage();
  const grown = process.memoryUsage().heapUsed - atHundred;
  expect(grown).toBeLessThan(4 * MIB);
  await stream.get(0, [0]);
  expect(usedSlabs(memory!)).toBe(0);
  // Cells of one slab each: two a thread and two are made ahead, and one is being read.
  expect(mostSlabs).toBeLessThanOrEqual(1 * 2 + 2 + 1);
  // Far from any limit on purpose: it is there to catch what grows with every batch.
  expect(process.memoryUsage().rss).toBeLessThan(1_500 * MIB);
});

test("consumers that do not read hold a few cells each, and others go on", async () => {
  const stream = await open({ seed: 9, batch: 8, partitions: 1, entries: ["rotation"] });
  const stalled = await Promise.all(
    Array.from({ length: 6 }, async () => {
      const cells = stream.cells(endless())[Symbol.asyncIterator]();
      const first = await cells.next();
      return { cells, first: first.value! };
    }),
  );
  const { buffer } = stalled[0]!.first.puzzles[0]!.images[0]!.data;
  const batches = await take(stream, 3);
  expect(batches).toHaveLength(3);
  // 4 cells ahead over all of them, at least one each, and the one each of them holds.
  expect(usedSlabs(buffer)).toBeLessThanOrEqual(6 + 6 + 4);
  for (const { cells, first } of stalled) {
    first.release();
    await cells.return?.();
  }
  await stream.get(0, [0]);
  expect(usedSlabs(buffer)).toBe(0);
});

test("a consumer that never releases is told which limit it met, and may go on when it has released", async () => {
  const stream = await open({
    seed: 9,
    batch: 1,
    entries: ["ordering:2x2"],
    // The largest images there can be make the largest slabs, so that few of them fit.
    maxPixels: 2_097_152,
  });
  const held: { release(): void }[] = [];
  await expect(async () => {
    for await (const cell of stream.cells(endless())) held.push(cell);
  }).rejects.toMatchObject({
    code: "LIMIT",
    message: expect.stringMatching(/all \d+ slabs/) as string,
  });
  expect(held.length).toBeGreaterThan(50);
  for (const cell of held) cell.release();
  expect((await stream.get(0)).puzzles).toHaveLength(1);
});
