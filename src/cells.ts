import { checkAborted, unlessAborted } from "./abort.ts";
import { StreamError } from "./errors.ts";
import type { Gate } from "./gate.ts";
import type { Cell, ImageFormat, Puzzle, StepRequest } from "./model.ts";
import type { Lookahead } from "./lookahead.ts";
import type { CellPlan, Plan } from "./plan/plan.ts";
import type { Located } from "./plan/rows.ts";
import type { Catalog } from "./sources/catalog.ts";
import type { Room } from "./shards/bytes.ts";
import type { Statistics } from "./statistics.ts";
import type { createTrays } from "./trays.ts";
import { freeSlabs, type CellResult, type RowData, type SlotJob } from "./workers/messages.ts";
import type { Pool } from "./workers/pool.ts";

/** Some slots of one cell. */
export interface CellWork {
  readonly plan: CellPlan;
  /** All where undefined. */
  readonly wanted: ReadonlySet<number> | undefined;
  /** Of its request. */
  readonly last: boolean;
}

/** Requests -> the cells that hold their slots, in slot order; `steps` is null in an endless stream. BAD_SLOTS, STEP_OUT_OF_RANGE. */
export function* planCells(
  plan: Plan,
  steps: number | null,
  requests: Iterable<StepRequest>,
): Generator<CellWork> {
  for (const { step, slots } of requests) {
    if (steps !== null && step >= steps)
      throw new StreamError("STEP_OUT_OF_RANGE", `step ${step}: the stream ends after ${steps}`);
    const wanted = slots && new Set(slots);
    if (slots && (wanted?.size !== slots.length || slots.length === 0))
      throw new StreamError(
        "BAD_SLOTS",
        `slots of step ${step}: got ${slots.length}, ${wanted?.size} different; they must be unique and at least one`,
      );
    const cells = slots
      ? [...new Set(slots.map((slot) => plan.cellOf(slot)))].sort((one, other) => one - other)
      : Array.from({ length: plan.cells }, (_, cell) => cell);
    for (const [at, cell] of cells.entries())
      yield { plan: plan.cell(step, cell), wanted, last: at === cells.length - 1 };
  }
}

export interface CellMaking {
  readonly plan: Plan;
  readonly catalog: Catalog;
  readonly lookahead: Lookahead;
  readonly pool: Pool;
  readonly statistics: Statistics;
  /** Work that nobody waits for any more can't be stopped; the gate keeps it from piling up. */
  readonly gate: Gate;
  readonly trays: ReturnType<typeof createTrays>;
}

/** Reads the rows of a cell and has a worker make its puzzles. ABORTED, and whatever the source or the pool throws. */
export async function makeCell(
  { plan, catalog, lookahead, pool, statistics, gate, trays }: CellMaking,
  work: CellWork,
  format: ImageFormat,
  signal: AbortSignal,
): Promise<Cell> {
  checkAborted(signal);
  const { step, cell } = work.plan;
  const located = new Map<number, Located>();
  const slots: SlotJob[] = [];
  const rows = new Map<string, Located>();
  for (const planned of work.plan.slots) {
    const { slot, index, entry } = planned;
    const found = await lookahead.locate(planned, signal);
    const wanted = work.wanted?.has(slot) ?? true;
    const row = rowId(found);
    located.set(slot, found);
    slots.push({ slot, index, entry, wanted, row, offset: found.offset, rows: found.rows });
    if (wanted) rows.set(row, found);
  }
  if (!catalog.inPlace) {
    // before the gate: who waits for a server must not keep others from what is here
    const ready = allOf(rows.values(), ({ shard, row }) => catalog.ready(shard, row));
    await unlessAborted(ready, signal, () => {});
  }
  await gate.enter(signal);
  const tray = trays.take();
  const order = {
    job: { step, cell, format, slots },
    rows: async () => {
      const began = performance.now();
      tray.clear();
      const read = await allOf(rows.values(), (row) => readRow(catalog, row, tray.room));
      statistics.spent("read", performance.now() - began);
      return read;
    },
    row: (slot: number, offset: number) => readRow(catalog, plan.at(located.get(slot)!, offset)),
  };
  const made = pool.make(order).finally(() => {
    tray.release();
    gate.leave();
  });
  const result = await unlessAborted(made, signal, giveBack);
  try {
    statistics.count(result);
  } catch (error) {
    giveBack(result);
    throw error;
  }
  return asCell(work, result, format);
}

interface RowPlace {
  readonly shard: number;
  readonly row: number;
}

const rowId = ({ shard, row }: RowPlace): string => `${shard}/${row}`;

/** As Promise.all, but nothing is under way any more when it rejects. */
async function allOf<In, Out>(
  items: Iterable<In>,
  work: (item: In) => Promise<Out>,
): Promise<Out[]> {
  const settled = await Promise.allSettled(Array.from(items, work));
  return settled.map((one) => {
    if (one.status === "rejected") throw one.reason;
    return one.value;
  });
}

/** Without room the bytes are memory of their own, to hand over to the worker. */
async function readRow(catalog: Catalog, place: RowPlace, room?: Room): Promise<RowData> {
  const id = rowId(place);
  const shard = catalog.list.at(place.shard)!.name;
  try {
    const { key, group, bytes } = await catalog.read(place.shard, place.row, room);
    return { id, shard, key, group, bytes };
  } catch (error) {
    if (!(error instanceof StreamError && error.code === "IMAGE_UNUSABLE")) throw error;
    const name = `row ${place.row}`;
    return { id, shard, key: name, group: id, bytes: new Uint8Array(0), unusable: error.message };
  }
}

function giveBack({ memory, slabs }: CellResult): void {
  freeSlabs(memory, slabs);
}

/** The images are views of the worker's memory until the cell is released. */
function asCell({ plan, last }: CellWork, result: CellResult, format: ImageFormat): Cell {
  let released = false;
  const puzzles = result.puzzles.map(({ images, ...puzzle }): Puzzle => ({
    ...puzzle,
    images: images.map(({ width, height, at, length }) => {
      const data = new Uint8Array(result.memory, at, length);
      return { width, height, format, data };
    }),
  }));
  return {
    step: plan.step,
    cell: plan.cell,
    puzzles,
    failed: result.failed,
    last,
    release() {
      if (!released) giveBack(result);
      released = true;
    },
  };
}
