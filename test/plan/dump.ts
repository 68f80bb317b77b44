/** Answers questions about plans, one JSON line each, for the comparison with the second implementation (python/tests/test_plan.py). */
import { createInterface } from "node:readline";
import { StreamError } from "../../src/errors.ts";
import { createPlan, needsIndex, type Plan, type PlanSpec } from "../../src/plan/plan.ts";
import { defaultPartitions } from "../../src/plan/cells.ts";
import { createCycle } from "../../src/plan/cycle.ts";
import { listingOrder } from "../../src/plan/deal.ts";
import { negativeCandidates, substituteOffset } from "../../src/plan/substitutes.ts";

interface Question {
  readonly spec: PlanSpec;
  /** Rows of each shard. */
  readonly rows: readonly number[];
  readonly ask: readonly {
    readonly step: number;
    readonly slot: number;
    readonly attempt: number;
  }[];
}

/** The code of the error where the stream is refused. */
function create(spec: PlanSpec, rows: readonly number[]): Plan | string {
  try {
    return createPlan(spec, { shards: rows.length, rows: (shard) => rows[shard] });
  } catch (error) {
    if (error instanceof StreamError) return error.code;
    throw error;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { spec, rows, ask } = JSON.parse(line) as Question;
  const plan = create(spec, rows);
  if (typeof plan === "string") {
    console.log(JSON.stringify({ refused: plan }));
    continue;
  }
  const answers = ask.map(({ step, slot, attempt: wanted }) => {
    const planned = plan.slot(step, slot);
    const located = plan.locate(planned);
    if (needsIndex(located)) throw new Error("everything is counted");
    const attempt = Math.min(wanted, located.rows);
    const cell = plan.cell(step, plan.cellOf(slot));
    const others = cell.slots.filter((other) => other.slot !== slot);
    const candidates = [
      ...negativeCandidates(
        spec.seed,
        { ...located, index: planned.index },
        attempt,
        others.length,
      ),
    ];
    const substitutes = [];
    for (let next = 1; ; next++) {
      const row = plan.substitute(located, next);
      if (row === undefined) break;
      substitutes.push([row.shard, row.row]);
    }
    return {
      partition: located.partition,
      entry: plan.entries[located.entry],
      source: located.source,
      position: planned.position,
      epoch: located.epoch,
      window: located.window,
      start: located.start,
      rows: located.rows,
      offset: located.offset,
      at: [located.shard, located.row],
      substitutes,
      tried: substituteOffset(located, attempt),
      exists: plan.exists(step, slot),
      cell: cell.slots.map((one) => one.slot),
      others: candidates.flatMap((one) => (one.from === "cell" ? [others[one.other]!.slot] : [])),
      offsets: candidates.flatMap((one) => (one.from === "window" ? [one.offset] : [])),
    };
  });
  const sources = Array.from({ length: spec.sources?.length ?? 1 }, (_, source) => source);
  const totals = sources.map((source) =>
    Array.from({ length: spec.partitions }, (_, partition) => plan.rows(partition, source)),
  );
  const extra = {
    partitions: defaultPartitions(spec.batch, spec.order, createCycle(spec.entries).length),
    listing: [...listingOrder(spec.seed, rows.length)],
    listings: sources.map((source) => [...listingOrder(spec.seed, rows.length, source)]),
    steps: plan.steps() ?? null,
  };
  console.log(JSON.stringify({ answers, totals, ...extra }));
}
