import { StreamError } from "../errors.ts";
import { createDeal, type Counts } from "./deal.ts";
import type { PlanSpec } from "./plan.ts";
import { fewestRows, type NeedsIndex } from "./rows.ts";

/** A warning is due above this ratio: a partition with fewer rows shows each of them more often. */
export const unevenRatio = 1.1;

export interface PlanCheck {
  /** Rows of each partition. */
  readonly rows: readonly number[];
  /** Largest partition by smallest, >= 1. */
  readonly ratio: number;
}

/** Looks at the partitions once all shards are counted. Throws TOO_FEW_ROWS with the largest number of partitions that would do. */
export function checkPlan(
  spec: Pick<PlanSpec, "seed" | "batch" | "partitions" | "deal">,
  counts: Counts,
): PlanCheck | NeedsIndex {
  const needs = Array.from({ length: counts.shards }, (_, shard) => shard).filter(
    (shard) => counts.rows(shard) === undefined,
  );
  if (needs.length > 0) return { needs, missing: 0 };
  const rows = partitionRows(spec, spec.partitions, counts);
  const smallest = Math.min(...rows);
  if (smallest >= fewestRows) return { rows, ratio: Math.max(...rows) / smallest };
  const partition = rows.indexOf(smallest);
  const found = `partition ${partition} of ${spec.partitions} would hold ${smallest} rows of images; it needs at least ${fewestRows}`;
  for (let partitions = spec.partitions - 1; partitions >= 1; partitions--) {
    if (
      spec.batch % partitions !== 0 ||
      Math.min(...partitionRows(spec, partitions, counts)) < fewestRows
    )
      continue;
    throw new StreamError("TOO_FEW_ROWS", `${found}: set partitions to ${partitions}`, {
      context: { partitions },
    });
  }
  throw new StreamError("TOO_FEW_ROWS", `${found}: add images, even one partition has too few`);
}

function partitionRows(
  { seed, deal }: Pick<PlanSpec, "seed" | "deal">,
  partitions: number,
  counts: Counts,
): number[] {
  const dealt = createDeal(seed, counts.shards, partitions, deal);
  return Array.from({ length: partitions }, (_, partition) => {
    let sum = 0;
    for (let place = 0; place < dealt.length; place++) {
      const rank = dealt.rank(partition, place);
      sum += dealt.count(partition, rank, counts.rows(dealt.shard(rank))!);
    }
    return sum;
  });
}
