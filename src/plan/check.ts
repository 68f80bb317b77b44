import { StreamError } from "../errors.ts";
import { createDeal, type Counts } from "./deal.ts";
import type { PlanSpec } from "./plan.ts";
import { fewestRows, type NeedsIndex } from "./rows.ts";
import { sourcesOf, type SourceShape } from "./sources.ts";

/** A warning is due above this ratio: a partition with fewer rows shows each of them more often. */
export const unevenRatio = 1.1;

export interface PlanCheck {
  /** The source whose partitions differ most. */
  readonly source: number;
  /** Rows of it in each partition. */
  readonly rows: readonly number[];
  /** Its largest partition by its smallest, >= 1. */
  readonly ratio: number;
}

/** Looks at the partitions once all shards are counted. Throws TOO_FEW_ROWS with the largest number of partitions that would do; BAD_OPTION. */
export function checkPlan(
  spec: Pick<PlanSpec, "seed" | "batch" | "partitions" | "deal" | "sources">,
  counts: Counts,
): PlanCheck | NeedsIndex {
  const needs = Array.from({ length: counts.shards }, (_, shard) => shard).filter(
    (shard) => counts.rows(shard) === undefined,
  );
  if (needs.length > 0) return { needs, missing: 0, rows: Infinity };
  const sources = sourcesOf(spec, counts.shards);
  const rowsOf = (shape: SourceShape, partitions: number): number[] =>
    partitionRows(spec.seed, shape, partitions, counts);
  const checks = sources.map((shape) => {
    const rows = rowsOf(shape, spec.partitions);
    return { source: shape.source, rows, ratio: Math.max(...rows) / Math.min(...rows) };
  });
  const few = checks.find(({ rows }) => Math.min(...rows) < fewestRows);
  if (!few) return checks.reduce((worst, check) => (check.ratio > worst.ratio ? check : worst));
  const smallest = Math.min(...few.rows);
  const place = `partition ${few.rows.indexOf(smallest)} of ${spec.partitions} would hold ${smallest} rows of images`;
  const several = sources.length > 1;
  const found = `${several ? `source ${few.source}: ` : ""}${place}; it needs at least ${fewestRows}`;
  const context = several ? { source: few.source } : {};
  for (let partitions = spec.partitions - 1; partitions >= 1; partitions--) {
    if (
      spec.batch % partitions !== 0 ||
      sources.some((shape) => Math.min(...rowsOf(shape, partitions)) < fewestRows)
    )
      continue;
    throw new StreamError("TOO_FEW_ROWS", `${found}: set partitions to ${partitions}`, {
      context: { partitions, ...context },
    });
  }
  throw new StreamError("TOO_FEW_ROWS", `${found}: add images, even one partition has too few`, {
    context,
  });
}

function partitionRows(
  seed: number,
  shape: SourceShape,
  partitions: number,
  counts: Counts,
): number[] {
  const dealt = createDeal(seed, shape, partitions);
  return Array.from({ length: partitions }, (_, partition) => {
    let sum = 0;
    for (let place = 0; place < dealt.length; place++) {
      const rank = dealt.rank(partition, place);
      sum += dealt.count(partition, rank, counts.rows(dealt.shard(rank))!);
    }
    return sum;
  });
}
