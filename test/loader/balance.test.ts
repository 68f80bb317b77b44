import fc from "fast-check";
import { expect, test } from "vitest";
import type { Batch } from "../../src/model.ts";
import { open, take } from "./streams.ts";

function counts(batches: readonly Batch[]): Record<string, number> {
  const found: Record<string, number> = {};
  for (const { puzzles } of batches)
    for (const { entry } of puzzles) found[entry] = (found[entry] ?? 0) + 1;
  return found;
}

test("every batch holds every task equally often, numbered without a gap", async () => {
  const stream = await open({ seed: 2, batch: 40, workers: 2 });
  const names = stream.info().entries.map(({ name }) => name);
  expect(names).toHaveLength(5);
  for (const batch of await take(stream, 3)) {
    expect(batch.failed).toEqual([]);
    expect(batch.puzzles.map(({ slot }) => slot)).toEqual([...Array(40).keys()]);
    expect(batch.puzzles.map(({ index }) => index - batch.step * 40)).toEqual([
      ...Array(40).keys(),
    ]);
    expect(counts([batch])).toEqual(Object.fromEntries(names.map((name) => [name, 8])));
  }
});

test("any mix: within one of its share in a batch, exact over a round of batches", async () => {
  const tasks = ["rotation", "ordering", "inpainting", "correspondence"];
  const entry = fc.record({
    task: fc.constantFrom(...tasks),
    weight: fc.integer({ min: 1, max: 4 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(entry, { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 12 }),
      async (entries, batch) => {
        const named = entries.map((one, at) => ({ ...one, name: `entry ${at}` }));
        const stream = await open({ batch, entries: named, seed: batch });
        const weight = named.reduce((sum, one) => sum + one.weight, 0);
        const rounds = Math.min(4, weight);
        const batches = await take(stream, rounds);
        await stream.close();
        for (const one of batches) {
          const found = counts([one]);
          for (const { name, weight: own } of named) {
            const share = (batch * own) / weight;
            expect(Math.abs((found[name] ?? 0) - share)).toBeLessThan(2);
          }
        }
        if (rounds === weight)
          expect(counts(batches)).toEqual(
            Object.fromEntries(named.map(({ name, weight: own }) => [name, batch * own])),
          );
      },
    ),
    { numRuns: 6, seed: 4 },
  );
});

test("entries: a task twice, with levels, weights, names and options of its own", async () => {
  const stream = await open({
    batch: 12,
    seed: 3,
    entries: [
      "ordering:2x2*2",
      { task: "ordering", name: "hard" },
      { task: "correspondence", weight: 2, options: { points: 4 } },
      " rotation : 8x45 * 1 ",
    ],
  });
  const info = stream.info().entries;
  expect(info.map(({ name, task, weight, images }) => ({ name, task, weight, images }))).toEqual([
    { name: "ordering-2x2", task: "ordering", weight: 2, images: 4 },
    { name: "hard", task: "ordering", weight: 1, images: 9 },
    { name: "correspondence", task: "correspondence", weight: 2, images: 2 },
    { name: "rotation-8x45", task: "rotation", weight: 1, images: 2 },
  ]);
  const batch = await stream.get(0);
  expect(counts([batch])).toEqual({
    "ordering-2x2": 4,
    hard: 2,
    correspondence: 4,
    "rotation-8x45": 2,
  });
  for (const { entry, images, answer, prompt } of batch.puzzles) {
    const told = info.find(({ name }) => name === entry)!;
    expect(images).toHaveLength(told.images);
    expect(prompt.filter(({ type }) => type === "image")).toHaveLength(told.images);
    const numbers = { "ordering-2x2": 4, hard: 9, correspondence: 4 }[entry] ?? 1;
    expect(answer.split(", ")).toHaveLength(numbers);
    for (const { width, height, data, format } of images) {
      expect(format).toBe("raw");
      expect(data.length).toBe(width * height * 3);
      expect(width * height).toBeLessThanOrEqual(401_408);
    }
  }
});

test("passes: every image once per pass and entry, then the stream ends", async () => {
  for (const [passes, batch, partitions] of [
    [1, 20, 1],
    [2, 16, 2],
  ] as const) {
    const stream = await open({
      seed: 6,
      passes,
      batch,
      partitions,
      entries: ["rotation", "ordering:2x2"],
      preset: "paper",
    });
    const { steps, samples: rows } = stream.info();
    expect(rows).toBe(68);
    const seen = new Map<string, number>();
    let batches = 0;
    let skipped = 0;
    for await (const { puzzles, failed } of stream) {
      batches++;
      skipped += failed.length;
      for (const { entry, recipe } of puzzles) {
        const image = `${entry} ${String(recipe["shard"])} ${String(recipe["key"])}`;
        seen.set(image, (seen.get(image) ?? 0) + 1);
      }
    }
    expect(batches).toBe(steps);
    expect(skipped).toBe(0);
    expect(stream.info().skipped).toEqual({});
    expect(seen.size).toBe(rows * 2);
    expect([...new Set(seen.values())]).toEqual([passes]);
    await expect(stream.get(steps!)).rejects.toMatchObject({ code: "STEP_OUT_OF_RANGE" });
    expect(await take(stream.batches({ from: steps! }), 1)).toEqual([]);
    expect(await take(stream.batches({ from: steps! + 5 }), 1)).toEqual([]);
    await stream.close();
  }
});

test("in shared order the tasks of one turn ask about one image", async () => {
  const stream = await open({
    seed: 8,
    batch: 40,
    order: "shared",
    preset: "paper",
    entries: ["rotation", "ordering:2x2", "inpainting", "correspondence"],
  });
  const { puzzles } = await stream.get(0);
  const per = 40 / stream.info().partitions;
  for (let first = 0; first < 40; first += per) {
    const keys = puzzles
      .filter(({ slot, recipe }) => slot >= first && slot < first + per && recipe["attempt"] === 0)
      .map(({ recipe }) => `${String(recipe["shard"])} ${String(recipe["key"])}`);
    expect(new Set(keys).size).toBeLessThanOrEqual(Math.ceil(per / 4));
  }
});
