import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createPlan, needsIndex, type Plan, type PlanSpec } from "../../src/plan/plan.ts";
import { derive } from "../../src/random/random.ts";
import { fiveTasks, oneTask } from "./specs.ts";
import {
  counted,
  fitting,
  located,
  several,
  slotAt,
  streams,
  totalOf,
  type Stream,
} from "./streams.ts";

const either: fc.Arbitrary<Stream> = fc.oneof(streams, several);

/** How many rows of each shard a partition holds: by looking at a whole epoch. */
function holdings(plan: Plan, partition: number, source: number): Map<number, number> {
  const held = new Map<number, number>();
  for (let position = 0; position < totalOf(plan, partition, source); position++) {
    const { shard } = located(plan.locate(slotAt(partition, 0, position, source)));
    held.set(shard, (held.get(shard) ?? 0) + 1);
  }
  return held;
}

/** Distance of every shard by going on row by row: places of the epochs' orders behind the windows of the step, least over all entries and sources. */
function walked(plan: Plan, step: number, partition: number): Map<number, number> {
  const { batch, partitions, passes = Infinity, sources = [0] } = plan.spec;
  const perPartition = batch / partitions;
  const slots = Array.from({ length: perPartition }, (_, place) =>
    plan.slot(step, partition * perPartition + place),
  );
  const least = new Map<number, number>();
  for (const source of sources.keys()) {
    const total = totalOf(plan, partition, source);
    const held = holdings(plan, partition, source);
    for (const entry of plan.entries.keys()) {
      const own = slots.filter((one) => one.entry === entry && one.source === source);
      // Where the step has none, the next one of a later step.
      let next = own[0];
      for (let later = step + 1; !next; later++) {
        for (let place = 0; place < perPartition; place++) {
          const one = plan.slot(later, partition * perPartition + place);
          if (one.entry === entry && one.source === source) next ??= one;
        }
      }
      const first = next.position;
      if (first >= passes * total) continue;
      const last = Math.min(own.at(-1)?.position ?? first, passes * total - 1);
      const epoch = Math.floor(first / total);
      const begin = located(plan.locate(slotAt(partition, entry, first, source))).start;
      const end = located(plan.locate(slotAt(partition, entry, last, source)));
      const until = (end.epoch - epoch) * total + end.start + end.rows;
      let row = 0;
      let place = 0;
      let present = 0;
      for (let at = epoch; at < Math.min(passes, epoch + 3 + end.epoch - epoch); at++) {
        for (const shard of plan.order(partition, at, source)) {
          const rows = held.get(shard) ?? 0;
          if (rows > 0 && row + rows > begin) {
            if (row < until) present = place;
            const far = row < until ? 0 : place - present;
            least.set(shard, Math.min(least.get(shard) ?? Infinity, far));
          }
          row += rows;
          place += 1;
        }
      }
    }
  }
  return least;
}

describe("which shards come next", () => {
  test("is what going on row by row finds, across the ends of epochs and passes", () => {
    fc.assert(
      fc.property(
        either,
        fc.oneof(fc.nat(30), fc.nat(10 ** 8)),
        fc.nat(),
        fc.constantFrom(undefined, 1, 2),
        fc.integer({ min: 1, max: 60 }),
        ({ spec: given, rows }, step, at, passes, count) => {
          const entries = given.entries
            .slice(0, 3)
            .map(({ name, weight }) => ({ name, weight: (weight % 4) + 1 }));
          const spec = fitting({ ...given, entries, ...(passes !== undefined && { passes }) });
          const plan = createPlan(spec, counted(rows));
          const partition = at % spec.partitions;
          const truth = walked(plan, step, partition);
          const upcoming = plan.upcoming(step, partition);
          const ranks = rows.map((_, shard) => upcoming.rank(shard));
          expect(ranks).toEqual(rows.map((_, shard) => truth.get(shard) ?? Infinity));
          const zero = [...truth].filter(([, far]) => far === 0).map(([shard]) => shard);
          expect(upcoming.now.length).toBe(zero.length);
          expect(new Set(upcoming.now)).toEqual(new Set(zero));
          const wanted = ranks.filter((far) => far > 0 && far < Infinity).toSorted((a, b) => a - b);
          const next = upcoming.next(count);
          expect(new Set(next).size).toBe(next.length);
          expect(next.map((shard) => ranks[shard])).toEqual(wanted.slice(0, count));
        },
      ),
      { numRuns: 150 },
    );
  });

  test("every row of a batch is of a shard that is needed now, and so is the shard that it waits for", () => {
    fc.assert(
      fc.property(either, fc.nat(60), fc.maxSafeNat(), ({ spec, rows }, step, seed) => {
        const random = derive(seed, "known");
        const some = rows.map((count) => [random.chance(0.6), random.below(count + 1)] as const);
        const plan = createPlan(spec, {
          shards: rows.length,
          rows: (shard) => (some[shard]![0] ? rows[shard] : undefined),
          sofar: (shard) => some[shard]![1],
        });
        const ways = Array.from({ length: spec.partitions }, (_, partition) =>
          plan.upcoming(step, partition),
        );
        for (let slot = 0; slot < spec.batch; slot++) {
          const planned = plan.slot(step, slot);
          const answer = plan.locate(planned);
          const way = ways[planned.partition]!;
          const shard = needsIndex(answer) ? answer.needs[0]! : answer.shard;
          expect(way.rank(shard)).toBe(0);
          expect(way.now).toContain(shard);
          // Known counts or not, every shard that may hold rows of the partition has its turn.
          const all = new Set([...way.now, ...way.next(rows.length)]);
          for (let one = 0; one < rows.length; one++)
            expect(all.has(one)).toBe(way.rank(one) < Infinity);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("an entry that only a later change of the mix brings back is not needed now, but the last pass still is not over", () => {
    const spec: PlanSpec = {
      ...oneTask,
      seed: 3,
      passes: 1,
      log: [{ step: 400, entries: [{ name: "b", weight: 1 }] }],
    };
    const rows = Array.from({ length: 10 }, () => 64);
    const plan = createPlan(spec, counted(rows));
    const first = plan.order(0, 0)[0]!;
    const last = plan.order(0, 0)[9]!;
    const late = plan.upcoming(399, 0);
    expect([late.now, late.rank(first), late.rank(last)]).toEqual([[], 1, 10]);
    expect(late.next(3)).toEqual([...plan.order(0, 0)].slice(0, 3));
    // Without the change nothing more would come.
    const over = plan.withLog([]).upcoming(399, 0);
    expect([over.now, over.next(3), over.rank(last)]).toEqual([[], [], Infinity]);
    // An entry that has left is needed no more.
    expect(plan.upcoming(479, 0).rank(first)).toBe(Infinity);
  });

  test("costs no walk over all shards", () => {
    let asked = 0;
    const shards = 100_000;
    const spec: PlanSpec = { ...fiveTasks, batch: 512, deal: "shards" };
    const plan = createPlan(spec, {
      shards,
      rows: () => {
        asked += 1;
        return 10_000;
      },
    });
    plan.upcoming(10 ** 6, 3).rank(0);
    asked = 0;
    const upcoming = plan.upcoming(10 ** 6, 3);
    expect(upcoming.next(20)).toHaveLength(20);
    for (let shard = 0; shard < 100; shard++) upcoming.rank(shard);
    expect(asked).toBeLessThan(1000);
  });

  test("refuses a step that is none", () => {
    const plan = createPlan(oneTask, counted([100]));
    expect(() => plan.upcoming(-1, 0)).toThrow(
      expect.objectContaining({ code: "STEP_OUT_OF_RANGE" }),
    );
  });
});
