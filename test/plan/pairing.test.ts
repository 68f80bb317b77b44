import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { createCycle, createStrides, weighted, type MixEntry } from "../../src/plan/cycle.ts";
import { createMix, type Mix, type MixChange } from "../../src/plan/mix.ts";
import { createPairing } from "../../src/plan/pairing.ts";

import { mixes, needsWholeTurns } from "./streams.ts";

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
const times = (length: number): number[] => Array.from({ length }, (_, at) => at);

/** Two sources or more; weights from all equal to far apart. */
const weightings = fc
  .tuple(
    fc.integer({ min: 2, max: 6 }),
    fc.constantFrom(1, 3, 10, 160),
    fc.array(fc.nat(), { minLength: 6, maxLength: 6 }),
  )
  .map(([count, heaviest, draws]) => times(count).map((at) => (draws[at]! % heaviest) + 1));

const sizes = fc.record({
  partitions: fc.integer({ min: 1, max: 9 }),
  perPartition: fc.integer({ min: 1, max: 30 }),
});

/** Slots of a partition, rounded up where the mixes' turns must lie within a batch. */
function fitting(
  perPartition: number,
  weights: readonly number[],
  shared: boolean,
  ...every: (readonly MixEntry[])[]
): number {
  if (!shared || !needsWholeTurns(weights)) return perPartition;
  const turns = every
    .map((entries) => createCycle(entries).length)
    .reduce((all, turn) => (all * turn) / divisor(all, turn), 1);
  return Math.ceil(perPartition / turns) * turns;
}

/** What a stranger would write from docs/determinism.md: the source of a slot, in one mix. */
function sourceOf(
  weights: readonly number[],
  cycleLength: number,
  { batch, partitions, shared }: { batch: number; partitions: number; shared: boolean },
  step: number,
  slot: number,
): number {
  const cycle = weighted("sources", weights, String);
  const V = cycle.length;
  const b = batch / partitions;
  const c = Math.floor(slot / b);
  const row = weights.flatMap((_, source) => times(cycle.count(source, 0, V)).map(() => source));
  let stride = Math.floor((89 * V) / 144);
  while (divisor(V, stride) > 1) stride += 1;
  const of = (s: number, all: number, h: number): number => {
    const left = all % V;
    if (s < all - left) return cycle.entry((s + h) % V);
    return row[(Math.floor(((s - all + left) * V) / left) + h * stride) % V]!;
  };
  if (shared && b % cycleLength === 0) {
    const turn = (c * b) / cycleLength + Math.floor((slot - c * b) / cycleLength);
    return of(turn, batch / cycleLength, step);
  }
  if (shared) {
    const u = Math.floor((step * b + slot - c * b) / cycleLength);
    const round = V / divisor(V, partitions);
    return cycle.entry((u * partitions + ((c + Math.floor(u / round)) % partitions)) % V);
  }
  const turns = Math.floor(step / (cycleLength / divisor(cycleLength, b)));
  return of(slot, batch, turns);
}

/** The pairs of a partition's slots in a stretch of steps. */
function pairs(mix: Mix, partition: number, perPartition: number, from: number, to: number) {
  const turns = [];
  for (let step = from; step < to; step++)
    for (let place = 0; place < perPartition; place++) turns.push(mix.turn(step, partition, place));
  return turns;
}

