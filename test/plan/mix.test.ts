import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createCycle } from "../../src/plan/cycle.ts";
import { createMix, type MixChange } from "../../src/plan/mix.ts";
import { createPlan, type PlanSpec } from "../../src/plan/plan.ts";
import { counted, equalMixes, mixes } from "./streams.ts";

const sizes = fc.record({
  partitions: fc.integer({ min: 1, max: 9 }),
  perPartition: fc.integer({ min: 1, max: 30 }),
});
const logs = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 12 }), mixes), { maxLength: 4 })
  .map((changes) =>
    changes.reduce<MixChange[]>(
      (log, [gap, entries]) => [...log, { step: (log.at(-1)?.step ?? 0) + gap, entries }],
      [],
    ),
  );

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}

/** Counts of each entry among some places. */
function tally(entries: readonly number[], length: number): number[] {
  const counts = Array.from({ length }, () => 0);
  for (const entry of entries) counts[entry]! += 1;
  return counts;
}

describe("cycle", () => {
  test("holds every entry in proportion to its weight, and never far from it on the way", () => {
    fc.assert(
      fc.property(mixes, (entries) => {
        const cycle = createCycle(entries);
        const total = entries.reduce((sum, { weight }) => sum + weight, 0);
        const places = Array.from({ length: cycle.length }, (_, place) => cycle.entry(place));
        for (const [entry, { weight }] of entries.entries()) {
          expect(places.filter((one) => one === entry).length * total).toBe(weight * cycle.length);
          // After any number of places an entry is less than one turn of all entries from its share.
          let had = 0;
          for (const [place, one] of places.entries()) {
            had += one === entry ? 1 : 0;
            expect(Math.abs(had - ((place + 1) * weight) / total)).toBeLessThan(entries.length);
          }
        }
      }),
    );
  });

  test("is the published one: smooth weighted round robin of 5, 1, 1", () => {
    const cycle = createCycle([
      { name: "a", weight: 10 },
      { name: "b", weight: 2 },
      { name: "c", weight: 2 },
    ]);
    expect(
      Array.from({ length: cycle.length }, (_, place) => "abc"[cycle.entry(place)]).join(""),
    ).toBe("aabacaa");
  });

  test("counts and finds in closed form what counting one by one gives", () => {
    fc.assert(
      fc.property(mixes, fc.nat(), fc.nat(2000), (entries, from, places) => {
        const cycle = createCycle(entries);
        const start = from % cycle.length;
        const counts = tally(
          Array.from({ length: places }, (_, place) => cycle.entry((start + place) % cycle.length)),
          entries.length,
        );
        for (const entry of entries.keys()) {
          expect(cycle.count(entry, start, places)).toBe(counts[entry]);
          const found = cycle.find(entry, start, counts[entry]!);
          expect(cycle.entry((start + found) % cycle.length)).toBe(entry);
          expect(cycle.count(entry, start, found)).toBe(counts[entry]);
          expect(found).toBeGreaterThanOrEqual(places);
        }
      }),
    );
  });

  test("is exact up to 2^53", () => {
    fc.assert(
      fc.property(mixes, fc.nat(), fc.maxSafeNat(), (entries, from, places) => {
        const cycle = createCycle(entries);
        const start = from % cycle.length;
        const turns = BigInt(places) / BigInt(cycle.length);
        const rest = Number(BigInt(places) % BigInt(cycle.length));
        for (const entry of entries.keys()) {
          const exact =
            turns * BigInt(cycle.count(entry, 0, cycle.length)) +
            BigInt(cycle.count(entry, start, rest));
          expect(BigInt(cycle.count(entry, start, places))).toBe(exact);
        }
      }),
    );
  });

  test("rounding never carries a quotient of integers below 2^53 up to the next integer: the plan relies on it", () => {
    const positive = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
    fc.assert(
      fc.property(positive, positive, fc.nat(2), (a, b, less) => {
        // Just below a multiple of b is where it would show.
        const near = Math.max(0, a - (a % b) - less);
        for (const value of [a, near]) {
          expect(BigInt(Math.floor(value / b))).toBe(BigInt(value) / BigInt(b));
        }
      }),
      { numRuns: 5000 },
    );
  });

  test.each<[string, { name: string; weight: number }[]]>([
    ["no entry", []],
    [
      "a name twice",
      [
        { name: "a", weight: 1 },
        { name: "a", weight: 2 },
      ],
    ],
    ["an empty name", [{ name: "", weight: 1 }]],
    ["weight 0", [{ name: "a", weight: 0 }]],
    ["a negative weight", [{ name: "a", weight: -1 }]],
    ["half a weight", [{ name: "a", weight: 0.5 }]],
    ["no number", [{ name: "a", weight: Number.NaN }]],
    [
      "weights that do not divide to 1,000",
      [
        { name: "a", weight: 1000 },
        { name: "b", weight: 1 },
      ],
    ],
  ])("refuses %s", (_, entries) => {
    expect(() => createCycle(entries)).toThrow(expect.objectContaining({ code: "BAD_OPTION" }));
  });

  test("takes any weights whose ratio is small", () => {
    expect(
      createCycle([
        { name: "a", weight: 2 ** 52 },
        { name: "b", weight: 2 ** 51 },
      ]).length,
    ).toBe(3);
  });
});

