/**
 * One loader's list and plan in a process of its own, for bench/scale.ts: lists what is there, takes the counts, makes the plan and plans its partitions' slots,
 * as a loader does, with no worker threads and no image read. Says a line of JSON. Node must be started with --expose-gc.
 */
import { setTimeout } from "node:timers/promises";
import { openCatalog } from "../src/counted.ts";
import { resolveStreamOptions, type StreamOptions } from "../src/options.ts";
import { openOrigin } from "../src/origin.ts";
import { listingOrder } from "../src/plan/deal.ts";
import { partitionsOf } from "../src/plan/nodes.ts";
import { needsIndex } from "../src/plan/plan.ts";
import { setUp } from "../src/setup.ts";

export interface Asked {
  readonly options: StreamOptions;
  /** Node i of n; all partitions where left out. */
  readonly node?: readonly [number, number];
  /** Steps that are planned, from each of these on. */
  readonly from: readonly number[];
  readonly steps: number;
}

export interface Memory {
  /** JavaScript objects and typed arrays after a collection. Bytes. */
  readonly used: number;
  /** Of the process. Bytes. */
  readonly rss: number;
}

export interface Said {
  readonly shards: number;
  /** CPU milliseconds: the listing with what it takes to look counts up; plan and fingerprint; the first step. */
  readonly list: number;
  readonly setUp: number;
  readonly first: number;
  /** The code alone; with the catalog; with the plan; after the steps. */
  readonly bare: Memory;
  readonly listed: Memory;
  readonly planned: Memory;
  readonly walked: Memory;
  /** Highest resident set so far. Bytes. */
  readonly peak: number;
}

function cpu(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function settled(): Promise<Memory> {
  for (let times = 0; times < 4; times++) {
    globalThis.gc?.();
    await setTimeout(20);
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { used: heapUsed + external, rss };
}

const { options: given, node, from, steps } = JSON.parse(process.argv[2]!) as Asked;
const resolved = resolveStreamOptions(given);
// what the source needs is code, too
await Promise.all([
  import("@huggingface/hub"),
  import("../src/net/create.ts"),
  import("../src/cache/memory.ts"),
]);
const bare = await settled();
const began = cpu();
const origin = await openOrigin({
  ...resolved,
  order: (count) => listingOrder(resolved.seed, count),
});
const catalog = await openCatalog(resolved, origin.source);
const listedAt = cpu();
const listed = await settled();
const setUpFrom = cpu();
const { plan } = setUp(resolved, catalog, await origin.source.lengths());
const setUpAt = cpu();
const planned = await settled();
const { partitions } = plan.spec;
const own = node
  ? partitionsOf(...node, partitions)
  : Array.from({ length: partitions }, (_, c) => c);

function planStep(step: number): void {
  for (const partition of own) {
    plan.upcoming(step, partition);
    for (let cell = 0; cell < plan.cellsPerPartition; cell++)
      for (const slot of plan.cell(step, partition * plan.cellsPerPartition + cell).slots)
        if (needsIndex(plan.locate(slot))) throw new Error(`step ${step}: a count is missing`);
  }
}

const firstFrom = cpu();
planStep(from[0] ?? 0);
const firstAt = cpu();
for (const start of from) for (let step = start; step < start + steps; step++) planStep(step);
catalog.needs((shard) => Math.min(...own.map((c) => plan.upcoming(0, c).rank(shard))));
const said: Said = {
  shards: catalog.shards,
  list: listedAt - began,
  setUp: setUpAt - setUpFrom,
  first: firstAt - firstFrom,
  bare,
  listed,
  planned,
  walked: await settled(),
  peak: process.resourceUsage().maxRSS * 1024,
};
process.stdout.write(`${JSON.stringify(said)}\n`);
await catalog.close();
await origin.close();
