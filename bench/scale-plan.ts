/** What planning costs and how even it is, for bench/scale.ts: the stream's own plan over made-up counts, nothing read. */
import { createLookahead } from "../src/lookahead.ts";
import { needsIndex, createPlan, type Plan, type PlanSpec } from "../src/plan/plan.ts";
import type { Located } from "../src/plan/rows.ts";
import { createCatalog } from "../src/sources/catalog.ts";
import type { Shard, Source } from "../src/sources/source.ts";
import type { MadeShard } from "./scale-made.ts";

export const FAR = 1_000_000_000;

export interface Shape {
  readonly partitions: number;
  readonly deal: "rows" | "shards";
  readonly order: "independent" | "shared";
  readonly window: number;
}

export const BATCH = 65_536;

export const tasks: readonly string[] = [
  "rotation",
  "similarity",
  "inpainting",
  "ordering",
  "correspondence",
];

function countsOf(shards: readonly MadeShard[]): {
  readonly shards: number;
  rows(shard: number): number | undefined;
} {
  const rows = Float64Array.from(shards, (shard) => shard.rows);
  return { shards: rows.length, rows: (shard) => rows[shard] };
}

export function planOf(shape: Shape, shards: readonly MadeShard[]): Plan {
  const entries = tasks.map((name) => ({ name, weight: 1 }));
  const spec: PlanSpec = { seed: 7, batch: BATCH, entries, ...shape };
  return createPlan(spec, countsOf(shards));
}

