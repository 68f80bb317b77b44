import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson, digestOf, logDigest } from "../../src/plan/canonical.ts";
import { cellAt, cellsOf, defaultPartitions, firstPlace } from "../../src/plan/cells.ts";
import { checkPlan, unevenRatio } from "../../src/plan/check.ts";
import { defaultDeal, listingOrder, splitShare } from "../../src/plan/deal.ts";
import { createPlan, needsIndex, type PlanSpec } from "../../src/plan/plan.ts";
import { negativeCandidates, substituteOffset } from "../../src/plan/substitutes.ts";
import { documented } from "./specs.ts";
import { counted, located, streams } from "./streams.ts";

const documentedRows = [50, 30, 41];

describe("the worked numbers of docs/determinism.md", () => {
  const plan = createPlan(documented, counted(documentedRows));

  test.each([
    [0, 0, "rotation", 0, 0, 0, 0, 32, 0, [2, 17], [1, 20, 2, 33, 2, 25]],
    [0, 11, "similarity", 1, 0, 0, 0, 32, 1, [1, 1], [2, 8, 1, 7, 2, 14]],
    [7, 11, "ordering", 11, 0, 0, 0, 32, 11, [2, 8], [2, 10, 2, 28, 1, 25]],
    [40, 0, "rotation", 128, 2, 0, 0, 60, 8, [1, 14], [2, 37, 1, 22, 2, 33]],
    [40, 11, "similarity", 129, 2, 0, 0, 61, 7, [2, 22], [1, 27, 0, 37, 0, 29]],
  ])(
    "step %i, slot %i",
    (step, slot, entry, position, epoch, window, start, rows, offset, at, substitutes) => {
      const planned = plan.slot(step, slot);
      const one = located(plan.locate(planned));
      expect([plan.entries[planned.entry], planned.position]).toEqual([entry, position]);
      expect([one.epoch, one.window, one.start, one.rows, one.offset, one.shard, one.row]).toEqual([
        epoch,
        window,
        start,
        rows,
        offset,
        ...at,
      ]);
      expect(
        [1, 2, 3].flatMap((attempt) => {
          const row = plan.substitute(one, attempt)!;
          return [row.shard, row.row];
        }),
      ).toEqual(substitutes);
    },
  );

  test("deal, order, listing, split, log", () => {
    expect([plan.rows(0), plan.rows(1)]).toEqual([60, 61]);
    expect([[...plan.order(0, 0)], [...plan.order(0, 1)]]).toEqual([
      [1, 2, 0],
      [2, 1, 0],
    ]);
    const whole = createPlan({ ...documented, deal: "shards" }, counted(documentedRows));
    expect([whole.rows(0), whole.rows(1)]).toEqual([55, 66]);
    expect([...listingOrder(42, 5)]).toEqual([1, 2, 4, 0, 3]);
    expect(splitShare("photo-17")).toBe(0.9903705441392958);
    const log = [
      {
        step: 100,
        entries: [
          { name: "rotation", weight: 1 },
          { name: "similarity", weight: 1 },
        ],
      },
    ];
    expect(logDigest(log)).toBe("27181246c2e4b79206fb1b5e0b4557c5d4426d40640e39cd744f9dd134cfdbbd");
    expect(plan.withLog(log).slot(100, 0)).toMatchObject({ entry: 0, position: 320 });
  });
});

