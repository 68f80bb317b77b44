import { checkAborted, unlessAborted } from "./abort.ts";
import { StreamError } from "./errors.ts";
import { needsIndex, type Plan, type SlotPlan } from "./plan/plan.ts";
import type { Located, NeedsIndex } from "./plan/rows.ts";
import type { Upcoming } from "./plan/upcoming.ts";
import { createWindows } from "./plan/windows.ts";
import type { Catalog } from "./sources/catalog.ts";

/** Finds rows, and has shards that must be fetched opened before they are needed. Decides when bytes come, never which. */
export interface Lookahead {
  /** The row of a slot, after counting what it takes to know (docs/determinism.md, "What must be counted"). NEEDS_INDEX, ABORTED, what the catalog rejects with. */
  locate(slot: SlotPlan, signal: AbortSignal): Promise<Located>;
}

export interface LookaheadOptions {
  /** Shards opened ahead of their use. */
  readonly prefetch: number;
  /** Shards opened at once where several must be counted. */
  readonly requests: number;
  /** Where bytes are kept: "none" is memory, which takes `memoryLimit` bytes. */
  readonly cache: string;
  readonly memoryLimit: number;
  /** Partitions that this loader is to make: what others need is not minded until they are asked for. All where undefined. */
  readonly near?: readonly number[] | undefined;
}

/** Shards counted at once where they have a footer that says it. */
const MANY = 64;
/** Steps that are remembered as looked at, those that a few consumers are at; so long another's partition is minded that was asked for. */
const REMEMBERED = 32;
/** Steps of a partition before anything is fetched ahead for it. While the second is looked at, the first batch is still being read, and what else comes would slow it down. */
const ALONE = 2;

/** LIMIT where the first step's windows do not fit the memory they must lie in, as far as the shards' sizes tell. */
export function createLookahead(
  plan: Plan,
  catalog: Catalog,
  { prefetch, requests, cache, memoryLimit, near }: LookaheadOptions,
): Lookahead {
  const { spec } = plan;
  const window = createWindows(spec.window, spec.partitions).size;
  const looked = new Set<number>();
  /** Steps of a partition that were looked at. */
  const looks = new Map<number, number>();
  /** By partition: what the last look had fetched ahead. */
  const ahead = new Map<number, readonly number[]>();

  const own = near ?? Array.from({ length: spec.partitions }, (_, partition) => partition);
  const steps = new Set<number>();
  /** Steps looked at so far, and their number when a partition was last asked for. */
  let turn = 0;
  const asked = new Map<number, number>();

  function waysOf(step: number): Map<number, Upcoming> {
    const ways = new Map(own.map((partition) => [partition, plan.upcoming(step, partition)]));
    for (const [partition, last] of asked)
      if (turn - last <= REMEMBERED && !ways.has(partition))
        ways.set(partition, plan.upcoming(step, partition));
    return ways;
  }

  /** Better before anything is fetched, or at least before half of it is, than when memory runs out. */
  function checkMemory(step: number, ways: Iterable<Upcoming>): void {
    const open = new Set<number>();
    for (const { now } of ways) for (const shard of now) open.add(shard);
    const sizes = Array.from(open, (shard) => catalog.kept(shard)).filter((size) => size > 0);
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    if (bytes <= memoryLimit) return;
    throw new StreamError(
      "LIMIT",
      `no cache: the windows of step ${step} lie in ${sizes.length} shards of ${bytes} bytes together, and memoryLimit is ${memoryLimit} bytes; use a cache on disk, raise memoryLimit, or have fewer partitions or a smaller window`,
      { context: { step, shards: sizes.length, bytes, limit: memoryLimit } },
    );
  }

  if (cache === "none") checkMemory(0, waysOf(0).values());

  function look(step: number, partition: number): void {
    // below 2^53: a partition has a slot at least
    const what = step * spec.partitions + partition;
    if (looked.has(what)) return;
    looked.add(what);
    if (looked.size > REMEMBERED * spec.partitions) looked.delete(looked.values().next().value!);
    asked.set(partition, turn);
    const fresh = steps.has(step) ? undefined : begin(step).get(partition);
    const way = fresh ?? plan.upcoming(step, partition);
    for (const shard of way.now) catalog.prepare(shard);
    const times = (looks.get(partition) ?? 0) + 1;
    looks.set(partition, times);
    if (times > ALONE) fetchAhead(partition, way.next(prefetch));
  }

  /** Looks at what all partitions that are minded need in a step. */
  function begin(step: number): ReadonlyMap<number, Upcoming> {
    steps.add(step);
    if (steps.size > REMEMBERED) steps.delete(steps.values().next().value!);
    turn++;
    const ways = waysOf(step);
    if (cache === "none") checkMemory(step, ways.values());
    const all = [...ways.values()];
    catalog.needs((shard) =>
      all.reduce((least, way) => Math.min(least, way.rank(shard)), Infinity),
    );
    return ways;
  }

  function fetchAhead(partition: number, shards: readonly number[]): void {
    const before = ahead.get(partition);
    ahead.set(partition, shards);
    for (const shard of shards) if (!before?.includes(shard)) catalog.prefetch(shard);
  }

  /** A stream that goes step by step lacks the rest of one window at most. Whoever lacks more has jumped, and would wait for all that lies between. */
  function isFar({ missing }: NeedsIndex): boolean {
    return missing > 2 * window;
  }

  /** Counts the next shards on the way to a far position; many at once, since each may be a request and a wait. NEEDS_INDEX where they would have to be fetched. */
  async function jump(slot: SlotPlan): Promise<void> {
    const next = plan
      .order(slot.partition, 0, slot.source)
      .filter((shard) => catalog.rows(shard) === undefined)
      .subarray(0, MANY);
    if (catalog.countable) await Promise.all(Array.from(next, (shard) => catalog.tally(shard)));
    else {
      const known = await Promise.all(Array.from(next, (shard) => catalog.isKnown(shard)));
      if (!known.includes(true)) throw tooFar(slot);
    }
  }

  function tooFar({ step, partition, source }: SlotPlan): StreamError {
    const names = Array.from(plan.order(partition, 0, source), (shard) =>
      catalog.rows(shard) === undefined ? catalog.list.at(shard)!.name : undefined,
    ).filter((name) => name !== undefined);
    const shown = names.slice(0, 5).join(", ");
    return new StreamError(
      "NEEDS_INDEX",
      `step ${step}: ${names.length} shards have not been counted yet (${shown}${names.length > 5 ? ", ..." : ""}); count them with ssl-r1 index, or give their counts`,
      { context: { step, uncounted: names.length, shards: names.slice(0, 100) } },
    );
  }

  return {
    async locate(slot, signal) {
      // the bytes of the first window are not slowed down by others; only where one shard after the other turns out to be small, more come at once
      for (let wide = 0; ; wide = Math.min(requests, wide * 2 || 1)) {
        const found = plan.locate(slot);
        if (!needsIndex(found)) {
          if (!catalog.inPlace) look(slot.step, slot.partition);
          return found;
        }
        checkAborted(signal);
        if (catalog.cheap) {
          await Promise.all(found.needs.map((shard) => catalog.count(shard)));
          continue;
        }
        if (isFar(found)) {
          await unlessAborted(jump(slot), signal, () => {});
          continue;
        }
        fetchAhead(slot.partition, plan.upcoming(slot.step, slot.partition).next(wide));
        const [first, ...others] = found.needs;
        const counted = Promise.all([
          catalog.count(first!, found.rows),
          ...others.map((shard) => catalog.count(shard)),
        ]);
        await unlessAborted(counted, signal, () => {});
      }
    },
  };
}
