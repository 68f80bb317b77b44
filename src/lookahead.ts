import { checkAborted } from "./abort.ts";
import { StreamError } from "./errors.ts";
import { needsIndex, type Plan, type SlotPlan } from "./plan/plan.ts";
import type { Located, NeedsIndex } from "./plan/rows.ts";
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
}

/** Steps that are remembered as looked at: those that a few consumers are at. */
const REMEMBERED = 32;

export function createLookahead(
  plan: Plan,
  catalog: Catalog,
  { prefetch, requests }: LookaheadOptions,
): Lookahead {
  const { spec } = plan;
  const window = createWindows(spec.window, spec.partitions).size;
  const looked = new Set<string>();

  function look(step: number, partition: number): void {
    const what = `${step}/${partition}`;
    if (looked.has(what)) return;
    looked.add(what);
    if (looked.size > REMEMBERED * spec.partitions) looked.delete(looked.values().next().value!);
    const { now, next } = plan.upcoming(step, partition);
    for (const shard of [...now, ...next(prefetch)]) catalog.prepare(shard);
    if (partition > 0) return;
    const ways = Array.from({ length: spec.partitions }, (_, other) => plan.upcoming(step, other));
    catalog.needs((shard) => Math.min(...ways.map(({ rank }) => rank(shard))));
  }

  /** A stream that goes step by step lacks the rest of one window at most. Whoever lacks more has jumped, and would wait for all that lies between. */
  function isFar({ missing }: NeedsIndex): boolean {
    return missing > 2 * window;
  }

  function tooFar({ step, partition }: SlotPlan): StreamError {
    const names = Array.from(plan.order(partition, 0), (shard) =>
      catalog.rows(shard) === undefined ? catalog.list[shard]!.name : undefined,
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
      for (;;) {
        const found = plan.locate(slot);
        if (!needsIndex(found)) {
          if (!catalog.cheap) look(slot.step, slot.partition);
          return found;
        }
        checkAborted(signal);
        if (catalog.cheap) {
          await Promise.all(found.needs.map((shard) => catalog.count(shard)));
          continue;
        }
        if (isFar(found)) throw tooFar(slot);
        for (const shard of plan.upcoming(slot.step, slot.partition).next(requests))
          catalog.prepare(shard);
        const [first, ...others] = found.needs;
        await Promise.all([
          catalog.count(first!, found.rows),
          ...others.map((shard) => catalog.count(shard)),
        ]);
      }
    },
  };
}
