import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkPlan } from "../../src/plan/check.ts";
import { createPlan, needsIndex, type Plan, type PlanSpec } from "../../src/plan/plan.ts";
import { listingOrder } from "../../src/plan/deal.ts";
import { documented, fiveTasks } from "./specs.ts";
import { counted, fitting, located, several, slotAt, streams, totalOf } from "./streams.ts";

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
const times = (length: number): number[] => Array.from({ length }, (_, at) => at);

describe("the worked numbers of docs/determinism.md", () => {
  const rows = [50, 30, 41, 25, 36, 40];
  const sources = [
    { weight: 4, shards: 3 },
    { weight: 2, shards: 2 },
    { weight: 1, shards: 1 },
  ];
  const two = [
    { weight: 4, shards: 3 },
    { weight: 3, shards: 3 },
  ];
  const plan = createPlan({ ...documented, sources }, counted(rows));
  const shared: PlanSpec = { ...documented, order: "shared" };
  /** Batches of whole turns, and turns in parts. */
  const whole = createPlan({ ...shared, batch: 80, sources }, counted(rows));
  const parts = createPlan({ ...shared, sources: two }, counted(rows));

  test.each([
    [plan, 0, "0 1 0 2 0 1 0 0 1 0 2 0 1 0 0 0"],
    [plan, 4, "0 1 0 2 0 1 0 0 1 0 2 0 1 0 0 0"],
    [plan, 5, "1 0 2 0 1 0 0 1 0 2 0 1 0 0 1 0"],
    [plan, 9, "1 0 2 0 1 0 0 1 0 2 0 1 0 0 1 0"],
    [plan, 40, "1 0 2 0 1 0 0 1 0 2 0 1 0 0 1 0"],
    [plan, 10 ** 9, "0 1 0 0 1 0 2 0 1 0 0 1 0 2 0 1"],
    [parts, 0, "0 0 0 0 0 0 0 0 1 1 1 1 1 1 1 1"],
    [parts, 1, "0 0 0 0 0 0 0 0 1 1 1 1 1 1 1 0"],
    [parts, 7, "0 0 0 0 0 0 0 0 1 1 1 1 1 1 1 1"],
    [parts, 10 ** 9, "1 1 1 1 1 1 1 1 0 0 0 0 0 0 0 0"],
  ])("sources of slots", (one, step, sources) => {
    expect(
      times(16)
        .map((slot) => one.slot(step, slot).source)
        .join(" "),
    ).toBe(sources);
  });

  test.each([
    [0, "0 1 0 2 0 1 0 0 1 0 2 0 1 0 0 0"],
    [1, "1 0 2 0 1 0 0 1 0 2 0 1 0 0 1 0"],
    [7, "0 1 0 2 0 1 0 0 1 0 2 0 1 0 0 0"],
    [10 ** 9, "0 0 1 0 2 0 1 0 0 1 0 2 0 1 0 2"],
  ])("sources of turns", (step, sources) => {
    const of = times(80).map((slot) => whole.slot(step, slot).source);
    for (const [slot, source] of of.entries()) expect(source).toBe(of[slot - (slot % 5)]);
    expect(of.filter((_, slot) => slot % 5 === 0).join(" ")).toBe(sources);
  });

  test.each([
    [plan, 0, 0, "rotation 0 0 0 0 0,32 0 2,25 2,9 1,28 1,16"],
    [plan, 0, 14, "similarity 0 2 0 0 0,32 2 1,1 2,22 1,15 2,2"],
    [plan, 7, 11, "ordering 1 3 0 0 0,31 3 3,10 4,25 4,23 4,17"],
    [plan, 40, 0, "rotation 1 36 1 0 0,30 6 4,8 4,30 4,32 3,9"],
    [plan, 10 ** 9, 9, "similarity 0 1828571430 29976580 0 0,61 50 1,9 2,6 1,3 2,24"],
    [whole, 0, 19, "similarity 2 1 0 0 0,20 1 5,10 5,16 5,2 5,14"],
    [whole, 7, 11, "similarity 0 66 1 0 0,60 6 0,4 2,9 0,40 0,12"],
    [whole, 40, 79, "similarity 0 375 6 0 0,61 9 1,21 2,30 1,19 2,14"],
    [whole, 10 ** 9, 45, "rotation 1 4571428572 147465437 0 0,31 25 4,9 4,1 4,27 3,12"],
    [parts, 0, 14, "similarity 1 2 0 0 0,32 2 3,20 5,39 5,33 5,13"],
    [parts, 7, 11, "ordering 1 3 0 0 0,32 3 5,7 5,33 5,13 5,35"],
    [parts, 40, 0, "rotation 1 56 1 0 0,50 6 4,18 5,18 4,0 4,34"],
    [parts, 10 ** 9, 9, "similarity 0 1828571426 29976580 0 0,61 46 2,22 0,33 0,19 1,23"],
  ])("rows of slots", (one, step, slot, line) => {
    const planned = one.slot(step, slot);
    const row = located(one.locate(planned));
    const substitutes = [1, 2, 3].map((attempt) => one.substitute(row, attempt)!);
    expect(
      [
        one.entries[row.entry],
        row.source,
        planned.position,
        row.epoch,
        row.window,
        [row.start, row.rows],
        row.offset,
        ...[row, ...substitutes].map((place) => [place.shard, place.row]),
      ].join(" "),
    ).toBe(line);
  });

  test("deal, order, a change of the mix", () => {
    expect([0, 1, 2].map((source) => [plan.rows(0, source), plan.rows(1, source)])).toEqual([
      [60, 61],
      [30, 31],
      [20, 20],
    ]);
    expect([0, 1].map((epoch) => [0, 1, 2].map((i) => [...plan.order(0, epoch, i)]))).toEqual([
      [[1, 2, 0], [4, 3], [5]],
      [[2, 1, 0], [4, 3], [5]],
    ]);
    const entries = ["rotation", "similarity"].map((name) => ({ name, weight: 1 }));
    const changed = plan.withLog([{ step: 6, entries }]);
    const slots = [0, 3, 9].map((slot) => changed.slot(7, slot));
    expect(slots.map(({ entry, source, position }) => [entry, source, position])).toEqual([
      [0, 1, 5],
      [2, 0, 14],
      [2, 2, 3],
    ]);
  });
});

