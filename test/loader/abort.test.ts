import { execFileSync } from "node:child_process";
import { getEventListeners } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { Stream } from "../../src/loader.ts";
import type { Cell } from "../../src/model.ts";
import { FLAGS_AT, MAX_SLABS } from "../../src/workers/messages.ts";
import { open, samples, take } from "./streams.ts";

const options = { seed: 31, batch: 16, partitions: 2, workers: 1 } as const;

/** Memory of the one worker of a stream; images of a cell are views of it. */
async function memoryOf(stream: Stream): Promise<ArrayBufferLike> {
  const [cell] = await take(stream.cells([{ step: 0, slots: [0] }]), 1);
  const { buffer } = cell!.puzzles[0]!.images[0]!.data;
  cell!.release();
  return buffer;
}

/** Slabs that the main thread has not given back, once everything that was asked of the worker before is done: it works in order. */
async function slabsInUse(stream: Stream, memory: ArrayBufferLike): Promise<number> {
  await stream.get(0, [0]);
  return new Int32Array(memory, FLAGS_AT, MAX_SLABS).filter((flag) => flag !== 0).length;
}

const endless = function* (): Generator<{ step: number }> {
  for (let step = 0; ; step++) yield { step };
};

test("a cell holds slabs until it is released", async () => {
  const stream = await open(options);
  const memory = await memoryOf(stream);
  const cells = await take(stream.cells(endless()), 3);
  expect(await slabsInUse(stream, memory)).toBeGreaterThanOrEqual(3);
  for (const cell of cells) cell.release();
  for (const cell of cells) cell.release();
  expect(await slabsInUse(stream, memory)).toBe(0);
});

test("an abort while the first cell is waited for ends the wait and keeps nothing", async () => {
  const stream = await open(options);
  const memory = await memoryOf(stream);
  const gone = new AbortController();
  const waiting = stream.cells(endless(), { signal: gone.signal })[Symbol.asyncIterator]().next();
  await Promise.resolve();
  gone.abort(new Error("enough"));
  await expect(waiting).rejects.toMatchObject({ code: "ABORTED", cause: { message: "enough" } });
  expect(await slabsInUse(stream, memory)).toBe(0);
});

test("an abort between two cells", async () => {
  const stream = await open(options);
  const memory = await memoryOf(stream);
  const gone = new AbortController();
  const cells: Cell[] = [];
  await expect(async () => {
    for await (const cell of stream.cells(endless(), { signal: gone.signal })) {
      cells.push(cell);
      if (cells.length === 2) gone.abort();
    }
  }).rejects.toMatchObject({ code: "ABORTED" });
  for (const cell of cells) cell.release();
  expect(await slabsInUse(stream, memory)).toBe(0);
});

