import { StreamError } from "../errors.ts";
import { cellAt, cellsOf, firstPlace } from "./cells.ts";
import { createCycle, type MixEntry } from "./cycle.ts";
import { createDeal, type Counts } from "./deal.ts";
import { createMix, type MixChange } from "./mix.ts";
import {
  createRows,
  type Located,
  type NeedsIndex,
  type RowAt,
  type Rows,
  type Watch,
} from "./rows.ts";
import { sourcesOf, type SourceSpec } from "./sources.ts";
import { mostSubstitutes, substituteOffset } from "./substitutes.ts";
import { createUpcoming, type Upcoming, type Way } from "./upcoming.ts";
import { createWindows } from "./windows.ts";

/** What decides the stream, apart from the images; every rule is in docs/determinism.md. */
export interface PlanSpec {
  /** 0 .. 2^53 - 1. */
  readonly seed: number;
  /** Slots in a batch, 1 .. 2^20; divisible by `partitions`. */
  readonly batch: number;
  /** 1 .. 1,024. */
  readonly partitions: number;
  readonly entries: readonly MixEntry[];
  /** Whether partitions share every shard row by row, or hold whole ones. */
  readonly deal: "rows" | "shards";
  /** Rows shuffled among themselves, over all partitions; 1 .. 2^20. */
  readonly window: number;
  /** Whether every entry has its own order, or all the same. */
  readonly order: "independent" | "shared";
  /** Several sources in one stream, each with its own deal, epochs and positions; one that holds all shards where left out. */
  readonly sources?: readonly SourceSpec[] | undefined;
  /** Makes the stream finite: every entry goes that often through all rows. */
  readonly passes?: number | undefined;
  /** Later mixes, steps increasing. Only ever appended to. */
  readonly log?: readonly MixChange[] | undefined;
}

export interface SlotPlan {
  readonly step: number;
  /** 0 .. batch - 1. */
  readonly slot: number;
  /** step * batch + slot. */
  readonly index: number;
  readonly partition: number;
  /** Ordinal in the plan's `entries`. */
  readonly entry: number;
  /** Ordinal in the spec's `sources`, 0 where there is one. */
  readonly source: number;
  /** How many slots of this entry and source the partition has had before. */
  readonly position: number;
}

export interface CellPlan {
  readonly step: number;
  /** 0 .. cells - 1, in slot order. */
  readonly cell: number;
  readonly partition: number;
  readonly first: number;
  /** In slot order; with passes only those that exist. */
  readonly slots: readonly SlotPlan[];
}

export interface Plan {
  readonly spec: PlanSpec;
  /** Names of all entries; an appended mix adds to the end. */
  readonly entries: readonly string[];
  readonly cellsPerPartition: number;
  /** All cells of a batch. */
  readonly cells: number;
  /** The cell that holds a slot. */
  cellOf(slot: number): number;
  /** Throws STEP_OUT_OF_RANGE; with passes NEEDS_INDEX. */
  cell(step: number, cell: number): CellPlan;
  /** Costs the same for every step. Throws STEP_OUT_OF_RANGE, BAD_SLOTS. */
  slot(step: number, slot: number): SlotPlan;
  /** False for the slots that a stream with passes leaves out. Throws NEEDS_INDEX where passes are set and not every shard of the partition is counted. */
  exists(step: number, slot: number): boolean;
  /** Number of steps, undefined where the stream is endless. Throws NEEDS_INDEX as `exists` does. */
  steps(): number | undefined;
  /** Throws TOO_FEW_ROWS. */
  locate(slot: SlotPlan): Located | NeedsIndex;
  /** Another row of the same shuffled window; offset 0 .. rows - 1. */
  at(located: Located, offset: number): RowAt;
  /** The row to try after `attempt` rows were unusable; attempt 0 is the row itself. Undefined when enough were tried; with passes there are no substitutes. */
  substitute(located: Located, attempt: number): RowAt | undefined;
  /** Rows of a source (the first where left out) in a partition. */
  rows(partition: number, source?: number): number | NeedsIndex;
  /** Shards of a source (the first where left out) in the order in which an epoch of the partition reads them. */
  order(partition: number, epoch: number, source?: number): Uint32Array;
  /** Which shards the partition needs in the step and after it, for reading ahead and for a cache. Cheap enough for every batch. Throws STEP_OUT_OF_RANGE. */
  upcoming(step: number, partition: number): Upcoming;
  /** The same stream under a longer log; keeps what was computed. */
  withLog(log: readonly MixChange[]): Plan;
}

