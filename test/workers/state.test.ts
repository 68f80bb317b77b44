import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import type { Notice } from "../../src/notice.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { open } from "../loader/streams.ts";
import type { Fault } from "./faulty-worker.ts";

const options = { seed: 21, batch: 16, partitions: 2, workers: 1 } as const;

test("a thread that hangs over a cell is seen by its silence; one that works or has nothing to do is not silent", async () => {
  const stream = await open(options, {
    workerEntry: new URL("hanging-worker.ts", import.meta.url),
  });
  await stream.get(1);
  expect(stream.now().workers).toMatchObject({ threads: 1, ready: 1, cells: 0, silent: 0 });
  const leaving = new AbortController();
  const hung = stream.get(0, undefined, { signal: leaving.signal });
  hung.catch(() => {});
  let { silent } = stream.now().workers;
  for (let longest = silent; longest <= 50; longest = silent) {
    await setImmediate();
    ({ silent } = stream.now().workers);
    expect(silent === 0 || silent >= longest).toBe(true);
  }
  expect(stream.now()).toMatchObject({ workers: { deaths: 0, restarts: 0 } });
  expect(stream.now().workers.cells).toBeGreaterThan(0);
  expect(stream.now().cells.making).toBeGreaterThan(0);
  leaving.abort();
  await expect(hung).rejects.toMatchObject({ code: "ABORTED" });
});

test("deaths and restarts are counted, and told", async () => {
  const fault: Fault = { kind: "exit", step: 0, cell: 1, once: join(temporaryFolder(), "died") };
  process.env["SSL_R1_TEST_FAULT"] = JSON.stringify(fault);
  onTestFinished(() => void delete process.env["SSL_R1_TEST_FAULT"]);
  const told: Notice[] = [];
  const stream = await open(options, {
    workerEntry: new URL("faulty-worker.ts", import.meta.url),
    notify: (notice) => told.push(notice),
  });
  await stream.get(0);
  const { workers } = stream.now();
  expect(workers).toMatchObject({ threads: 1, ready: 1, deaths: 1, restarts: 1, cells: 0 });
  expect(told).toEqual([{ kind: "worker-died", step: 0, cell: 1 }]);
  expect(stream.statistics.cells()).toBe(2);
  expect(stream.statistics.failed()).toBe(0);
});

test("the entry of a puzzle by its index, for any step", async () => {
  const stream = await open(options);
  for (const step of [0, 5, 1_000_000]) {
    const { puzzles } = await stream.get(step, [0, 3, 15]);
    for (const { index, entry } of puzzles) expect(stream.entryOf(index)).toBe(entry);
  }
  expect(() => stream.entryOf(2 ** 53 - 1)).toThrow(/step/);
});