test("a signal that was aborted before: no work at all", async () => {
  const stream = await open(options);
  const made = stream.statistics.puzzles();
  await expect(stream.get(0, undefined, { signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: "ABORTED",
  });
  await expect(
    take(stream.cells([{ step: 0 }], { signal: AbortSignal.abort() }), 1),
  ).rejects.toMatchObject({
    code: "ABORTED",
  });
  expect(stream.statistics.puzzles()).toEqual(made);
});

test("a consumer that breaks off, throws, or never begins", async () => {
  const stream = await open(options);
  const memory = await memoryOf(stream);
  for await (const cell of stream.cells(endless())) {
    cell.release();
    break;
  }
  for await (const { puzzles } of stream) {
    expect(puzzles).toHaveLength(16);
    break;
  }
  await expect(async () => {
    for await (const cell of stream.cells(endless())) {
      cell.release();
      throw new Error("downstream");
    }
  }).rejects.toThrow("downstream");
  let asked = 0;
  const requests = function* (): Generator<{ step: number }> {
    for (;;) yield { step: asked++ };
  };
  const idle = stream.cells(requests())[Symbol.asyncIterator]();
  await idle.return?.();
  expect(asked).toBe(0);
  expect(await slabsInUse(stream, memory)).toBe(0);
});

test("the requests are told that nobody asks any more", async () => {
  const stream = await open(options);
  let ended = 0;
  const requests = function* (): Generator<{ step: number }> {
    try {
      for (let step = 0; ; step++) yield { step };
    } finally {
      ended++;
    }
  };
  for await (const cell of stream.cells(requests())) {
    cell.release();
    break;
  }
  expect(ended).toBe(1);
});

test("a wrong request comes after the batches before it", async () => {
  const stream = await open(options);
  const steps: number[] = [];
  await expect(async () => {
    for await (const { step } of stream.batches({ steps: [3, 1, -1, 2] })) steps.push(step);
  }).rejects.toMatchObject({ code: "STEP_OUT_OF_RANGE" });
  expect(steps).toEqual([3, 1]);
});

test("a long-lived signal keeps no listeners", async () => {
  const stream = await open(options);
  const alive = new AbortController();
  for (let times = 0; times < 3; times++) {
    await stream.get(times, [times], { signal: alive.signal });
    for await (const cell of stream.cells(endless(), { signal: alive.signal })) {
      cell.release();
      break;
    }
  }
  expect(getEventListeners(alive.signal, "abort")).toEqual([]);
});

test("work that was given up does not pile up before the next request", async () => {
  const stream = await open(options);
  const memory = await memoryOf(stream);
  const before = Object.values(stream.statistics.puzzles()).reduce((sum, count) => sum + count, 0);
  // Each would be 16 cells; all are given up at once.
  const given = Array.from({ length: 40 }, async (_, times) => {
    const gone = new AbortController();
    const work = take(stream.batches({ from: times * 8, signal: gone.signal }), 8);
    setImmediate(() => gone.abort());
    await expect(work).rejects.toMatchObject({ code: "ABORTED" });
  });
  await Promise.all(given);
  expect(await slabsInUse(stream, memory)).toBe(0);
  const after = Object.values(stream.statistics.puzzles()).reduce((sum, count) => sum + count, 0);
  // What had begun: two cells of 8 a thread, and the one puzzle that was asked for afterwards.
  expect(after - before).toBeLessThanOrEqual(2 * 8 + 1);
});

test("close ends what is being waited for, whoever waits; twice, and while it closes", async () => {
  const stream = await open({ ...options, workers: 2 });
  const iterating = (async () => {
    for await (const batch of stream) void batch;
  })();
  const held = await take(stream.cells(endless()), 1);
  const getting = stream.get(5);
  const closing = [stream.close(), stream.close()];
  await expect(iterating).rejects.toMatchObject({ code: "CLOSED" });
  await expect(getting).rejects.toMatchObject({ code: "CLOSED" });
  await Promise.all(closing);
  await stream.close();
  await expect(stream.get(0)).rejects.toMatchObject({ code: "CLOSED" });
  await expect(take(stream, 1)).rejects.toMatchObject({ code: "CLOSED" });
  // A cell that was taken before stays readable.
  expect(held[0]!.puzzles[0]!.images[0]!.data.length).toBeGreaterThan(0);
  held[0]!.release();
});

/** What a process prints that ends by itself, and how it ended. */
function child(program: string): string {
  const loader = fileURLToPath(new URL("../../src/loader.ts", import.meta.url));
  const head = `import { createStream } from ${JSON.stringify(loader)};
    const open = () => createStream({ source: ${JSON.stringify(samples)}, batch: 16, workers: 2 });`;
  const run = ["--input-type=module", "--eval", `${head}\n${program}`];
  return execFileSync(process.execPath, run, { encoding: "utf8", timeout: 30_000 });
}

test("a process ends by itself after close, with nothing left open", () => {
  const left = child(`
    const stream = await open();
    for await (const batch of stream) if (batch.step === 1) break;
    const gone = new AbortController();
    const waiting = stream.get(3, undefined, { signal: gone.signal });
    gone.abort();
    await waiting.catch(() => {});
    const idle = stream.cells([{ step: 9 }])[Symbol.asyncIterator]();
    (await idle.next()).value.release();
    await stream.close();
    setImmediate(() => console.log(JSON.stringify(process.getActiveResourcesInfo().filter((name) => !/TTY|Pipe|Immediate/.test(name)))));
  `);
  expect(left).toBe("[]\n");
});

test("a process that closes in the middle of work ends by itself", () => {
  const ended = child(`
    const stream = await open();
    const answers = [0, 1, 2, 3].map((step) => stream.get(step).then(() => "made", ({ code }) => code));
    setTimeout(() => stream.close(), 1);
    console.log((await Promise.all(answers)).join());
  `);
  expect(ended).toMatch(/^(made|CLOSED)(,(made|CLOSED)){3}\n$/);
});

test("threads in native code do not take a process that exits with them", () => {
  const program = (milliseconds: number): string => `
    const stream = await open();
    for (const step of [0, 1, 2, 3]) void stream.get(step);
    setTimeout(() => process.exit(0), ${milliseconds});`;
  // While they start, while they load native code, while they decode.
  for (const milliseconds of [0, 60, 120, 180, 300]) expect(child(program(milliseconds))).toBe("");
});

test("a process that forgets to close ends all the same", () => {
  expect(
    child(`const stream = await open(); console.log((await stream.get(0)).puzzles.length);`),
  ).toBe("16\n");
});