export function needsIndex(answer: object): answer is NeedsIndex {
  return "needs" in answer;
}

/** Throws BAD_OPTION, SOURCE_EMPTY. `watch` is for tests. */
export function createPlan(spec: PlanSpec, counts: Counts, watch: Watch = {}): Plan {
  checkSpec(spec, counts);
  const { seed, batch, partitions } = spec;
  const windows = createWindows(spec.window, partitions);
  const sources = sourcesOf(spec, counts.shards);
  const rows = sources.map((source) =>
    createRows(
      { seed, partitions, source, shared: spec.order === "shared" },
      counts,
      createDeal(seed, source, partitions),
      windows,
      watch,
    ),
  );
  const cells = cellsOf(batch / partitions, spec.order, createCycle(spec.entries).length);
  const weights = sources.map(({ weight }) => weight);
  return assemble(spec, weights, rows, cells);
}

function assemble(
  spec: PlanSpec,
  weights: readonly number[],
  rows: readonly Rows[],
  cellsPerPartition: number,
): Plan {
  const { batch, partitions, passes } = spec;
  const perPartition = batch / partitions;
  const cells = cellsPerPartition * partitions;
  const shared = spec.order === "shared";
  const mix = createMix(spec.entries, spec.log ?? [], { batch, partitions, weights, shared });

  function slot(step: number, slot: number): SlotPlan {
    checkNumbers(step, slot, batch);
    const partition = Math.floor(slot / perPartition);
    return {
      step,
      slot,
      index: step * batch + slot,
      partition,
      ...mix.turn(step, partition, slot - partition * perPartition),
    };
  }

  function total(partition: number, source: number): number {
    const known = rows[source]!.total(partition);
    if (typeof known === "number") return known;
    throw new StreamError(
      "NEEDS_INDEX",
      `a stream with passes can be planned when all its shards are counted; ${known.needs.length} of partition ${partition} are not`,
    );
  }

  function exists({ partition, source, position }: SlotPlan): boolean {
    return passes === undefined || position < passes * total(partition, source);
  }

  /** The way of an entry through a source, undefined where it has none any more. */
  function way(step: number, partition: number, entry: number, source: number): Way | undefined {
    const stands = mix.stands(step, entry);
    if (stands === "never") return undefined;
    const own = rows[source]!;
    const first = mix.before(step, partition, entry, source);
    const last = Math.max(first, mix.before(step + 1, partition, entry, source) - 1);
    const known = own.total(partition);
    const end = passes === undefined || typeof known !== "number" ? Infinity : passes * known;
    if (first >= end) return undefined;
    const stretch = own.stretch(partition, first, Math.min(last, end - 1));
    const waits = stands === "later" ? { to: stretch.from - 1 } : {};
    return { rows: own, stretch: { ...stretch, ...waits }, epochs: passes ?? Infinity };
  }

  const plan: Plan = {
    spec,
    entries: mix.names,
    cellsPerPartition,
    cells,
    slot,
    cellOf(slot) {
      checkNumbers(0, slot, batch);
      const partition = Math.floor(slot / perPartition);
      return (
        partition * cellsPerPartition +
        cellAt(slot - partition * perPartition, perPartition, cellsPerPartition)
      );
    },
    cell(step, cell) {
      if (!(Number.isSafeInteger(cell) && cell >= 0 && cell < cells))
        throw new StreamError("BAD_SLOTS", `cell ${cell}: a batch has cells 0 to ${cells - 1}`);
      const partition = Math.floor(cell / cellsPerPartition);
      const inPartition = cell - partition * cellsPerPartition;
      const first =
        partition * perPartition + firstPlace(inPartition, perPartition, cellsPerPartition);
      const end =
        partition * perPartition + firstPlace(inPartition + 1, perPartition, cellsPerPartition);
      const slots = Array.from({ length: end - first }, (_, at) => slot(step, first + at)).filter(
        exists,
      );
      return { step, cell, partition, first, slots };
    },
    exists: (step, number) => exists(slot(step, number)),
    steps() {
      if (passes === undefined) return undefined;
      let steps = 0;
      for (let partition = 0; partition < partitions; partition++) {
        for (let source = 0; source < rows.length; source++) {
          const positions = passes * total(partition, source);
          for (let entry = 0; entry < mix.names.length; entry++) {
            const last = mix.lastStep(partition, entry, positions, source);
            steps = Math.max(steps, (last ?? -1) + 1);
          }
        }
      }
      if (!Number.isSafeInteger(steps * batch))
        throw new StreamError(
          "BAD_OPTION",
          `passes: ${passes} passes end beyond puzzle 2^53; use fewer, or none`,
        );
      return steps;
    },
    locate: ({ partition, entry, source, position }) =>
      rows[source]!.locate(partition, entry, mix.names[entry]!, position),
    at: (located, offset) => rows[located.source]!.at(located, mix.names[located.entry]!, offset),
    substitute(located, attempt) {
      const offset = substituteOffset(located, attempt, passes === undefined ? mostSubstitutes : 0);
      return offset === undefined ? undefined : plan.at(located, offset);
    },
    rows: (partition, source = 0) => rows[source]!.total(partition),
    order: (partition, epoch, source = 0) => rows[source]!.order(partition, epoch),
    upcoming(step, partition) {
      checkNumbers(step, 0, batch);
      const ways = new Map<string, Way>();
      for (let source = 0; source < rows.length; source++) {
        for (let entry = 0; entry < mix.names.length; entry++) {
          const one = way(step, partition, entry, source);
          if (!one) continue;
          const { epoch, from, to } = one.stretch;
          ways.set([source, epoch, from, to].join("/"), one);
        }
      }
      return createUpcoming(partition, [...ways.values()]);
    },
    withLog: (log) => assemble({ ...spec, log }, weights, rows, cellsPerPartition),
  };
  return plan;
}

