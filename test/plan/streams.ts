/** Random streams, and the small things that every test of the plan needs. */
import fc from "fast-check";
import { createCycle, type MixEntry } from "../../src/plan/cycle.ts";
import type { Counts } from "../../src/plan/deal.ts";
import { needsIndex, type Plan, type PlanSpec, type SlotPlan } from "../../src/plan/plan.ts";
import type { Located, NeedsIndex } from "../../src/plan/rows.ts";

const names = [
  "rotation",
  "similarity",
  "inpainting",
  "ordering",
  "ordering-2x2",
  "correspondence",
];

/** Up to six entries; weights from all equal to wildly different. */
export const mixes: fc.Arbitrary<MixEntry[]> = fc
  .tuple(
    fc.shuffledSubarray(names, { minLength: 1 }),
    fc.constantFrom(1, 3, 150),
    fc.array(fc.nat(), { minLength: 6, maxLength: 6 }),
  )
  .map(([chosen, heaviest, draws]) =>
    chosen.map((name, at) => ({ name, weight: (draws[at]! % heaviest) + 1 })),
  );

export const equalMixes: fc.Arbitrary<MixEntry[]> = fc
  .tuple(fc.shuffledSubarray(names, { minLength: 1 }), fc.integer({ min: 1, max: 9 }))
  .map(([chosen, weight]) => chosen.map((name) => ({ name, weight })));

export interface Stream {
  readonly spec: PlanSpec;
  /** Rows of each shard. */
  readonly rows: readonly number[];
}

/** Small shards, many of them empty or tiny beside one large; every partition holds at least 4 rows. */
export const streams: fc.Arbitrary<Stream> = fc
  .record({
    seed: fc.maxSafeNat(),
    partitions: fc.integer({ min: 1, max: 8 }),
    perPartition: fc.integer({ min: 1, max: 24 }),
    entries: mixes,
    deal: fc.constantFrom("rows" as const, "shards" as const),
    order: fc.constantFrom("independent" as const, "shared" as const),
    window: fc.constantFrom(1, 100, 512, 4096),
    small: fc.array(fc.oneof(fc.constant(0), fc.nat(40)), { maxLength: 20 }),
    large: fc.nat(400),
  })
  .map(({ partitions, perPartition, small, large, ...rest }) => ({
    spec: { ...rest, partitions, batch: partitions * perPartition },
    // 4 C rows in each of C shards feed every partition, whole or split.
    rows: [
      ...small,
      large,
      ...Array.from({ length: small.length + 1 + 2 * partitions }, () => 4 * partitions),
    ],
  }));

/** Whether shared order can't balance sources of these weights over parts of turns. */
export function needsWholeTurns(weights: readonly number[]): boolean {
  return weights.length > 2 && new Set(weights).size > 1;
}

/** The stream, with a larger batch where it would be refused. */
export function fitting(spec: PlanSpec): PlanSpec {
  const weights = (spec.sources ?? []).map(({ weight }) => weight);
  if (spec.order !== "shared" || !needsWholeTurns(weights)) return spec;
  const turns = spec.partitions * createCycle(spec.entries).length;
  return { ...spec, batch: Math.ceil(spec.batch / turns) * turns };
}

/** Streams cut into two or three sources, each with enough rows; every source has its own deal. */
export const several: fc.Arbitrary<Stream> = fc
  .tuple(
    streams,
    fc.array(
      fc.tuple(
        fc.integer({ min: 1, max: 5 }),
        fc.constantFrom("rows" as const, "shards" as const, undefined),
      ),
      {
        minLength: 2,
        maxLength: 3,
      },
    ),
    fc.array(fc.nat(60), { minLength: 3, maxLength: 3 }),
  )
  .map(([{ spec, rows }, parts, more]) => {
    const enough = Array.from({ length: 2 * spec.partitions }, () => 4 * spec.partitions);
    const lists = parts.map((_, at) =>
      at === 0 ? rows : [more[at]!, ...enough, 0, ...enough, more[0]!],
    );
    const sources = parts.map(([weight, deal], at) => ({
      weight,
      shards: lists[at]!.length,
      deal,
    }));
    // Batches of whole turns stay small.
    const entries = spec.entries.map(({ name, weight }) => ({ name, weight: (weight % 5) + 1 }));
    return { spec: fitting({ ...spec, entries, sources }), rows: lists.flat() };
  });

export function counted(rows: readonly number[]): Counts {
  return { shards: rows.length, rows: (shard) => rows[shard] };
}

export function located(answer: Located | NeedsIndex): Located {
  if (needsIndex(answer)) throw new Error(`shards ${answer.needs.join(", ")} are not counted`);
  return answer;
}

/** A slot that has this position, as far as locating it goes. */
export function slotAt(
  partition: number,
  entry: number,
  position: number,
  source: number = 0,
): SlotPlan {
  return { step: 0, slot: 0, index: 0, partition, entry, source, position };
}

export function totalOf(plan: Plan, partition: number, source: number = 0): number {
  const rows = plan.rows(partition, source);
  if (typeof rows !== "number") throw new Error("not counted");
  return rows;
}