describe("which source a slot has", () => {
  test("places with a stride are counted in closed form as one by one", () => {
    fc.assert(
      fc.property(mixes, fc.nat(2000), fc.nat(), fc.nat(3000), (entries, stride, from, steps) => {
        const cycle = createCycle(entries);
        const strides = createStrides(cycle, entries.length, stride);
        const start = from % cycle.length;
        const met = times(steps).map((at) => cycle.entry((start + at * stride) % cycle.length));
        for (const entry of entries.keys())
          expect(strides.count(entry, start, steps)).toBe(
            met.filter((one) => one === entry).length,
          );
      }),
    );
  });

  test("is what the page says, beside an entry that is as in a stream of one source", () => {
    fc.assert(
      fc.property(
        mixes,
        weightings,
        sizes,
        fc.boolean(),
        fc.nat(10 ** 9),
        (entries, weights, { partitions, perPartition: least }, shared, step) => {
          const perPartition = fitting(least, weights, shared, entries);
          const batch = partitions * perPartition;
          const mix = createMix(entries, [], { batch, partitions, weights, shared });
          const alone = createMix(entries, [], { batch, partitions });
          const { length } = createCycle(entries);
          for (let slot = 0; slot < batch; slot++) {
            const partition = Math.floor(slot / perPartition);
            const place = slot % perPartition;
            const turn = mix.turn(step, partition, place);
            expect(turn.entry).toBe(alone.turn(step, partition, place).entry);
            expect(turn.source).toBe(
              sourceOf(weights, length, { batch, partitions, shared }, step, slot),
            );
          }
        },
      ),
    );
  });

  test("independent order: every batch has of every source its share, rounded up or down, whatever the weights", () => {
    fc.assert(
      fc.property(
        mixes,
        weightings,
        sizes,
        fc.nat(10 ** 9),
        (entries, weights, { partitions, perPartition }, step) => {
          const batch = partitions * perPartition;
          const mix = createMix(entries, [], { batch, partitions, weights });
          const held = times(batch).map(
            (slot) => mix.turn(step, Math.floor(slot / perPartition), slot % perPartition).source,
          );
          for (const [source, weight] of weights.entries()) {
            const share = (batch * weight) / sum(weights);
            const count = held.filter((one) => one === source).length;
            expect(Math.abs(count - share)).toBeLessThan(1);
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  test("shared order: a turn has one source, and every batch has of every source its share to within one image", () => {
    fc.assert(
      fc.property(
        mixes,
        weightings,
        sizes,
        fc.nat(10 ** 9),
        (entries, weights, { partitions, perPartition: least }, step) => {
          const perPartition = fitting(least, weights, true, entries);
          const batch = partitions * perPartition;
          const mix = createMix(entries, [], { batch, partitions, weights, shared: true });
          const { length } = createCycle(entries);
          /** Source of each turn of each partition that the batch has a part of. */
          const images = new Map<string, number>();
          const slots = weights.map(() => 0);
          for (let partition = 0; partition < partitions; partition++) {
            for (let place = 0; place < perPartition; place++) {
              const turn = Math.floor((step * perPartition + place) / length);
              const { source } = mix.turn(step, partition, place);
              const key = `${partition} ${turn}`;
              expect(images.get(key) ?? source).toBe(source);
              images.set(key, source);
              slots[source]! += 1;
            }
          }
          for (const [source, weight] of weights.entries()) {
            const share = weight / sum(weights);
            const count = [...images.values()].filter((one) => one === source).length;
            expect(Math.abs(count - images.size * share)).toBeLessThan(1);
            // Of parts of turns, too: a batch can't have the more of a source by having the longer parts.
            expect(Math.abs(slots[source]! - batch * share)).toBeLessThan(length);
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  test("shared order: three or more sources of unequal weights are refused where a batch has parts of turns; what the message proposes works", () => {
    fc.assert(
      fc.property(mixes, weightings, sizes, (entries, weights, { partitions, perPartition }) => {
        const { length } = createCycle(entries);
        const batch = partitions * perPartition;
        const create = (change: { batch?: number; partitions?: number }): Mix =>
          createMix(entries, [], { batch, partitions, weights, shared: true, ...change });
        if (!needsWholeTurns(weights) || perPartition % length === 0) {
          expect(() => create({})).not.toThrow();
          return;
        }
        let message = "";
        try {
          create({});
        } catch (error) {
          expect(error).toMatchObject({ code: "BAD_OPTION" });
          message = (error as Error).message;
        }
        expect(message).toContain(
          `batch / partitions, ${batch} / ${partitions}, must then be a multiple of ${length}`,
        );
        const [, fewer] = /set partitions to (\d+)/.exec(message) ?? [];
        const [, some, more] = /set batch to (\d+)(?: or (\d+))?/.exec(message) ?? [];
        expect(fewer === undefined).toBe(some !== undefined);
        if (fewer !== undefined) create({ partitions: Number(fewer) });
        for (const size of [some, more])
          if (size !== undefined) create({ batch: Number(size), partitions });
        // The same holds for a change of the mix.
        const first = [{ name: "one", weight: 1 }];
        const log = [{ step: 5, entries }];
        expect(() => createMix(first, log, { batch, partitions, weights, shared: true })).toThrow(
          expect.objectContaining({ code: "BAD_OPTION", message }),
        );
      }),
    );
  });

  test("over the full period every entry meets every source in exact proportion, in every partition", () => {
    const few = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 2, maxLength: 4 });
    fc.assert(
      fc.property(
        few,
        few,
        fc.record({
          partitions: fc.integer({ min: 1, max: 6 }),
          perPartition: fc.integer({ min: 1, max: 12 }),
        }),
        fc.boolean(),
        fc.nat(40),
        (tasks, weights, { partitions, perPartition: least }, shared, late) => {
          const entries = tasks.map((weight, at) => ({ name: `entry ${at}`, weight }));
          const perPartition = fitting(least, weights, shared, entries);
          const batch = partitions * perPartition;
          const mix = createMix(entries, [], { batch, partitions, weights, shared });
          const W = createCycle(entries).length;
          const V = weighted("sources", weights, String).length;
          const parts = shared && perPartition % W > 0;
          // The number that the search for a pair's last step relies on.
          const size = { batch, partitions, shared, entries: entries.length, weights };
          const steps = (V * W) / divisor(parts ? V * W : W, perPartition);
          expect(createPairing(createCycle(entries), size).period).toBe(steps);
          // From any step on, but where turns come in parts: there from the mix's first on.
          const from = parts ? late * steps : late;
          for (let partition = 0; partition < partitions; partition++) {
            const met = pairs(mix, partition, perPartition, from, from + steps);
            for (const [entry, { weight }] of entries.entries()) {
              for (const [source, heavy] of weights.entries()) {
                const count = met.filter(
                  (turn) => turn.entry === entry && turn.source === source,
                ).length;
                expect(count * sum(tasks) * sum(weights)).toBe(
                  steps * perPartition * weight * heavy,
                );
              }
            }
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  test("five tasks and five sources meet in all 25 pairs", () => {
    const entries = times(5).map((at) => ({ name: `entry ${at}`, weight: 1 }));
    for (const shared of [false, true]) {
      const mix = createMix(entries, [], {
        batch: 40,
        partitions: 1,
        weights: [1, 1, 1, 1, 1],
        shared,
      });
      const met = new Set(pairs(mix, 0, 40, 0, 5).map(({ entry, source }) => `${entry} ${source}`));
      expect(met.size).toBe(25);
    }
  });
});

const logs = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 12 }), mixes), { maxLength: 3 })
  .map((changes) =>
    changes.reduce<MixChange[]>(
      (log, [gap, entries]) => [...log, { step: (log.at(-1)?.step ?? 0) + gap, entries }],
      [],
    ),
  );

describe("positions", () => {
  test("under a log of mixes are what counting from the first step gives; so is the last step", () => {
    fc.assert(
      fc.property(
        mixes,
        logs,
        weightings,
        sizes,
        fc.boolean(),
        (given, changes, weights, { partitions, perPartition: least }, shared) => {
          // Equal weights where whole turns of all mixes must fit the batch.
          const even = (mix: readonly MixEntry[]): readonly MixEntry[] =>
            shared && needsWholeTurns(weights) ? mix.map(({ name }) => ({ name, weight: 1 })) : mix;
          const entries = even(given);
          const log = changes.map(({ step, entries: mix }) => ({ step, entries: even(mix) }));
          const all = log.map((change) => change.entries);
          const perPartition = fitting(least, weights, shared, entries, ...all);
          const batch = partitions * perPartition;
          const mix = createMix(entries, log, { batch, partitions, weights, shared });
          const segments = [{ step: 0, entries }, ...log];
          for (let partition = 0; partition < partitions; partition++) {
            const steps = new Map<string, number[]>();
            for (let step = 0; step < 30; step++) {
              const segment = segments.findLast((one) => one.step <= step)!;
              const { length } = createCycle(segment.entries);
              const size = { batch, partitions, shared };
              for (const [entry] of mix.names.entries())
                for (const [source] of weights.entries())
                  expect(mix.before(step, partition, entry, source)).toBe(
                    steps.get(`${entry} ${source}`)?.length ?? 0,
                  );
              for (let place = 0; place < perPartition; place++) {
                const slot = partition * perPartition + place;
                const turn = mix.turn(step, partition, place);
                expect(turn.source).toBe(
                  sourceOf(weights, length, size, step - segment.step, slot),
                );
                const had = steps.get(`${turn.entry} ${turn.source}`) ?? [];
                expect(turn.position).toBe(had.length);
                steps.set(`${turn.entry} ${turn.source}`, [...had, step]);
              }
            }
            for (const [pair, met] of steps) {
              const [entry, source] = pair.split(" ").map(Number);
              for (const positions of [1, met.length])
                expect(mix.lastStep(partition, entry!, positions, source)).toBe(met[positions - 1]);
            }
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  test("far away they are exact: whole periods with big integers", () => {
    fc.assert(
      fc.property(
        mixes,
        weightings,
        sizes,
        fc.boolean(),
        fc.nat(10 ** 12),
        fc.nat(),
        (entries, weights, { partitions, perPartition: least }, shared, far, more) => {
          const perPartition = fitting(least, weights, shared, entries);
          const batch = partitions * perPartition;
          const mix = createMix(entries, [], { batch, partitions, weights, shared });
          const W = createCycle(entries).length;
          const V = weighted("sources", weights, String).length;
          const turns = (V * W * partitions) / divisor(V, partitions);
          const parts = shared && perPartition % W > 0;
          const period = parts
            ? turns / divisor(turns, perPartition)
            : (V * W) / divisor(W, perPartition);
          const periods = Math.floor(far / period);
          const step = periods * period + (more % period);
          const tasks = sum(entries.map(({ weight }) => weight));
          for (const [entry, { weight }] of entries.entries()) {
            for (const [source, heavy] of weights.entries()) {
              const each =
                (BigInt(period * perPartition) * BigInt(weight) * BigInt(heavy)) /
                (BigInt(tasks) * BigInt(sum(weights)));
              const last = partitions - 1;
              const count = mix.before(step, last, entry, source);
              expect(BigInt(count)).toBe(
                BigInt(periods) * each + BigInt(mix.before(more % period, last, entry, source)),
              );
              // The slot before which there are so many is found again.
              const found = mix.lastStep(last, entry, count + 1, source)!;
              expect(found).toBeGreaterThanOrEqual(step);
              expect(mix.before(found, last, entry, source)).toBeLessThanOrEqual(count);
              expect(mix.before(found + 1, last, entry, source)).toBeGreaterThan(count);
            }
          }
        },
      ),
    );
  });
});
