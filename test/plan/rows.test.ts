import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkPlan } from "../../src/plan/check.ts";
import { createPlan, needsIndex, type Plan, type PlanSpec } from "../../src/plan/plan.ts";
import { createDeal } from "../../src/plan/deal.ts";
import { createRecent } from "../../src/plan/recent.ts";
import { createRows, type Rows } from "../../src/plan/rows.ts";
import { createWindows } from "../../src/plan/windows.ts";
import { derive } from "../../src/random/random.ts";
import { fiveTasks } from "./specs.ts";
import { counted, located, slotAt, streams, totalOf, type Stream } from "./streams.ts";

const rowName = ({ shard, row }: { shard: number; row: number }): string => `${shard}:${row}`;

function everyRow(rows: readonly number[]): string[] {
  return rows
    .flatMap((count, shard) => Array.from({ length: count }, (_, row) => rowName({ shard, row })))
    .toSorted();
}

function epochOf(plan: Plan, partition: number, entry: number, epoch: number): string[] {
  const total = totalOf(plan, partition);
  return Array.from({ length: total }, (_, at) =>
    rowName(located(plan.locate(slotAt(partition, entry, epoch * total + at)))),
  );
}

describe("rows", () => {
  test("partitions are disjoint and complete, and every entry meets every row of its partition once an epoch", () => {
    fc.assert(
      fc.property(streams, fc.nat(10 ** 6), ({ spec, rows }, far) => {
        const plan = createPlan(spec, counted(rows));
        const all: string[] = [];
        for (let partition = 0; partition < spec.partitions; partition++) {
          const first = epochOf(plan, partition, 0, 0).toSorted();
          all.push(...first);
          const entry = far % spec.entries.length;
          for (const epoch of [0, 1, far])
            expect(epochOf(plan, partition, entry, epoch).toSorted()).toEqual(first);
        }
        expect(all.toSorted()).toEqual(everyRow(rows));
      }),
      { numRuns: 60 },
    );
  });

  test("a stream that is walked step by step gives every entry its epochs one after the other", () => {
    fc.assert(
      fc.property(streams, ({ spec, rows }) => {
        const plan = createPlan(spec, counted(rows));
        const perPartition = spec.batch / spec.partitions;
        const met = new Map<string, Map<string, number>>();
        for (let step = 0; step < 30; step++) {
          for (let slot = 0; slot < perPartition; slot++) {
            const planned = plan.slot(step, slot);
            const row = located(plan.locate(planned));
            const key = `${planned.entry} ${row.epoch}`;
            const seen = met.get(key) ?? new Map<string, number>();
            seen.set(rowName(row), (seen.get(rowName(row)) ?? 0) + 1);
            met.set(key, seen);
          }
        }
        for (const seen of met.values()) expect(Math.max(...seen.values())).toBe(1);
      }),
      { numRuns: 40 },
    );
  });

  test("an answer depends neither on the order of the questions nor on what is kept", () => {
    fc.assert(
      fc.property(
        streams,
        fc.array(fc.tuple(fc.nat(10 ** 9), fc.nat()), { minLength: 1, maxLength: 30 }),
        ({ spec, rows }, questions) => {
          const plan = createPlan(spec, counted(rows));
          const ask = (one: Plan, [step, slot]: [number, number]) =>
            one.locate(one.slot(step, slot % spec.batch));
          const answers = questions.map((question) => ask(plan, question));
          expect(questions.toReversed().map((question) => ask(plan, question))).toEqual(
            answers.toReversed(),
          );
          expect(
            questions.map((question) => ask(createPlan(spec, counted(rows)), question)),
          ).toEqual(answers);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("counting more shards never changes an answer, and counting the needed ones ends in one", () => {
    fc.assert(
      fc.property(streams, fc.maxSafeNat(), fc.boolean(), ({ spec, rows }, seed, shuffled) => {
        const whole = createPlan(spec, counted(rows));
        const known = new Map<number, number>();
        const partial = createPlan(spec, {
          shards: rows.length,
          rows: (shard) => known.get(shard),
        });
        const random = derive(seed, "counting");
        const shards = random.shuffle(rows.map((_, shard) => shard));
        for (let question = 0; question < 40; question++) {
          const epochs = random.below(3);
          const step = random.below(1 + Math.floor((epochs * 200) / spec.batch));
          const slot = random.below(spec.batch);
          const planned = partial.slot(step, slot);
          const truth = whole.locate(planned);
          let answer = partial.locate(planned);
          if (needsIndex(answer)) {
            expect(answer.needs.length).toBeGreaterThan(0);
            for (const shard of answer.needs) expect(known.has(shard)).toBe(false);
            expect(answer.missing).toBeGreaterThan(0);
            if (shuffled) {
              const next = shards.pop();
              if (next !== undefined) known.set(next, rows[next]!);
              continue;
            }
            for (let rounds = 0; needsIndex(answer); rounds++) {
              expect(rounds).toBeLessThanOrEqual(rows.length);
              for (const shard of answer.needs) known.set(shard, rows[shard]!);
              answer = partial.locate(planned);
            }
          }
          expect(answer).toEqual(truth);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("the first batch of an uncounted stream needs one shard a partition, where shards are large", () => {
    const rows = Array.from({ length: 400 }, () => 5000);
    for (const deal of ["rows", "shards"] as const) {
      const known = new Map<number, number>();
      const spec: PlanSpec = { ...fiveTasks, deal };
      const plan = createPlan(spec, { shards: rows.length, rows: (shard) => known.get(shard) });
      for (let slot = 0; slot < spec.batch; slot++) {
        for (
          let answer = plan.locate(plan.slot(0, slot));
          needsIndex(answer);
          answer = plan.locate(plan.slot(0, slot))
        ) {
          for (const shard of answer.needs) known.set(shard, rows[shard]!);
        }
      }
      expect(known.size).toBe(deal === "rows" ? 1 : spec.partitions);
      // A far step can't be planned, and says how much is missing.
      const answer = plan.locate(plan.slot(20_000, 0));
      expect(needsIndex(answer) && answer.missing).toBeGreaterThan(10_000);
    }
  });

  test("windows are consecutive rows; in epoch 0 they double up to the full size, later they are full at once", () => {
    fc.assert(
      fc.property(streams, ({ spec, rows }) => {
        const plan = createPlan(spec, counted(rows));
        const full = Math.max(64, Math.floor(spec.window / spec.partitions));
        const first = Math.max(16, Math.floor(64 / spec.partitions));
        const total = totalOf(plan, 0);
        for (const epoch of [0, 3]) {
          let at = 0;
          for (let window = 0; at < total; window++) {
            const size = Math.min(
              epoch === 0 ? Math.min(full, first * 2 ** window) : full,
              total - at,
            );
            const one = located(plan.locate(slotAt(0, 0, epoch * total + at + size - 1)));
            expect([one.epoch, one.window, one.start, one.rows, one.offset]).toEqual([
              epoch,
              window,
              at,
              size,
              size - 1,
            ]);
            const inside = Array.from({ length: size }, (_, offset) =>
              rowName(plan.at(one, offset)),
            );
            expect(new Set(inside).size).toBe(size);
            expect(inside.at(-1)).toBe(rowName(one));
            at += size;
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  test("an epoch reads one shard after the other in the order that is told", () => {
    fc.assert(
      fc.property(streams, fc.nat(5), ({ spec, rows }, epoch) => {
        const plan = createPlan(spec, counted(rows));
        const order = [...plan.order(0, epoch)];
        const total = totalOf(plan, 0);
        let furthest = 0;
        for (let position = 0; position < total; position += 1) {
          const one = located(plan.locate(slotAt(0, 0, epoch * total + position)));
          furthest = Math.max(furthest, order.indexOf(one.shard));
          // Never further ahead than the window's last row.
          const last = Math.max(
            ...Array.from({ length: one.rows }, (_, offset) =>
              order.indexOf(plan.at(one, offset).shard),
            ),
          );
          expect(furthest).toBeLessThanOrEqual(last);
        }
        if (spec.deal === "rows")
          for (let partition = 1; partition < spec.partitions; partition++)
            expect([...plan.order(partition, epoch)]).toEqual(order);
      }),
      { numRuns: 15 },
    );
  });
});

describe("how often a row is met", () => {
  /** One shard ten thousand times the size of the others. */
  const unequal = [20_000, ...Array.from({ length: 399 }, () => 2)];

  test.each(["rows", "shards"] as const)(
    "deal %s: rows of a partition differ by one at most, partitions by their ratio",
    (deal) => {
      const rows = unequal.map((count, shard) => (deal === "shards" && shard === 0 ? 2000 : count));
      const plan = createPlan(
        { ...fiveTasks, deal, entries: [{ name: "a", weight: 1 }] },
        counted(rows),
      );
      const checked = checkPlan({ ...fiveTasks, deal }, counted(rows));
      if (needsIndex(checked)) throw new Error("counted");
      const met = new Map<string, number>();
      const positions = 3 * Math.max(...checked.rows);
      const rates: number[] = [];
      for (let partition = 0; partition < fiveTasks.partitions; partition++) {
        const own = new Map<string, number>();
        for (let position = 0; position < positions; position++) {
          const row = rowName(located(plan.locate(slotAt(partition, 0, position))));
          own.set(row, (own.get(row) ?? 0) + 1);
        }
        expect(own.size).toBe(checked.rows[partition]);
        const counts = [...own.values()];
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
        rates.push(positions / own.size);
        for (const row of own.keys()) met.set(row, 1);
      }
      expect(met.size).toBe(rows.reduce((sum, count) => sum + count, 0));
      expect(Math.max(...rates) / Math.min(...rates)).toBeCloseTo(checked.ratio, 10);
      // Split row by row, partitions differ by one row a shard at most and mostly by far less: even this source is even.
      if (deal === "rows") expect(checked.ratio).toBeLessThan(1.05);
      else expect(checked.ratio).toBeGreaterThan(10);
    },
  );

  test("deal rows: partitions differ by no more than one row a shard", () => {
    fc.assert(
      fc.property(streams, ({ spec, rows }) => {
        const plan = createPlan({ ...spec, deal: "rows" }, counted(rows));
        const totals = Array.from({ length: spec.partitions }, (_, partition) =>
          totalOf(plan, partition),
        );
        expect(Math.max(...totals) - Math.min(...totals)).toBeLessThanOrEqual(rows.length);
      }),
    );
  });
});

describe("shared order", () => {
  test("with equal weights all entries meet the same row within one turn of the cycle", () => {
    fc.assert(
      fc.property(streams, fc.nat(10 ** 9), ({ spec, rows }, step) => {
        const entries = spec.entries.map(({ name }) => ({ name, weight: 3 }));
        const plan = createPlan({ ...spec, entries, order: "shared" }, counted(rows));
        const perPartition = spec.batch / spec.partitions;
        for (let slot = 0; slot < perPartition; slot++) {
          const number = step * perPartition + slot;
          const turn = Math.floor(number / entries.length);
          const planned = plan.slot(step, slot);
          expect(planned.position).toBe(turn);
          expect(rowName(located(plan.locate(planned)))).toBe(
            rowName(located(plan.locate(slotAt(0, 0, turn)))),
          );
        }
      }),
    );
  });

  test("independent order differs between entries, shared does not", () => {
    for (const order of ["independent", "shared"] as const) {
      const plan = createPlan({ ...fiveTasks, order }, counted([900, 900]));
      const ways = fiveTasks.entries.map((_, entry) => epochOf(plan, 0, entry, 1).join(" "));
      expect(new Set(ways).size).toBe(order === "shared" ? 1 : fiveTasks.entries.length);
    }
  });
});

describe("cost", () => {
  test("step 10^9 of 10^9 rows in 100,000 shards costs what step 0 costs", () => {
    let asked = 0;
    let orders = 0;
    let windows = 0;
    const counts = {
      shards: 100_000,
      rows: () => {
        asked += 1;
        return 10_000;
      },
    };
    const spec: PlanSpec = { ...fiveTasks, batch: 512, deal: "shards" };
    const plan = createPlan(spec, counts, {
      order: () => (orders += 1),
      window: () => (windows += 1),
    });
    const cost = (step: number): number[] => {
      for (let cell = 0; cell < plan.cells; cell++)
        for (const slot of plan.cell(step, cell).slots) plan.locate(slot);
      [asked, orders, windows] = [0, 0, 0];
      for (let cell = 0; cell < plan.cells; cell++)
        for (const slot of plan.cell(step, cell).slots) plan.locate(slot);
      return [asked, orders, windows];
    };
    expect(cost(0)).toEqual([0, 0, 0]);
    expect(cost(10 ** 9)).toEqual([0, 0, 0]);
    // The next step of an epoch that is under way: no order anew, and a window a partition and entry at most.
    [asked, orders, windows] = [0, 0, 0];
    for (let cell = 0; cell < plan.cells; cell++)
      for (const slot of plan.cell(10 ** 9 + 1, cell).slots) plan.locate(slot);
    expect([asked, orders]).toEqual([0, 0]);
    expect(windows).toBeLessThanOrEqual(spec.partitions * spec.entries.length);
    // Any step at all, cold: one order a partition and epoch, each shard counted once for it.
    [asked, orders, windows] = [0, 0, 0];
    for (let cell = 0; cell < plan.cells; cell++)
      for (const slot of plan.cell(7 * 10 ** 9, cell).slots) plan.locate(slot);
    expect(orders).toBe(spec.partitions);
    expect(asked).toBe(counts.shards);
    expect(windows).toBeLessThanOrEqual(2 * spec.partitions * spec.entries.length);
  });

  test("what is kept stays below its limit, oldest out first; a value above it is kept alone", () => {
    const made: string[] = [];
    const recent = createRecent<number[]>(10, (value) => value.length);
    const get = (key: string, length: number): number =>
      recent.get(key, () => {
        made.push(key);
        return Array.from({ length }, () => 0);
      }).length;
    get("a", 4);
    get("b", 4);
    get("a", 4);
    get("c", 4); // b goes
    get("a", 4);
    get("c", 4);
    get("b", 4); // a goes
    get("huge", 50); // all go
    get("huge", 50);
    get("c", 4);
    expect(made).toEqual(["a", "b", "c", "b", "huge", "c"]);
  });
});

test("where many shards meet many partitions less is kept, and every answer is the same", () => {
  fc.assert(
    fc.property(
      streams,
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 0, max: 60 }),
      fc.array(fc.tuple(fc.nat(), fc.nat(400)), { minLength: 1, maxLength: 60 }),
      ({ spec, rows }, kept, unknown, questions) => {
        const { seed, partitions, window, deal, order } = spec;
        const known = Float64Array.from(rows);
        /** Some shards are counted later, and one of them in parts. */
        let late = unknown;
        const counts = {
          shards: rows.length,
          rows: (shard: number) => (shard % 7 < late % 7 ? undefined : known[shard]),
          sofar: (shard: number) => Math.floor(known[shard]! / 2),
        };
        const source = { source: 0, first: 0, shards: rows.length, weight: 1, deal, own: [] };
        const made = (most?: number): Rows =>
          createRows(
            {
              seed,
              partitions,
              source,
              shared: order === "shared",
              ...(most !== undefined && { kept: most }),
            },
            counts,
            createDeal(seed, source, partitions),
            createWindows(window, partitions),
            {},
          );
        const [all, few] = [made(), made(kept)];
        for (const [at, [partition, position]] of questions.entries()) {
          if (at === questions.length >> 1) late = 0;
          const ask = (one: Rows): unknown[] => {
            const own = partition % partitions;
            return [
              one.locate(own, 0, "rotation", position),
              one.stretch(own, position, position + 9),
              one.total(own),
            ];
          };
          expect(ask(few)).toEqual(ask(all));
        }
      },
    ),
    { numRuns: 300 },
  );
});

describe("passes", () => {
  const finite = fc
    .tuple(streams, fc.integer({ min: 1, max: 3 }))
    .map(([stream, passes]): Stream => ({ ...stream, spec: { ...stream.spec, passes } }));

  test("every entry meets every row exactly so often, the last step is known, and later ones are empty", () => {
    fc.assert(
      fc.property(finite, ({ spec: { seed, ...rest }, rows }) => {
        // Small weights, or the rarest entry takes very long.
        const entries = rest.entries.map(({ name, weight }) => ({
          name,
          weight: (weight % 3) + 1,
        }));
        const spec = { ...rest, seed, entries };
        const plan = createPlan(spec, counted(rows));
        const steps = plan.steps()!;
        const met = new Map<string, number>();
        for (let step = 0; step < steps; step++) {
          let any = false;
          for (let cell = 0; cell < plan.cells; cell++) {
            for (const slot of plan.cell(step, cell).slots) {
              any = true;
              const key = `${slot.entry} ${rowName(located(plan.locate(slot)))}`;
              met.set(key, (met.get(key) ?? 0) + 1);
            }
          }
          if (step === steps - 1) expect(any).toBe(true);
        }
        const wanted = everyRow(rows).flatMap((row) =>
          entries.map((_, entry) => `${entry} ${row}`),
        );
        expect([...met.keys()].toSorted()).toEqual(wanted.toSorted());
        expect(new Set(met.values())).toEqual(new Set([spec.passes]));
        for (const step of [steps, steps + 1, steps + 1000]) {
          for (let slot = 0; slot < spec.batch; slot++) expect(plan.exists(step, slot)).toBe(false);
        }
      }),
      { numRuns: 25 },
    );
  });

  test("has no substitutes, and can't be planned before all is counted", () => {
    const plan = createPlan({ ...fiveTasks, passes: 1 }, counted([500]));
    expect(plan.substitute(located(plan.locate(plan.slot(0, 0))), 1)).toBeUndefined();
    const uncounted = createPlan({ ...fiveTasks, passes: 1 }, { shards: 1, rows: () => undefined });
    for (const ask of [
      () => uncounted.steps(),
      () => uncounted.exists(0, 0),
      () => uncounted.cell(0, 0),
    ]) {
      expect(ask).toThrow(expect.objectContaining({ code: "NEEDS_INDEX" }));
    }
    expect(uncounted.rows(0)).toEqual({ needs: [0], missing: 0, rows: Infinity });
  });

  test("an endless stream has no last step", () => {
    const plan = createPlan(fiveTasks, counted([500]));
    expect(plan.steps()).toBeUndefined();
    expect(plan.exists(10 ** 12, 63)).toBe(true);
  });
});