const rowName = ({ shard, row }: { shard: number; row: number }): string => `${shard}:${row}`;

describe("rows of several sources", () => {
  test("every entry meets every row of a source's partition once an epoch of that source, and no row of another", () => {
    fc.assert(
      fc.property(several, fc.nat(10 ** 6), ({ spec, rows }, far) => {
        const plan = createPlan(spec, counted(rows));
        const entry = far % spec.entries.length;
        let first = 0;
        for (const [source, { shards }] of spec.sources!.entries()) {
          const all: string[] = [];
          for (let partition = 0; partition < spec.partitions; partition++) {
            const total = totalOf(plan, partition, source);
            const epochs = [0, 1, far].map((epoch) =>
              times(total).map((at) => {
                const slot = slotAt(partition, entry, epoch * total + at, source);
                const row = located(plan.locate(slot));
                expect(row.source).toBe(source);
                return rowName(row);
              }),
            );
            for (const met of epochs) expect(met.toSorted()).toEqual(epochs[0]!.toSorted());
            all.push(...epochs[0]!);
          }
          const wanted = times(shards).flatMap((at) =>
            times(rows[first + at]!).map((row) => rowName({ shard: first + at, row })),
          );
          expect(all.toSorted()).toEqual(wanted.toSorted());
          first += shards;
        }
      }),
      { numRuns: 40 },
    );
  });

  test("walked step by step, substitutes and windows stay within the source", () => {
    fc.assert(
      fc.property(several, fc.nat(10 ** 9), ({ spec, rows }, step) => {
        const plan = createPlan(spec, counted(rows));
        const ends: number[] = [];
        for (const { shards } of spec.sources!) ends.push((ends.at(-1) ?? 0) + shards);
        const sourceOfShard = (shard: number): number => ends.findIndex((end) => shard < end);
        for (let slot = 0; slot < spec.batch; slot++) {
          const planned = plan.slot(step, slot);
          const row = located(plan.locate(planned));
          expect(row.source).toBe(planned.source);
          for (let offset = 0; offset < row.rows; offset++)
            expect(sourceOfShard(plan.at(row, offset).shard)).toBe(planned.source);
          expect(sourceOfShard(plan.substitute(row, 1)!.shard)).toBe(planned.source);
        }
      }),
      { numRuns: 40 },
    );
  });

  test("in shared order with equal weights all entries of a turn ask for one image", () => {
    fc.assert(
      fc.property(several, fc.nat(10 ** 9), ({ spec, rows }, step) => {
        const entries = spec.entries.map(({ name }) => ({ name, weight: 3 }));
        const shared = fitting({ ...spec, entries, order: "shared" });
        const plan = createPlan(shared, counted(rows));
        const perPartition = shared.batch / spec.partitions;
        const images = new Map<string, string>();
        for (let slot = 0; slot < shared.batch; slot++) {
          const planned = plan.slot(step, slot);
          const number = step * perPartition + slot - planned.partition * perPartition;
          const turn = `${planned.partition} ${Math.floor(number / entries.length)}`;
          const image = rowName(located(plan.locate(planned)));
          expect(images.get(turn) ?? image).toBe(image);
          images.set(turn, image);
        }
      }),
    );
  });

  test("one source of any weight is the stream without sources, bit for bit", () => {
    fc.assert(
      fc.property(
        streams,
        fc.integer({ min: 1, max: 1000 }),
        fc.nat(10 ** 9),
        ({ spec, rows }, weight, step) => {
          const plain = createPlan(spec, counted(rows));
          const sources = [{ weight, shards: rows.length }];
          const named = createPlan({ ...spec, sources }, counted(rows));
          for (let slot = 0; slot < spec.batch; slot++) {
            const planned = plain.slot(step, slot);
            expect(named.slot(step, slot)).toEqual(planned);
            expect(named.locate(planned)).toEqual(plain.locate(planned));
          }
        },
      ),
    );
  });

  test("sources of the same rows are dealt, read and shuffled differently", () => {
    const rows = [...times(40), ...times(40)].map(() => 30);
    const plan = createPlan(
      {
        ...fiveTasks,
        sources: [
          { weight: 1, shards: 40 },
          { weight: 1, shards: 40 },
        ],
      },
      counted(rows),
    );
    const second = [...plan.order(0, 0, 1)].map((shard) => shard - 40);
    expect(second).not.toEqual([...plan.order(0, 0)]);
    expect(new Set(second)).toEqual(new Set(plan.order(0, 0)));
    const offsets = (source: number): number[] => {
      const one = located(plan.locate(slotAt(0, 0, 0, source)));
      return times(one.rows).map((offset) => plan.at(one, offset).row);
    };
    expect(offsets(0)).not.toEqual(offsets(1));
    expect(listingOrder(1, 20, 0)).not.toEqual(listingOrder(1, 20, 1));
    expect(listingOrder(1, 20, 0)).not.toEqual(listingOrder(1, 20));
  });

  test("passes: every entry meets every row of every source exactly so often, the last step is known", () => {
    fc.assert(
      fc.property(several, fc.integer({ min: 1, max: 2 }), ({ spec: given, rows }, passes) => {
        const entries = given.entries.slice(0, 3).map(({ name, weight }) => ({
          name,
          weight: (weight % 2) + 1,
        }));
        const spec = fitting({ ...given, entries, passes });
        const plan = createPlan(spec, counted(rows));
        const steps = plan.steps()!;
        const met = new Map<string, number>();
        let last = -1;
        for (let step = 0; step < steps + 2; step++) {
          for (let cell = 0; cell < plan.cells; cell++) {
            for (const slot of plan.cell(step, cell).slots) {
              last = step;
              const key = `${slot.entry} ${rowName(located(plan.locate(slot)))}`;
              met.set(key, (met.get(key) ?? 0) + 1);
            }
          }
        }
        expect(last).toBe(steps - 1);
        expect(met.size).toBe(sum(rows) * entries.length);
        expect(new Set(met.values())).toEqual(new Set([passes]));
      }),
      { numRuns: 15 },
    );
  });
});