describe("cells", () => {
  test("share out the slots of a partition, about 8 each, in shared order whole turns of the cycle", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3000 }),
        fc.integer({ min: 1, max: 40 }),
        fc.constantFrom("independent" as const, "shared" as const),
        (slots, cycle, order) => {
          const cells = cellsOf(slots, order, cycle);
          const aim = order === "shared" ? 8 * cycle : 8;
          let next = 0;
          for (let cell = 0; cell < cells; cell++) {
            const end = firstPlace(cell + 1, slots, cells);
            expect(firstPlace(cell, slots, cells)).toBe(next);
            if (cells > 1) expect(end - next).toBeGreaterThanOrEqual(order === "shared" ? aim : 6);
            expect(end - next).toBeLessThan(2 * aim);
            for (; next < end; next++) expect(cellAt(next, slots, cells)).toBe(cell);
          }
          expect(next).toBe(slots);
        },
      ),
    );
  });

  test("of a plan hold every slot of the batch once, in order, and only slots of one partition", () => {
    fc.assert(
      fc.property(streams, fc.nat(10 ** 9), ({ spec, rows }, step) => {
        const plan = createPlan(spec, counted(rows));
        const cells = Array.from({ length: plan.cells }, (_, cell) => plan.cell(step, cell));
        expect(cells.flatMap(({ slots }) => slots)).toEqual(
          Array.from({ length: spec.batch }, (_, slot) => plan.slot(step, slot)),
        );
        for (const { cell, partition, first, slots } of cells) {
          expect(slots[0]!.slot).toBe(first);
          for (const slot of slots) {
            expect(slot.partition).toBe(partition);
            expect(plan.cellOf(slot.slot)).toBe(cell);
            expect(slot.index).toBe(step * spec.batch + slot.slot);
          }
        }
      }),
    );
  });

  test("a change of the mix does not move them", () => {
    const spec: PlanSpec = { ...documented, batch: 800, order: "shared" };
    const plan = createPlan(spec, counted(documentedRows));
    const changed = plan.withLog([{ step: 5, entries: [{ name: "rotation", weight: 1 }] }]);
    expect([plan.cells, changed.cells]).toEqual([20, 20]);
  });

  test("default number of partitions", () => {
    const cases = [1, 7, 8, 15, 16, 17, 24, 40, 49, 56, 60, 64, 100, 121, 128, 512, 1000];
    const of = (order: PlanSpec["order"], cycle: number): number[] =>
      cases.map((batch) => defaultPartitions(batch, order, cycle));
    expect(of("independent", 5)).toEqual([1, 1, 1, 1, 2, 1, 3, 5, 1, 7, 6, 8, 5, 1, 8, 8, 8]);
    expect(of("shared", 1)).toEqual(of("independent", 1));
    expect(of("shared", 5)).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 2, 8, 8]);
    expect(of("shared", 1000).every((partitions) => partitions === 1)).toBe(true);
    expect([defaultDeal(255, 8), defaultDeal(256, 8)]).toEqual(["rows", "shards"]);
  });
});

describe("substitutes", () => {
  test("are min(m, 16) different rows of the window, the neighbours last", () => {
    fc.assert(
      fc.property(streams, fc.nat(10 ** 6), fc.nat(), ({ spec, rows }, step, slot) => {
        const plan = createPlan(spec, counted(rows));
        const one = located(plan.locate(plan.slot(step, slot % spec.batch)));
        expect(plan.substitute(one, 0)).toEqual({
          shard: one.shard,
          row: one.row,
          offset: one.offset,
        });
        const most = Math.min(one.rows, 16);
        const tried = Array.from({ length: most }, (_, at) => plan.substitute(one, at + 1)!);
        expect(new Set(tried.map(({ shard, row }) => `${shard}:${row}`)).size).toBe(most);
        expect(plan.substitute(one, most + 1)).toBeUndefined();
        for (const { offset, ...row } of tried)
          expect(plan.at(one, offset)).toEqual({ ...row, offset });
        // From 32 rows on neither the row itself nor one of the next sixteen of its window.
        if (one.rows >= 32)
          for (const { offset } of tried)
            expect((offset - one.offset + one.rows) % one.rows).toBeGreaterThanOrEqual(16);
      }),
    );
  });

  test("none where the stream has passes", () => {
    expect([0, 1].map((attempt) => substituteOffset({ offset: 3, rows: 9 }, attempt, 0))).toEqual([
      3,
      undefined,
    ]);
  });
});

