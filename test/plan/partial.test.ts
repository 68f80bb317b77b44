import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Counts } from "../../src/plan/deal.ts";
import { createPlan, needsIndex } from "../../src/plan/plan.ts";
import { derive } from "../../src/random/random.ts";
import { fiveTasks, oneTask } from "./specs.ts";
import { located, slotAt, streams, counted } from "./streams.ts";

/** Counts that are learnt row by row. */
function learning(rows: readonly number[]): Counts & {
  readonly sofar: (shard: number) => number;
  /** Counts a shard at least so far; to its end where `rows` is not less than what it holds and `end` is set. */
  count(shard: number, rows: number, end?: boolean): void;
} {
  const some = rows.map(() => 0);
  const whole = new Set<number>();
  return {
    shards: rows.length,
    rows: (shard) => (whole.has(shard) ? rows[shard] : undefined),
    sofar: (shard) => some[shard]!,
    count(shard, upTo, end = false) {
      some[shard] = Math.max(some[shard]!, Math.min(upTo, rows[shard]!));
      if (end && upTo >= rows[shard]!) whole.add(shard);
    },
  };
}

describe("shards that are still being counted", () => {
  test("whatever was counted in whatever order, an answer is that of the full counts and stays", () => {
    fc.assert(
      fc.property(streams, fc.maxSafeNat(), ({ spec, rows }, seed) => {
        const full = createPlan(spec, counted(rows));
        const counts = learning(rows);
        const plan = createPlan(spec, counts);
        const random = derive(seed, "arrival");
        const given: { ask: () => unknown; answer: unknown }[] = [];
        for (let turn = 0; turn < 60; turn++) {
          const shard = random.below(rows.length);
          counts.count(shard, random.below(rows[shard]! + 2), random.chance(0.4));
          // Nearer the beginning than the end, where partial counts tell.
          const step = random.below(1 + random.below(8));
          const planned = plan.slot(step, random.below(spec.batch));
          const answer = plan.locate(planned);
          if (needsIndex(answer)) continue;
          expect(answer).toEqual(full.locate(planned));
          expect(plan.at(answer, answer.rows - 1)).toEqual(full.at(answer, answer.rows - 1));
          given.push({ ask: () => plan.locate(planned), answer });
        }
        for (const shard of rows.keys()) counts.count(shard, rows[shard]!, true);
        for (const { ask, answer } of given) expect(ask()).toEqual(answer);
      }),
      { numRuns: 150 },
    );
  });

  test("a window can be planned exactly when its rows are counted without a gap; `rows` is the least that can help, and helps", () => {
    fc.assert(
      fc.property(streams, fc.nat(3000), ({ spec, rows }, position) => {
        const full = createPlan(spec, counted(rows));
        const counts = learning(rows);
        const plan = createPlan(spec, counts);
        const slot = slotAt(position % spec.partitions, 0, position);
        for (let answer = plan.locate(slot); needsIndex(answer); answer = plan.locate(slot)) {
          const shard = answer.needs[0]!;
          expect(answer.needs).toHaveLength(1);
          expect(answer.rows).toBeGreaterThan(counts.sofar(shard));
          // One row less does not do.
          counts.count(shard, answer.rows - 1);
          const still = plan.locate(slot);
          if (!needsIndex(still)) throw new Error("fewer rows were enough");
          expect(still.needs).toEqual([shard]);
          expect(still.rows).toBe(answer.rows);
          if (rows[shard]! >= answer.rows) expect(still.missing).toBe(1);
          counts.count(shard, answer.rows);
          if (rows[shard]! >= answer.rows) {
            // The last window of epoch 0 is cut only when all is counted; this one is not cut.
            expect(plan.locate(slot)).toEqual(full.locate(slot));
          } else {
            expect(plan.locate(slot)).toMatchObject({ needs: [shard], rows: answer.rows });
            counts.count(shard, rows[shard]!, true);
          }
        }
        expect(plan.locate(slot)).toEqual(full.locate(slot));
      }),
      { numRuns: 200 },
    );
  });

  test("the first batch comes after a few hundred rows of one shard, long before its end", () => {
    const rows = Array.from({ length: 50 }, () => 100_000);
    const counts = learning(rows);
    const plan = createPlan(fiveTasks, counts);
    const asked = new Set<number>();
    let most = 0;
    for (let slot = 0; slot < fiveTasks.batch; slot++) {
      for (;;) {
        const answer = plan.locate(plan.slot(0, slot));
        if (!needsIndex(answer)) break;
        asked.add(answer.needs[0]!);
        most = Math.max(most, answer.rows);
        counts.count(answer.needs[0]!, answer.rows);
      }
    }
    expect([asked.size, most]).toEqual([1, 128]);
  });

  test("costs a few questions, however many rows are counted", () => {
    let asked = 0;
    const plan = createPlan(oneTask, {
      shards: 1000,
      rows: () => void (asked += 1),
      sofar: () => {
        asked += 1;
        return 10 ** 12;
      },
    });
    located(plan.locate(slotAt(0, 0, 10 ** 11)));
    expect(asked).toBeLessThan(10);
  });

  test.each([-1, 0.5, Number.NaN])("a count of %d rows so far is a bug", (some) => {
    const plan = createPlan(oneTask, { shards: 1, rows: () => undefined, sofar: () => some });
    expect(() => plan.locate(plan.slot(0, 0))).toThrow(
      expect.objectContaining({ code: "INTERNAL" }),
    );
  });
});
