import { resolveEntries } from "./entries.ts";
import { StreamError } from "./errors.ts";
import { fingerprint, identityOf, STREAM_VERSION } from "./fingerprint.ts";
import type { Json, StreamInfo } from "./model.ts";
import type { ResolvedOptions } from "./options.ts";
import { defaultPartitions } from "./plan/cells.ts";
import { createCycle } from "./plan/cycle.ts";
import { checkPlan, unevenRatio } from "./plan/check.ts";
import { defaultDeal } from "./plan/deal.ts";
import { createPlan, type Plan } from "./plan/plan.ts";
import { fewestRows } from "./plan/rows.ts";
import { mostSubstitutes } from "./plan/substitutes.ts";
import type { Catalog } from "./sources/catalog.ts";
import { resolveTemplates } from "./tasks/prompt.ts";
import { tasks } from "./tasks/registry.ts";
import type { Statistics } from "./statistics.ts";
import type { WorkerSettings } from "./workers/messages.ts";

/** All that options and catalog decide before the first image is read. */
export interface Setup {
  readonly plan: Plan;
  readonly settings: WorkerSettings;
  /** What stays the same while the stream runs. */
  readonly info: Omit<StreamInfo, "samples" | "counted" | "steps" | "skipped">;
}

/** BAD_OPTION, SOURCE_EMPTY. */
export function setUp(
  options: ResolvedOptions,
  catalog: Catalog,
  lengths: readonly number[],
): Setup {
  const { seed, batch, order, window, passes, factor, minPixels, maxPixels, fit } = options;
  const { maxInputPixels, groupField, imageField, weights } = options;
  const mix = resolveEntries(options);
  const { templates, suffix } = resolveTemplates(tasks, options.templates);
  const partitions = options.partitions ?? defaultPartitions(batch, order, createCycle(mix).length);
  const deal = options.deal ?? defaultDeal(lengths[0]!, partitions);
  const sources = lengths.map((shards, at) => ({
    weight: weights?.[at] ?? 1,
    shards,
    deal: options.deal ?? defaultDeal(shards, partitions),
  }));
  const several = sources.length > 1 && { sources };
  const spec = { seed, batch, partitions, entries: mix, deal, window, order, passes, ...several };
  const plan = createPlan(spec, catalog);
  const sizes = { factor, minPixels, maxPixels, fit };
  const entries = mix.map(({ name, task, options: own }) => {
    const template = templates[task];
    if (template === undefined) throw new StreamError("INTERNAL", `no template for ${task}`);
    return { name, task, options: own, template };
  });
  const parts = {
    plan: {
      seed,
      batch,
      partitions,
      deal: several ? null : deal,
      window,
      order,
      passes: passes ?? null,
      cells: plan.cellsPerPartition,
    },
    ...several,
    entries: entries.map((entry, at) => ({
      ...entry,
      options: entry.options as Json,
      weight: mix[at]!.weight,
    })),
    suffix,
    sizes,
    images: {
      decoder: "libjpeg-turbo fast DCT, sharp",
      rule: imageField === undefined ? "first image member" : { named: imageField },
      maxInputPixels,
      groupField,
    },
    shards: catalog.fingerprintParts().map((part) => ({ ...part })),
  };
  return {
    plan,
    settings: {
      seed,
      entries,
      sizes,
      suffix,
      substitutes: passes === undefined ? mostSubstitutes : 0,
      maxInputPixels,
    },
    info: {
      version: STREAM_VERSION,
      fingerprint: fingerprint(parts),
      identity: identityOf(parts),
      seed,
      batch,
      partitions,
      entries: mix.map((entry) => ({
        ...entry,
        options: entry.options as StreamInfo["entries"][number]["options"],
      })),
      shards: catalog.shards,
    },
  };
}