function checkNumbers(step: number, slot: number, batch: number): void {
  if (!(Number.isSafeInteger(slot) && slot >= 0 && slot < batch))
    throw new StreamError("BAD_SLOTS", `slot ${slot}: a batch has slots 0 to ${batch - 1}`);
  if (!(Number.isSafeInteger(step) && step >= 0))
    throw new StreamError("STEP_OUT_OF_RANGE", `step ${step}: steps are integers from 0`);
  if (!Number.isSafeInteger(step * batch + batch))
    throw new StreamError("STEP_OUT_OF_RANGE", `step ${step} times ${batch} slots is beyond 2^53`);
}

/** More than any number of nodes; what is kept for each partition stays small. */
const mostPartitions = 1024;

function integer(name: string, value: number, low: number, high: number): void {
  if (!(Number.isSafeInteger(value) && value >= low && value <= high)) {
    throw new StreamError(
      "BAD_OPTION",
      `${name} is ${value}; it must be an integer from ${low} to ${high}`,
    );
  }
}

function checkSpec(spec: PlanSpec, counts: Counts): void {
  integer("seed", spec.seed, 0, Number.MAX_SAFE_INTEGER);
  integer("batch", spec.batch, 1, 2 ** 20);
  integer("partitions", spec.partitions, 1, mostPartitions);
  if (spec.batch % spec.partitions !== 0)
    throw new StreamError(
      "BAD_OPTION",
      `batch ${spec.batch} can't be divided into ${spec.partitions} partitions of one size`,
    );
  integer("window", spec.window, 1, 2 ** 20);
  if (spec.passes !== undefined) integer("passes", spec.passes, 1, 2 ** 32);
  if (spec.order !== "independent" && spec.order !== "shared") {
    throw new StreamError(
      "BAD_OPTION",
      `order is ${JSON.stringify(spec.order)}; it must be "independent" or "shared"`,
    );
  }
  if (counts.shards === 0) throw new StreamError("SOURCE_EMPTY", "the source holds no shard");
  integer("shards", counts.shards, 1, 2 ** 24);
}