/** Seconds of CPU, of this process with its collector. */
function cpu(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function located(
  plan: Plan,
  step: number,
  partition: number,
  take: (row: Located, cell: number) => void,
): void {
  const first = partition * plan.cellsPerPartition;
  for (let cell = first; cell < first + plan.cellsPerPartition; cell++)
    for (const slot of plan.cell(step, cell).slots) {
      const row = plan.locate(slot);
      if (needsIndex(row)) throw new Error(`step ${step}: a count is missing`);
      take(row, cell);
    }
}

let sink = 0;
const drop = ({ row }: Located): void => void (sink = (sink + row) % 1_000_003);

export interface Cost {
  /** Milliseconds until the first step of one partition is planned, from the specification on. */
  readonly first: number;
  /** As `first`, at step 10^9. */
  readonly far: number;
  /** CPU microseconds a slot, one partition, step by step from 0 and from 10^9. */
  readonly own: number;
  readonly ownFar: number;
  /** CPU microseconds a slot, all partitions in one process. */
  readonly all: number;
  /** Of it: microseconds that a slot costs the lookahead, which also finds what to fetch and to keep. One partition; all. */
  readonly ahead: number;
  readonly aheadAll: number;
}

/** Slots of a round, and rounds, of which the quickest counts: in the others Node was still compiling. */
const ENOUGH = 200_000;
const ROUNDS = 4;

export async function costOf(shape: Shape, shards: readonly MadeShard[]): Promise<Cost> {
  const perPartition = BATCH / shape.partitions;
  const start = (step: number): number => {
    const from = cpu();
    located(planOf(shape, shards), step, 3, drop);
    return (cpu() - from) * 1000;
  };
  const [first, far] = [start(0), start(FAR)];
  const plan = planOf(shape, shards);
  const steps = Math.ceil(ENOUGH / perPartition);
  const walk = (from: number): number => {
    let [next, least] = [from, Infinity];
    for (let round = 0; round < ROUNDS; round++) {
      const began = cpu();
      for (const end = next + steps; next < end; next++) located(plan, next, 3, drop);
      least = Math.min(least, cpu() - began);
    }
    return (least / (steps * perPartition)) * 1e6;
  };
  const [own, ownFar] = [walk(0), walk(FAR)];
  const whole = (step: number): void => {
    for (let partition = 0; partition < shape.partitions; partition++)
      located(plan, step, partition, drop);
  };
  let all = Infinity;
  for (let step = 0; step < ROUNDS; step++) {
    const began = cpu();
    whole(step);
    all = Math.min(all, ((cpu() - began) / BATCH) * 1e6);
  }
  const ahead = (await lookCost(planOf(shape, shards), shards, [3], steps)) - own;
  const everyone = Array.from({ length: shape.partitions }, (_, partition) => partition);
  const aheadAll = (await lookCost(plan, shards, everyone, 1)) - all;
  return { first, far, own, ownFar, all, ahead, aheadAll };
}

/** Has every shard at once and nothing in it. */
function emptySource(shards: readonly MadeShard[]): Source {
  const open = async (shard: number): Promise<Shard> => ({
    rows: shards[shard]!.rows,
    complete: true,
    counted: () => Promise.resolve(),
    read: () => Promise.reject(new Error("there is nothing to read")),
    close: () => Promise.resolve(),
  });
  const how = { cheap: false, countable: true, inPlace: false };
  return { address: "empty", ...how, list: () => Promise.resolve(shards), open };
}

/** CPU microseconds a slot of Lookahead.locate, with all that it has the catalog do. */
async function lookCost(
  plan: Plan,
  shards: readonly MadeShard[],
  near: readonly number[],
  steps: number,
): Promise<number> {
  const counts = new Map(shards.map(({ rows }, shard) => [shard, rows]));
  const catalog = await createCatalog(emptySource(shards), { counts: () => counts });
  const options = { prefetch: 2, requests: 8, cache: "/nowhere", memoryLimit: 7e8, near };
  const lookahead = createLookahead(plan, catalog, options);
  const { signal } = new AbortController();
  const cells = plan.cellsPerPartition;
  const step = async (number: number): Promise<void> => {
    for (const partition of near)
      for (let cell = partition * cells; cell < (partition + 1) * cells; cell++)
        for (const slot of plan.cell(number, cell).slots)
          drop(await lookahead.locate(slot, signal));
  };
  const slots = (steps * near.length * BATCH) / plan.spec.partitions;
  let [next, least] = [0, Infinity];
  for (let round = 0; round < ROUNDS; round++) {
    const began = cpu();
    for (const end = next + steps; next < end; next++) await step(next);
    least = Math.min(least, cpu() - began);
  }
  return (least / slots) * 1e6;
}

/** Least, mean and most over the partitions. */
export interface Spread {
  readonly least: number;
  readonly mean: number;
  readonly most: number;
}

export function spreadOf(values: readonly number[]): Spread {
  const sum = values.reduce((total, value) => total + value, 0);
  return {
    least: values.reduce((one, other) => Math.min(one, other), Infinity),
    mean: sum / values.length,
    most: values.reduce((one, other) => Math.max(one, other), -Infinity),
  };
}

export interface Balance {
  /** Rows of the partition. */
  readonly rows: Spread;
  /** Shards in which it has rows, and their bytes. */
  readonly shards: Spread;
  readonly bytes: Spread;
  /** Photos that are decoded for its slots of one step, each once a cell, and their bytes, over ten steps. */
  readonly photos: Spread;
  readonly decoded: Spread;
  /** Shards in which more than one partition has rows. */
  readonly common: number;
}

export function balanceOf(shape: Shape, shards: readonly MadeShard[]): Balance {
  const plan = planOf(shape, shards);
  const every = Array.from({ length: shape.partitions }, (_, partition) => partition);
  const holders = new Uint16Array(shards.length);
  const held = every.map((partition) => {
    const own = plan.order(partition, 0);
    let bytes = 0;
    for (const shard of own) {
      holders[shard]! += 1;
      bytes += shards[shard]!.size;
    }
    return { shards: own.length, bytes };
  });
  const [photos, decoded]: [number[], number[]] = [[], []];
  for (let step = 1000; step < 1010; step++)
    for (const partition of every) {
      const cells = new Map<string, number>();
      located(plan, step, partition, ({ shard, row }, cell) => {
        const { size, rows } = shards[shard]!;
        cells.set(`${cell}/${shard}/${row}`, size / rows);
      });
      photos.push(cells.size);
      decoded.push([...cells.values()].reduce((sum, size) => sum + size, 0));
    }
  return {
    rows: spreadOf(every.map((partition) => plan.rows(partition) as number)),
    shards: spreadOf(held.map((one) => one.shards)),
    bytes: spreadOf(held.map((one) => one.bytes)),
    photos: spreadOf(photos),
    decoded: spreadOf(decoded),
    common: holders.filter((count) => count > 1).length,
  };
}

/** Shards that a partition needs in a step. */
export function neededAt(shape: Shape, shards: readonly MadeShard[], step: number): Spread {
  const plan = planOf(shape, shards);
  const every = Array.from({ length: shape.partitions }, (_, partition) => partition);
  return spreadOf(every.map((partition) => plan.upcoming(step, partition).now.length));
}
