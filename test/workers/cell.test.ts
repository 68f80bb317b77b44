import { beforeAll, expect, test } from "vitest";
import { resolveEntries } from "../../src/entries.ts";
import { createArena, createMemory } from "../../src/images/arena.ts";
import { createDraw } from "../../src/images/draw.ts";
import type { ImageFormat } from "../../src/model.ts";
import { createCatalog } from "../../src/sources/catalog.ts";
import { openSource } from "../../src/sources/open.ts";
import { tasks } from "../../src/tasks/registry.ts";
import { makeCell, type CellMade, type Workshop } from "../../src/workers/cell.ts";
import {
  freeSlabs,
  IMAGES_AT,
  MAX_SLABS,
  SCRATCH_AT,
  SLABS_AT,
  type CellJob,
  type RowData,
  type SlotJob,
  type WorkerSettings,
} from "../../src/workers/messages.ts";
import { createSlabs } from "../../src/workers/slabs.ts";
import { samples } from "../loader/streams.ts";

const SLAB = 8 << 20;
const memory = createMemory();
const scratch = createArena(memory, SCRATCH_AT, SLABS_AT);
const draw = createDraw(scratch);
const scratchBefore = scratch.mark();
let files: Uint8Array<ArrayBuffer>[] = [];

beforeAll(async () => {
  const catalog = await createCatalog(await openSource(samples));
  files = await Promise.all(
    [...Array(12).keys()].map(
      async (number) => new Uint8Array((await catalog.read(0, number)).bytes),
    ),
  );
  await catalog.close();
});

const row = (number: number, bytes = files[number]!): RowData => ({
  id: `0/${number}`,
  shard: "shard",
  key: `key ${number}`,
  group: `group ${number}`,
  bytes,
});

function settings(entries: readonly string[], substitutes = 16): WorkerSettings {
  const mix = resolveEntries({ entries, preset: "robust" });
  return {
    seed: 5,
    entries: mix.map(({ name, task, options }) => ({
      name,
      task,
      options,
      template: tasks.find((one) => one.name === task)!.template,
    })),
    sizes: { factor: 28, minPixels: 3136, maxPixels: 401_408, fit: "crop" },
    suffix: "",
    substitutes,
    maxInputPixels: 10_000_000,
  };
}

/** Slot s stands for row s of a window of all files. */
function job(slots: number, entries: number, format: ImageFormat, given = row): CellJob {
  const numbers = [...Array(slots).keys()];
  return {
    id: 0,
    step: 0,
    cell: 0,
    format,
    slots: numbers.map((slot): SlotJob => ({
      slot,
      index: slot,
      entry: slot % entries,
      wanted: true,
      row: `0/${slot}`,
      offset: slot,
      rows: files.length,
    })),
    rows: numbers.map((number) => given(number)),
  };
}

/** What must be the same each time. */
interface Made extends Pick<CellMade, "puzzles" | "failed" | "skips"> {
  readonly pixels: readonly Buffer[];
}

/** A cell, with `bytes` of memory for decoded photos. */
async function make(
  given: WorkerSettings,
  work: CellJob,
  bytes: number = SCRATCH_AT - IMAGES_AT,
  change: Partial<Workshop> = {},
): Promise<Made> {
  const images = createArena(memory, IMAGES_AT, IMAGES_AT + bytes);
  const slabs = createSlabs(memory, SLAB);
  const before = images.mark();
  const workshop: Workshop = {
    images,
    scratch,
    draw,
    slabs,
    ask: async (_, offset) => row(offset),
    checkOpen() {},
    ...change,
  };
  try {
    const { puzzles, failed, skips } = await makeCell(given, work, workshop);
    const pixels = puzzles.flatMap((puzzle) =>
      puzzle.images.map(({ at, length }) => Buffer.from(images.bytes(at, length))),
    );
    return { puzzles, failed, skips, pixels };
  } finally {
    expect(images.mark()).toBe(before);
    expect(scratch.mark()).toBe(scratchBefore);
    freeSlabs(memory.buffer, [...Array(MAX_SLABS).keys()]);
  }
}