describe("cost", () => {
  test.each<[string, PlanSpec, number[]]>([
    ["independent", fiveTasks, [5, 3, 1]],
    ["shared, whole turns", { ...fiveTasks, batch: 80, order: "shared" }, [5, 3, 1]],
    ["shared, parts of turns", { ...fiveTasks, order: "shared" }, [5, 3]],
  ])("%s: step 10^9 costs what step 0 costs", (_, given, weights) => {
    let calls = 0;
    let orders = 0;
    const counts = {
      shards: 1000 * weights.length,
      rows: () => {
        calls += 1;
        return 10_000;
      },
    };
    const sources = weights.map((weight) => ({ weight, shards: 1000, deal: "shards" as const }));
    const spec: PlanSpec = { ...given, sources };
    const plan = createPlan(spec, counts, { order: () => (orders += 1) });
    const cost = (step: number): number[] => {
      [calls, orders] = [0, 0];
      for (let slot = 0; slot < spec.batch; slot++) plan.locate(plan.slot(step, slot));
      return [calls, orders];
    };
    cost(0);
    const far = cost(10 ** 9);
    // One order a partition, source and epoch that is under way: entries may stand on both sides of a border.
    expect(far[1]).toBeLessThanOrEqual(2 * 8 * weights.length);
    expect(far[0]).toBeLessThanOrEqual(2 * counts.shards);
    expect(cost(10 ** 9)).toEqual([0, 0]);
    const last = Math.floor(2 ** 53 / spec.batch) - 2;
    expect(plan.slot(last, spec.batch - 1).position).toBeLessThan(2 ** 53);
  });
});