describe("mix", () => {
  const spec = (
    entries: PlanSpec["entries"],
    partitions: number,
    perPartition: number,
  ): PlanSpec => ({
    seed: 1,
    batch: partitions * perPartition,
    partitions,
    entries,
    deal: "rows",
    window: 4096,
    order: "independent",
  });

  test("a batch is one stretch of the cycle; with equal weights it is balanced to within one", () => {
    fc.assert(
      fc.property(
        fc.oneof(equalMixes, mixes),
        sizes,
        fc.nat(10 ** 9),
        (entries, { partitions, perPartition }, step) => {
          const batch = partitions * perPartition;
          const plan = createPlan(spec(entries, partitions, perPartition), counted([1000]));
          const cycle = createCycle(entries);
          const held = Array.from({ length: batch }, (_, slot) => plan.slot(step, slot).entry);
          expect(held).toEqual(
            held.map((_entry, slot) => cycle.entry((step * perPartition + slot) % cycle.length)),
          );
          if (new Set(entries.map(({ weight }) => weight)).size > 1) return;
          for (const count of tally(held, entries.length)) {
            expect(
              count === Math.floor(batch / entries.length) ||
                count === Math.ceil(batch / entries.length),
            ).toBe(true);
          }
        },
      ),
    );
  });

  test("W / gcd(W, b) consecutive batches are balanced exactly, whatever the weights", () => {
    fc.assert(
      fc.property(mixes, sizes, fc.nat(10 ** 6), (entries, { partitions, perPartition }, first) => {
        const mix = createMix(entries, [], { batch: partitions * perPartition, partitions });
        const cycle = createCycle(entries);
        const steps = cycle.length / divisor(cycle.length, perPartition);
        const held: number[] = [];
        for (let step = first; step < first + steps; step++) {
          for (let partition = 0; partition < partitions; partition++) {
            for (let place = 0; place < perPartition; place++)
              held.push(mix.turn(step, partition, place).entry);
          }
        }
        const total = entries.reduce((sum, { weight }) => sum + weight, 0);
        for (const [entry, count] of tally(held, entries.length).entries())
          expect(count * total).toBe(held.length * entries[entry]!.weight);
      }),
      { numRuns: 60 },
    );
  });

  test("positions under a log of mixes are what counting from the first step gives", () => {
    fc.assert(
      fc.property(mixes, logs, sizes, (entries, log, { partitions, perPartition }) => {
        const mix = createMix(entries, log, { batch: partitions * perPartition, partitions });
        const segments = [{ step: 0, entries }, ...log];
        for (let partition = 0; partition < partitions; partition++) {
          const had = new Map<string, number>();
          const last = new Map<string, number[]>();
          for (let step = 0; step < 40; step++) {
            const segment = segments.findLast((one) => one.step <= step)!;
            const cycle = createCycle(segment.entries);
            for (let place = 0; place < perPartition; place++) {
              const number =
                (step - segment.step) * perPartition + place + partition * perPartition;
              const { name } = segment.entries[cycle.entry(number % cycle.length)]!;
              const position = had.get(name) ?? 0;
              const turn = mix.turn(step, partition, place);
              expect([mix.names[turn.entry], turn.position]).toEqual([name, position]);
              had.set(name, position + 1);
              last.set(name, [...(last.get(name) ?? []), step]);
            }
          }
          // The step of the last position below a bound, for every bound that was reached.
          for (const [name, steps] of last) {
            for (const positions of [1, steps.length]) {
              expect(mix.lastStep(partition, mix.names.indexOf(name), positions)).toBe(
                steps[positions - 1],
              );
            }
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  test("an appended change alters nothing before it and renumbers no entry", () => {
    fc.assert(
      fc.property(
        mixes,
        logs,
        sizes,
        fc.nat(60),
        (entries, log, { partitions, perPartition }, step) => {
          const whole = createPlan(
            { ...spec(entries, partitions, perPartition), log },
            counted([1000]),
          );
          const short = log.slice(0, log.filter((change) => change.step <= step).length);
          const before = createPlan(
            { ...spec(entries, partitions, perPartition), log: short },
            counted([1000]),
          );
          const grown = before.withLog(log);
          for (let slot = 0; slot < partitions * perPartition; slot++) {
            const planned = whole.slot(step, slot);
            expect(before.slot(step, slot)).toEqual(planned);
            expect(grown.slot(step, slot)).toEqual(planned);
            expect(before.locate(planned)).toEqual(whole.locate(planned));
            expect(grown.slot(step + 1000, slot)).toEqual(whole.slot(step + 1000, slot));
            expect(grown.locate(grown.slot(step + 1000, slot))).toEqual(
              whole.locate(whole.slot(step + 1000, slot)),
            );
          }
          expect(whole.entries.slice(0, before.entries.length)).toEqual(before.entries);
        },
      ),
      { numRuns: 60 },
    );
  });

  test.each([
    ["a step that is not later", [5, 5]],
    ["a step before the last", [5, 4]],
    ["step 0", [0]],
    ["half a step", [0.5]],
    ["a step beyond 2^53", [2 ** 52]],
  ])("refuses a log with %s", (_, steps) => {
    const log = steps.map((step) => ({ step, entries: [{ name: "a", weight: 1 }] }));
    expect(() =>
      createPlan({ ...spec([{ name: "a", weight: 1 }], 1, 8), log }, counted([9])),
    ).toThrow(expect.objectContaining({ code: "BAD_OPTION" }));
  });
});
