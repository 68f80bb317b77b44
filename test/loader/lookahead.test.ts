import { expect, test } from "vitest";
import { createLookahead } from "../../src/lookahead.ts";
import { createPlan, type Plan } from "../../src/plan/plan.ts";
import type { Catalog } from "../../src/sources/catalog.ts";

const PARTITIONS = 4;
const SHARDS = 24;
const SLOTS = 8;
const counts = { shards: SHARDS, rows: () => 10 };

function setUp(near: readonly number[] | undefined) {
  const plan = createPlan(
    {
      seed: 1,
      batch: PARTITIONS * SLOTS,
      partitions: PARTITIONS,
      entries: [{ name: "rotation", weight: 1 }],
      deal: "shards",
      window: 32,
      order: "independent",
    },
    counts,
  );
  const opened = new Set<number>();
  /** What the store was told, each time it was. */
  const ranks: ((shard: number) => number)[] = [];
  const catalog = {
    ...counts,
    inPlace: false,
    kept: () => 1,
    needs: (rank: (shard: number) => number) => void ranks.push(rank),
    prepare: (shard: number) => void opened.add(shard),
    prefetch: (shard: number) => void opened.add(shard),
  } as unknown as Catalog;
  const options = { prefetch: 2, requests: 8, cache: "/somewhere", memoryLimit: 1e9, near };
  const last = (): ((shard: number) => number) => ranks.at(-1) ?? (() => Infinity);
  return { plan, opened, ranks, last, lookahead: createLookahead(plan, catalog, options) };
}

/** Shards that the store would keep as those needed sooner or later. */
const kept = (rank: (shard: number) => number): number[] =>
  Array.from({ length: SHARDS }, (_, shard) => shard).filter((shard) => rank(shard) < Infinity);

function shardsOf(plan: Plan, partitions: readonly number[]): number[] {
  return partitions.flatMap((one) => [...plan.order(one, 0)]).sort((one, other) => one - other);
}

async function ask(
  { plan, lookahead }: ReturnType<typeof setUp>,
  step: number,
  partition: number,
): Promise<void> {
  for (let slot = partition * SLOTS; slot < (partition + 1) * SLOTS; slot++)
    await lookahead.locate(plan.slot(step, slot), new AbortController().signal);
}

test("a loader that is never asked for partition 0 tells the store what it needs, once a step", async () => {
  for (const near of [[2], undefined]) {
    const set = setUp(near);
    for (let step = 0; step < 5; step++) await ask(set, step, 2);
    expect(set.ranks).toHaveLength(5);
    for (const shard of set.opened) expect(shardsOf(set.plan, [2])).toContain(shard);
  }
});

test("the store keeps what the loader's own partitions need, and what others need as long as they are asked for", async () => {
  const set = setUp([2]);
  await ask(set, 0, 2);
  expect(kept(set.last())).toEqual(shardsOf(set.plan, [2]));
  // another loader has gone: its slots come here for a while
  for (let step = 1; step < 4; step++) for (const one of [2, 3]) await ask(set, step, one);
  expect(kept(set.last())).toEqual(shardsOf(set.plan, [2, 3]));
  for (let step = 4; step < 40; step++) await ask(set, step, 2);
  expect(kept(set.last())).toEqual(shardsOf(set.plan, [2]));
});

test("without a node all partitions are minded; a spare minds what it is asked for", async () => {
  const alone = setUp(undefined);
  await ask(alone, 0, 1);
  expect(kept(alone.last())).toHaveLength(SHARDS);
  const spare = setUp([]);
  await ask(spare, 0, 1);
  expect(kept(spare.last())).toEqual(shardsOf(spare.plan, [1]));
});