describe("strangers", () => {
  test("are every other slot of the cell once, then every other offset of the window once", () => {
    fc.assert(
      fc.property(
        fc.maxSafeNat(),
        fc.maxSafeNat(),
        fc.nat(4),
        fc.nat(12),
        fc.integer({ min: 1, max: 200 }),
        fc.nat(),
        (seed, index, tries, others, rows, at) => {
          const place = { index, offset: at % rows, rows };
          const attempt = Math.min(tries, rows);
          const all = [...negativeCandidates(seed, place, attempt, others)];
          const own = substituteOffset(place, attempt)!;
          const slots = all.slice(0, others).map((one) => (one.from === "cell" ? one.other : -1));
          const offsets = all.slice(others).map((one) => (one.from === "window" ? one.offset : -1));
          expect(slots.toSorted((a, b) => a - b)).toEqual(
            Array.from({ length: others }, (_, other) => other),
          );
          expect(offsets).toHaveLength(Math.min(64, rows - 1));
          expect(new Set([...offsets, own]).size).toBe(offsets.length + 1);
          for (const offset of offsets) expect(offset >= 0 && offset < rows).toBe(true);
          // Lazy: what is taken first does not depend on how much is taken.
          const few = negativeCandidates(seed, place, attempt, others);
          for (const one of all.slice(0, 3)) expect(few.next().value).toEqual(one);
        },
      ),
    );
  });

  test("come in an even order", () => {
    const first = new Map<number, number>();
    for (let index = 0; index < 7000; index++) {
      const [one] = negativeCandidates(5, { index, offset: 0, rows: 100 }, 0, 7);
      if (one?.from === "cell") first.set(one.other, (first.get(one.other) ?? 0) + 1);
    }
    const chi = [...first.values()].reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    expect(first.size).toBe(7);
    expect(chi).toBeLessThan(27.9); // 6 degrees of freedom, p = 0.0001
  });
});