describe("checks", () => {
  const sources = [
    { weight: 2, shards: 1 },
    { weight: 1, shards: 1 },
  ];
  const few: PlanSpec = { ...fiveTasks, batch: 24, partitions: 8, sources };

  test("too few rows: names the source, and proposes what is enough for all", () => {
    expect(() => checkPlan(few, counted([400, 15]))).toThrow(
      expect.objectContaining({
        code: "TOO_FEW_ROWS",
        context: { partitions: 3, source: 1 },
        message: expect.stringContaining("source 1: partition") as string,
      }),
    );
    expect(() => checkPlan(few, counted([400, 3]))).toThrow(
      expect.objectContaining({ code: "TOO_FEW_ROWS", context: { source: 1 } }),
    );
    const check = checkPlan({ ...few, partitions: 3 }, counted([400, 16]));
    expect(check).toEqual({ source: 1, rows: expect.anything() as unknown, ratio: 6 / 5 });
    const plan: Plan = createPlan(few, counted([400, 15]));
    expect(() => times(24).map((slot) => plan.locate(plan.slot(0, slot)))).toThrow(
      expect.objectContaining({
        code: "TOO_FEW_ROWS",
        message: expect.stringContaining("source 1: ") as string,
      }),
    );
  });

  test("shared order: turns in parts refuse three unequal sources, in a change of the mix as well", () => {
    const three = [3, 2, 1].map((weight) => ({ weight, shards: 1 }));
    const spec: PlanSpec = { ...fiveTasks, order: "shared", sources: three };
    const refused = expect.objectContaining({
      code: "BAD_OPTION",
      message: expect.stringContaining("set batch to 40 or 80 (with partitions 8)") as string,
    });
    const counts = counted([900, 900, 900]);
    expect(() => createPlan(spec, counts)).toThrow(refused);
    const plan = createPlan({ ...spec, entries: spec.entries.slice(0, 4) }, counts);
    expect(() => plan.withLog([{ step: 9, entries: spec.entries }])).toThrow(refused);
    expect(() => createPlan({ ...spec, batch: 120, partitions: 10 }, counts)).toThrow(
      expect.objectContaining({
        message: expect.stringContaining("set partitions to 8,") as string,
      }),
    );
  });

  test("an uncounted source is named by its own shards, while the other can be planned", () => {
    const plan = createPlan(few, { shards: 2, rows: (shard) => (shard === 0 ? 500 : undefined) });
    expect(plan.rows(0, 1)).toEqual({ needs: [1], missing: 0, rows: Infinity });
    expect(needsIndex(plan.locate(slotAt(0, 0, 0, 0)))).toBe(false);
    expect(plan.locate(slotAt(0, 0, 0, 1))).toMatchObject({ needs: [1] });
  });

  test.each<[string, PlanSpec["sources"]]>([
    ["no source", []],
    ["weight 0", [{ weight: 0, shards: 2 }]],
    ["a weight above 1,000", [{ weight: 1001, shards: 2 }]],
    ["half a weight", [{ weight: 0.5, shards: 2 }]],
    [
      "a source without shards",
      [
        { weight: 1, shards: 2 },
        { weight: 1, shards: 0 },
      ],
    ],
    ["shards that are not there", [{ weight: 1, shards: 3 }]],
    ["shards that belong to nobody", [{ weight: 1, shards: 1 }]],
    ["another deal", [{ weight: 1, shards: 2, deal: "bytes" as "rows" }]],
    [
      "weights that do not divide to 1,000",
      [
        { weight: 1000, shards: 1 },
        { weight: 1, shards: 1 },
      ],
    ],
  ])("refuses %s", (_, given) => {
    expect(() => createPlan({ ...fiveTasks, sources: given }, counted([50, 50]))).toThrow(
      expect.objectContaining({ code: "BAD_OPTION" }),
    );
  });
});