/** Counts every shard and looks at the partitions: better an error now than in the middle of the run. */
export async function countAll(
  plan: Plan,
  catalog: Catalog,
  statistics: Statistics,
): Promise<void> {
  const shards = Array.from({ length: catalog.shards }, (_, shard) => shard);
  if (!catalog.countable && shards.some((shard) => catalog.rows(shard) === undefined))
    throw new StreamError(
      "NEEDS_INDEX",
      `${catalog.address}: a stream with passes needs the counts of all its shards; count them with ssl-r1 index, or give their counts`,
    );
  await Promise.all(shards.map((shard) => catalog.tally(shard)));
  if (samplesOf(catalog).samples === 0)
    throw new StreamError(
      "SOURCE_EMPTY",
      `${catalog.address}: no image in ${catalog.shards} shards`,
    );
  const check = checkPlan(plan.spec, catalog);
  if ("needs" in check || check.ratio <= unevenRatio) return;
  statistics.warn(
    `partitions hold ${Math.min(...check.rows)} to ${Math.max(...check.rows)} images: those of the smallest come ${check.ratio.toFixed(2)} times as often`,
  );
}

/** Shards that are all counted before the first batch; with more, as the stream comes to them. */
const COUNTED_AT_ONCE = 64;

/** Counts the shards of a loader's partitions, of all where undefined, if they are few, and looks at these partitions. Shards of others are left alone. */
export async function countFew(
  plan: Plan,
  catalog: Catalog,
  statistics: Statistics,
  near?: readonly number[],
): Promise<void> {
  const own = near && shardsOf(plan, near);
  if ((own?.length ?? catalog.shards) > COUNTED_AT_ONCE) return;
  if (own === undefined || own.length === catalog.shards)
    return countAll(plan, catalog, statistics);
  await Promise.all(own.map((shard) => catalog.tally(shard)));
  const sources = plan.spec.sources ?? [undefined];
  const isSmall = (partition: number): boolean =>
    sources.some((_, source) => {
      const rows = plan.rows(partition, source);
      return typeof rows === "number" && rows < fewestRows;
    });
  // Which number of partitions would do is known with all counts only.
  if (near?.some(isSmall)) await countAll(plan, catalog, statistics);
}

/** From so many times the shards of its own on, what a loader fetches for shards that all partitions share is told. */
const muchShared = 1.5;

/** For one of several loaders that fetch: shards that the partitions do not divide are shared row by row, and each loader fetches them whole. Lines for people. */
export function sharedNotes(
  { spec }: Plan,
  catalog: Pick<Catalog, "shards" | "inPlace">,
  near: readonly number[],
): string[] {
  if (catalog.inPlace || near.length === 0) return [];
  const { partitions } = spec;
  const sources = spec.sources ?? [{ shards: catalog.shards, deal: spec.deal }];
  return sources.flatMap(({ shards, deal = spec.deal }) => {
    const rest = shards % partitions;
    const own = Math.floor(shards / partitions) * near.length;
    if (deal !== "shards" || own + rest < own * muchShared) return [];
    return [
      `${rest} of ${shards} shards are dealt row by row to all ${partitions} partitions, so every loader fetches them; this one beside ${own} of its own: a number of partitions that divides the shards, or nearly, saves that`,
    ];
  });
}

/** Shards that hold rows of the partitions. */
function shardsOf(plan: Plan, partitions: readonly number[]): number[] {
  const sources = plan.spec.sources ?? [undefined];
  const held = new Set<number>();
  for (const partition of partitions)
    for (const source of sources.keys())
      for (const shard of plan.order(partition, 0, source)) held.add(shard);
  return [...held];
}

/** Images counted so far, and whether that is all of them. */
export function samplesOf(catalog: Catalog): { samples: number; counted: boolean } {
  let samples = 0;
  let counted = true;
  for (let shard = 0; shard < catalog.shards; shard++) {
    const rows = catalog.rows(shard);
    if (rows === undefined) counted = false;
    else samples += rows;
  }
  return { samples, counted };
}
