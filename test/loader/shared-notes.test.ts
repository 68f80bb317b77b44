import { expect, test } from "vitest";
import { createPlan, type PlanSpec } from "../../src/plan/plan.ts";
import { sharedNotes } from "../../src/setup.ts";

function notes(
  shards: number,
  more: Partial<PlanSpec> = {},
  inPlace = false,
  near: readonly number[] = [3],
): string[] {
  const spec: PlanSpec = {
    seed: 1,
    batch: 1024,
    partitions: 1024,
    entries: [{ name: "rotation", weight: 1 }],
    deal: "shards",
    window: 4096,
    order: "independent",
    ...more,
  };
  return sharedNotes(createPlan(spec, { shards, rows: () => 10 }), { shards, inPlace }, near);
}

test("one of several loaders is told when it fetches many shards that all share", () => {
  const [note = ""] = notes(100_000);
  expect(note).toContain("672 of 100000 shards are dealt row by row to all 1024 partitions");
  expect(note).toContain("beside 97 of its own");
  expect(notes(100_000, { partitions: 512 })).toHaveLength(1); // 160 beside 195
  expect(notes(100_000, { partitions: 256 })).toEqual([]); // 160 beside 390
  expect(notes(100_000, {}, false, [8, 9, 10, 11, 12, 13, 14, 15])).toHaveLength(1);
  expect(notes(100_000, { partitions: 512 }, false, [1, 2])).toEqual([]);
  expect(notes(100_000, {}, false, [])).toEqual([]); // a spare
  expect(notes(97 * 1024)).toEqual([]);
  expect(notes(100_000, { deal: "rows" })).toEqual([]);
  expect(notes(100_000, {}, true)).toEqual([]);
});

test("each source of a mix is looked at", () => {
  const sources = [
    { weight: 1, shards: 97 * 1024 },
    { weight: 1, shards: 672 },
    { weight: 1, shards: 40_000, deal: "rows" as const },
    { weight: 1, shards: 33_000, deal: "shards" as const },
  ];
  const all = sources.reduce((sum, { shards }) => sum + shards, 0);
  const found = notes(all, { sources });
  expect(found.map((note) => note.slice(0, 20))).toEqual([
    "672 of 672 shards ar",
    "232 of 33000 shards ",
  ]);
});