for (const format of ["raw", "jpeg"] as const)
  test(`a memory that holds few photos makes the same puzzles (${format})`, async () => {
    const given = settings(["similarity", "rotation", "ordering", "similarity:weak"]);
    const wide = await make(given, job(8, 4, format));
    expect(wide.failed).toEqual([]);
    expect(wide.puzzles).toHaveLength(8);
    for (const megabytes of [9, 6, 5]) {
      const tight = await make(given, job(8, 4, format), megabytes << 20);
      expect(tight).toEqual(wide);
    }
  });

test("a memory that can't hold one puzzle's photos is told as a limit", async () => {
  const given = settings(["similarity"]);
  await expect(make(given, job(4, 1, "raw"), 1 << 20)).rejects.toMatchObject({
    code: "LIMIT",
    message: expect.stringMatching(/memory is full: \d+ bytes asked for/) as string,
  });
});

test("a photo is decoded once and rows that are there are not asked for", async () => {
  const asked: number[] = [];
  const given = settings(["rotation", "ordering"]);
  const work = job(6, 2, "raw");
  await make(given, work, undefined, {
    ask: async (_, offset) => {
      asked.push(offset);
      return row(offset);
    },
  });
  expect(asked).toEqual([]);
});

test("a bad photo is skipped once, however many slots meet it", async () => {
  const given = settings(["similarity", "rotation"]);
  const broken = (number: number): RowData =>
    number === 2 ? row(2, new Uint8Array([1, 2, 3])) : row(number);
  const made = await make(given, job(8, 2, "raw", broken), undefined, {
    ask: async (_, offset) => broken(offset),
  });
  expect(made.failed).toEqual([]);
  expect(made.skips).toMatchObject([{ shard: "shard", key: "key 2", reason: "unreadable" }]);
  expect(made.puzzles[2]!.recipe).toMatchObject({ attempt: 1, key: "key 8" }); // offset (2 + 12 / 2) mod 12
});

test("photos of one group, or with the same bytes, are no strangers", async () => {
  const given = settings(["similarity"], 0);
  // Twelve rows, four groups, and row 3 has the bytes of row 0.
  const alike = (number: number): RowData => ({
    ...row(number, number === 3 ? files[0]! : files[number]!),
    group: `group ${number % 4}`,
  });
  const made = await make(given, job(3, 1, "raw", alike), undefined, {
    ask: async (_, offset) => alike(offset),
  });
  for (const { recipe } of made.puzzles) {
    const keys = (recipe["candidates"] as { key?: string }[]).map(({ key }) => key);
    const groups = [recipe["key"], ...keys.filter((key) => key !== undefined)].map(
      (key) => Number(String(key).slice(4)) % 4,
    );
    expect(groups).toHaveLength(4);
    expect(new Set(groups).size).toBe(4);
  }
  expect(made.puzzles.length).toBeGreaterThan(0);
});

test("a failure while rows are asked for ends the cell and keeps nothing", async () => {
  const given = settings(["rotation"]);
  const broken = (number: number): RowData => row(number, new Uint8Array([number]));
  const fault = Object.assign(new Error("the disk is gone"), { code: "EIO" });
  await expect(
    make(given, job(4, 1, "raw", broken), undefined, { ask: () => Promise.reject(fault) }),
  ).rejects.toMatchObject({ name: "StreamError", message: "the disk is gone" });
});

test("a closing pool ends a cell before its next photo", async () => {
  let checks = 0;
  const closing = (): void => {
    if (++checks > 5) throw Object.assign(new Error("closing"), { code: "CLOSED" });
  };
  await expect(
    make(settings(["rotation"]), job(8, 1, "raw"), undefined, { checkOpen: closing }),
  ).rejects.toThrow("closing");
});