describe("checks", () => {
  test("too few rows: proposes the largest number of partitions that divides the batch and has enough", () => {
    const spec = { ...documented, batch: 24, partitions: 8 };
    expect(() => checkPlan(spec, counted([15]))).toThrow(
      expect.objectContaining({ code: "TOO_FEW_ROWS", context: { partitions: 3 } }),
    );
    expect(() => checkPlan({ ...spec, partitions: 3 }, counted([15]))).not.toThrow();
    expect(() => checkPlan(spec, counted([3]))).toThrow(
      expect.objectContaining({
        code: "TOO_FEW_ROWS",
        message: expect.stringContaining("add images") as string,
      }),
    );
    const plan = createPlan(spec, counted([15]));
    expect(() => Array.from({ length: 24 }, (_, slot) => plan.locate(plan.slot(0, slot)))).toThrow(
      expect.objectContaining({ code: "TOO_FEW_ROWS" }),
    );
  });

  test("whatever it proposes passes, and it counts what the plan counts", () => {
    fc.assert(
      fc.property(
        streams,
        fc.array(fc.nat(12), { minLength: 1, maxLength: 12 }),
        ({ spec }, rows) => {
          let partitions = spec.partitions;
          try {
            checkPlan(spec, counted(rows));
          } catch (error) {
            const { context } = error as { context: { partitions?: number } };
            if (context.partitions === undefined) {
              expect(rows.reduce((sum, count) => sum + count, 0)).toBeLessThan(4);
              return;
            }
            partitions = context.partitions;
          }
          const checked = checkPlan({ ...spec, partitions }, counted(rows));
          const plan = createPlan({ ...spec, partitions }, counted(rows));
          if (needsIndex(checked)) throw new Error("counted");
          expect(checked.rows).toEqual(checked.rows.map((_, partition) => plan.rows(partition)));
          expect(checked.ratio).toBe(Math.max(...checked.rows) / Math.min(...checked.rows));
        },
      ),
    );
    expect(unevenRatio).toBe(1.1);
  });

  test("says which shards it still needs", () => {
    expect(
      checkPlan(documented, { shards: 3, rows: (shard) => (shard === 1 ? 9 : undefined) }),
    ).toEqual({ needs: [0, 2], missing: 0, rows: Infinity });
  });

  test.each<[string, Partial<PlanSpec>]>([
    ["a batch that can't be divided", { batch: 17 }],
    ["no batch", { batch: 0 }],
    ["half a batch", { batch: 16.5 }],
    ["no partition", { partitions: 0 }],
    ["a negative seed", { seed: -1 }],
    ["a seed beyond 2^53", { seed: 2 ** 53 }],
    ["no window", { window: 0 }],
    ["a window that no memory holds", { window: 2 ** 30 }],
    ["no pass", { passes: 0 }],
    ["another deal", { deal: "bytes" as "rows" }],
    ["another order", { order: "sorted" as "shared" }],
    ["no entry", { entries: [] }],
  ])("refuses %s", (_, change) => {
    expect(() => createPlan({ ...documented, ...change }, counted(documentedRows))).toThrow(
      expect.objectContaining({ code: "BAD_OPTION" }),
    );
  });

  test("refuses a source without shards, steps beyond 2^53, and slots that are not there", () => {
    expect(() => createPlan(documented, counted([]))).toThrow(
      expect.objectContaining({ code: "SOURCE_EMPTY" }),
    );
    const plan = createPlan(documented, counted(documentedRows));
    const last = 2 ** 53 / 16 - 1;
    expect(() => plan.slot(last, 15)).toThrow(
      expect.objectContaining({ code: "STEP_OUT_OF_RANGE" }),
    );
    expect(plan.slot(last - 1, 15).index).toBe(2 ** 53 - 17);
    for (const step of [-1, 0.5, 2 ** 53, Number.NaN])
      expect(() => plan.slot(step, 0)).toThrow(
        expect.objectContaining({ code: "STEP_OUT_OF_RANGE" }),
      );
    for (const slot of [-1, 16, 0.5])
      expect(() => plan.slot(0, slot)).toThrow(expect.objectContaining({ code: "BAD_SLOTS" }));
    for (const cell of [-1, plan.cells])
      expect(() => plan.cell(0, cell)).toThrow(expect.objectContaining({ code: "BAD_SLOTS" }));
  });

  test("the last step of all is planned as exactly as the first", () => {
    fc.assert(
      fc.property(streams, fc.nat(5), fc.nat(), ({ spec, rows }, back, at) => {
        const plan = createPlan(spec, counted(rows));
        const step = Math.floor((2 ** 53 - 1) / spec.batch) - 1 - back;
        const slot = at % spec.batch;
        const planned = plan.slot(step, slot);
        const perPartition = BigInt(spec.batch / spec.partitions);
        const names = plan.entries.length;
        expect(planned.position).toBeLessThanOrEqual(
          Number(BigInt(step) * perPartition + perPartition),
        );
        const one = located(plan.locate(planned));
        const total = BigInt(plan.rows(planned.partition) as number);
        expect(BigInt(one.epoch)).toBe(BigInt(planned.position) / total);
        expect(one.start + one.offset).toBe(Number(BigInt(planned.position) % total));
        expect(names).toBe(spec.entries.length);
      }),
    );
  });
});

describe("canonical JSON", () => {
  test("is RFC 8785: the example of section 3.2.2 and the order of 3.2.3", () => {
    const value = {
      numbers: [Number("333333333.33333329"), 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
      string: '€$\u000f\nA\'B"\\\\"/',
      literals: [null, true, false],
    };
    expect(canonicalJson(value)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
    const keys = {
      "\u20ac": 1,
      "\r": 2,
      "\ufb33": 3,
      "1": 4,
      "\ud83d\ude00": 5,
      "\u0080": 6,
      "\u00f6": 7,
    };
    expect(JSON.stringify(Object.values(JSON.parse(canonicalJson(keys)) as object).length)).toBe(
      "7",
    );
    expect([...canonicalJson(keys).matchAll(/:(\d)/g)].map(([, number]) => number).join("")).toBe(
      "2467153",
    );
  });

  test("does not depend on the order of keys; a digest is of the bytes", () => {
    expect(digestOf({ b: [1, { d: 1, c: "ü" }], a: null })).toBe(
      digestOf({ a: null, b: [1, { c: "ü", d: 1 }] }),
    );
    expect(digestOf({})).toBe("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
  });
});
