import { availableParallelism, homedir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { StreamError } from "./errors.ts";
import type { CountsFile } from "./model.ts";
import { nodeForms, parseNode, type NodePlace } from "./node.ts";
import { presets, type Preset } from "./tasks/task.ts";

/** One line of the mix; a string stands for `task`, `task:level` or `task:level*weight`. */
export interface EntryOptions {
  /** rotation, similarity, inpainting, ordering or correspondence. */
  readonly task: string;
  /** Unique in the mix. Default: the task, with its level where that is not the task's first. */
  readonly name?: string | undefined;
  /** Share of this entry relative to the others, 1 .. 1000. Default 1. */
  readonly weight?: number | undefined;
  /** One of the task's levels; default its first. */
  readonly level?: string | number | undefined;
  /** The task's own options (docs/tasks.md). */
  readonly options?: { readonly [name: string]: unknown } | undefined;
}

/** Where images come from and how they are fetched and kept. Only `source`, `groupField` and `imageField` are part of the stream's identity. */
export interface SourceOptions {
  /** Folder of images, tars (.tar, .tar.gz, .tar.zst) or Parquet files; one of these; a brace list or glob of them; https://...; hf://datasets/OWNER/NAME. Several make a mix. */
  readonly source: string | readonly string[];
  /** Field of a sample's json, or Parquet column, that names the photo a crop comes from. */
  readonly groupField: string;
  /** Extension of the member, or Parquet column, that is the image. Default: the first that looks like one. */
  readonly imageField?: string | undefined;
  /** Folder for what was fetched, or "none" to keep it in memory. Shared by all processes of a machine. */
  readonly cache: string;
  /** Bytes that the cache's folder may hold, over all processes; also "100GB", "1TiB". */
  readonly cacheSize: number;
  /** Bytes of encoded images that may be kept in memory: with cache none, or when the disk is full. */
  readonly memoryLimit: number;
  /** What to do when the cache's disk is full: stop with an error, or go on in memory. */
  readonly whenFull: "error" | "memory";
  /** Requests to servers under way at once, at most. */
  readonly requests: number;
  /** Seconds for which a failing server is tried again without progress. */
  readonly retryFor: number;
}

/** Every option of a stream: the same words on the command line, in YAML and here. Ranges and defaults: `shape` below. */
export interface ResolvedOptions extends SourceOptions {
  /** Shares of the sources in a mix, 1 .. 1000 each. Default: equal. */
  readonly weights?: readonly number[] | undefined;
  /** Shards opened ahead of their use. */
  readonly prefetch: number;
  /** Counts of shards: a file as `ssl-r1 index --out` writes it, or what such a file holds, as another loader's `counts()` gives it. */
  readonly counts?: string | CountsFile | undefined;
  /** Everything random follows from it. */
  readonly seed: number;
  /** Puzzles in a batch. */
  readonly batch: number;
  /** Fixed lanes of the stream, a divisor of batch. Default: the largest divisor up to 8 that leaves 8 slots each (shared order: 8 turns of the cycle). */
  readonly partitions?: number | undefined;
  /** The mix. Default: the five tasks in equal shares. */
  readonly entries: readonly (string | EntryOptions)[];
  /** Defaults of the tasks' options: what trains well and can't be cheated, or the plainest reading of the paper. */
  readonly preset: Preset;
  /** independent: every entry goes its own way through the images; shared: with equal weights all ask about the same image in turn, decoded once. */
  readonly order: "independent" | "shared";
  /** Rows of the whole stream that are shuffled among themselves. */
  readonly window: number;
  /** How shards come to partitions. Default: by rows while there are fewer than 32 shards a partition. */
  readonly deal?: "rows" | "shards" | undefined;
  /** Ends the stream after this many passes over the data. Endless when left out. */
  readonly passes?: number | undefined;
  /** Width and height of shown images are multiples of this many pixels: 28 for Qwen2.5-VL, 32 for Qwen3-VL. */
  readonly factor: number;
  /** Pixels of a shown image at least and at most: within these the model's own resizing is the identity. */
  readonly minPixels: number;
  readonly maxPixels: number;
  /** How a photo is brought to a multiple of factor: cut, or scaled by 0.85 to 1.15 and the rest cut. */
  readonly fit: "crop" | "resize";
  /** Prompt texts: task -> template, and "suffix" (docs/tasks.md). What is left out keeps its default. */
  readonly templates: { readonly [task: string]: string };
  /** Larger images are refused before they are decoded. Pixels. */
  readonly maxInputPixels: number;
  /** The stream fails (SKIP_BUDGET) when a larger share of the images tried was unusable, judged after the first 200. Not part of the stream's identity. */
  readonly maxSkipShare: number;
  /** The same as a number of images. */
  readonly maxSkips?: number | undefined;
  /** Worker threads. Default: one a core. Not part of the stream's identity. */
  readonly workers: number;
  /** Which of several loaders this one is: it prefers some partitions and reads only their shards as long as it is asked for no others (docs/cluster.md). Default: there is one loader. Not part of the stream's identity. */
  readonly node?: NodePlace | undefined;
}

/** What a caller may write: only the source is needed; sizes also as text with a unit, a node also as `1/3`. */
export type StreamOptions = Partial<Omit<ResolvedOptions, Sizes | "node">> &
  Pick<ResolvedOptions, "source"> & {
    readonly [Name in Sizes]?: number | string | undefined;
  } & { readonly node?: NodePlace | string | undefined };

type Sizes = "cacheSize" | "memoryLimit";

const units: { readonly [unit: string]: number } = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** Bytes of "100GB", "1.5 GiB" or a number; undefined where it is none. */
export function parseSize(given: unknown): number | undefined {
  if (typeof given === "number") return given;
  const [, number, unit = ""] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(String(given)) ?? [];
  const factor = units[unit.toLowerCase()];
  return number === undefined || factor === undefined
    ? undefined
    : Math.round(Number(number) * factor);
}

function size(low: number): z.ZodType {
  const error = `expected bytes, at least ${low}, or a text like 100GB or 1.5TiB`;
  return z
    .union([z.number(), z.string()], { error })
    .transform(parseSize)
    .pipe(
      z
        .number({ error })
        .int({ error })
        .min(low, { error })
        .max(Number.MAX_SAFE_INTEGER, { error }),
    );
}

/** $SSL_R1_CACHE, else ssl-r1 in the user's cache folder (XDG Base Directory Specification). */
function defaultCache(): string {
  const { SSL_R1_CACHE: own, XDG_CACHE_HOME: base } = process.env;
  return own || join(base || join(homedir(), ".cache"), "ssl-r1");
}

function integer(low: number, high: number): z.ZodNumber {
  const error = `expected an integer from ${low} to ${high}`;
  return z.number({ error }).int({ error }).min(low, { error }).max(high, { error });
}

const entryForms =
  "expected task, task:level, task:level*weight, or a map with task, name, weight, level, options";

const entry: z.ZodType<EntryOptions> = z.strictObject({
  task: z.string(),
  name: z.string().min(1).max(64).optional(),
  weight: integer(1, 1000).optional(),
  level: z.union([z.string(), z.number()]).optional(),
  options: z.record(z.string(), z.unknown()).optional(),
});

const textOrMap = z.custom<unknown>(
  (given) =>
    typeof given === "string" ||
    (typeof given === "object" && given !== null && !Array.isArray(given)),
  entryForms,
);

const shape: { readonly [Name in keyof ResolvedOptions]-?: z.ZodType } = {
  source: z.union([z.string().min(1), z.array(z.string().min(1)).min(1).max(1000)]),
  weights: z.array(integer(1, 1000)).min(1).max(1000).optional(),
  groupField: z.string().min(1).default("group"),
  imageField: z.string().min(1).optional(),
  cache: z.string().min(1).default(defaultCache),
  cacheSize: size(1_048_576).default(100e9),
  memoryLimit: size(1_048_576).default(700e6),
  whenFull: z.enum(["error", "memory"]).default("error"),
  requests: integer(1, 256).default(8),
  retryFor: integer(0, 1_000_000).default(600),
  prefetch: integer(0, 1_000).default(2),
  // An object is looked at where it is used, as a file is: 100,000 shards are too many for zod, and for its messages.
  counts: z
    .custom(
      (given) =>
        (typeof given === "object" && given !== null) ||
        (typeof given === "string" && given !== ""),
      "expected a file of ssl-r1 index --out, or what it holds",
    )
    .optional(),
  seed: integer(0, Number.MAX_SAFE_INTEGER).default(0),
  batch: integer(1, 1_048_576).default(40),
  partitions: integer(1, 1024).optional(),
  entries: z
    .array(textOrMap)
    .min(1)
    .max(1000)
    .default(["rotation", "similarity", "inpainting", "ordering", "correspondence"]),
  preset: z.enum(presets).default("robust"),
  order: z.enum(["independent", "shared"]).default("independent"),
  window: integer(1, 1_048_576).default(4096),
  deal: z.enum(["rows", "shards"]).optional(),
  passes: integer(1, 4_294_967_296).optional(),
  factor: integer(1, 512).default(28),
  minPixels: integer(1, 2_097_152).default(3_136),
  maxPixels: integer(1, 2_097_152).default(401_408),
  fit: z.enum(["crop", "resize"]).default("crop"),
  templates: z.record(z.string(), z.string()).default({}),
  maxInputPixels: integer(1, 100_000_000).default(64_000_000),
  maxSkipShare: z.number().min(0).max(1).default(0.5),
  maxSkips: integer(0, Number.MAX_SAFE_INTEGER).optional(),
  workers: integer(1, 64).default(() => Math.min(64, availableParallelism())),
  node: z
    .custom((given) => parseNode(given) !== undefined, nodeForms)
    .transform(parseNode)
    .optional(),
};

const schema = z.strictObject(shape);

/** Names of the options that concern where images come from. */
export const sourceOptionNames: readonly (keyof SourceOptions)[] = [
  "source",
  "groupField",
  "imageField",
  "cache",
  "cacheSize",
  "memoryLimit",
  "whenFull",
  "requests",
  "retryFor",
];

/** Names of all options, for the command line and for the tests that hold documents to them. */
export const optionNames: readonly string[] = Object.keys(shape);

/** Checks and completes. BAD_OPTION names each wrong option, what came and what is allowed. */
export function resolveStreamOptions(options: StreamOptions): ResolvedOptions {
  const parsed = schema.safeParse(options);
  if (!parsed.success) throw badOption(parsed.error, options, "", optionNames);
  const resolved = parsed.data as unknown as ResolvedOptions;
  // Not a union of zod's: that tells of one of its forms only, and not always of the same.
  for (const [at, given] of resolved.entries.entries()) {
    const checked = typeof given === "string" ? undefined : entry.safeParse(given);
    if (checked?.error) throw badOption(checked.error, given, `entries.${at}.`);
  }
  const wrong = contradiction(resolved);
  if (wrong !== undefined) throw new StreamError("BAD_OPTION", wrong);
  return resolved;
}

/** Addresses of the sources, at least one. */
export function sourcesOf({ source }: Pick<SourceOptions, "source">): readonly string[] {
  return typeof source === "string" ? [source] : source;
}

/** As resolveStreamOptions, for those options that concern the source alone; others may stand there, as in a stream's config file. */
export function resolveSourceOptions(options: StreamOptions): SourceOptions {
  const resolved: { readonly [name: string]: unknown } = { ...resolveStreamOptions(options) };
  const own = sourceOptionNames.map((name) => [name, resolved[name]] as const);
  return Object.fromEntries(own) as unknown as SourceOptions;
}

/** Options that are each right and do not go together. */
function contradiction(options: ResolvedOptions): string | undefined {
  const { batch, partitions, factor, minPixels, maxPixels, weights } = options;
  const sources = sourcesOf(options).length;
  if (weights && weights.length !== sources)
    return `weights: got ${weights.length}; there are ${sources} sources`;
  if (partitions !== undefined && batch % partitions !== 0)
    return `partitions: got ${partitions}; it must divide batch, ${batch}`;
  if (minPixels > maxPixels)
    return `minPixels: got ${minPixels}; must be at most maxPixels, ${maxPixels}`;
  const tile = factor * factor;
  if (Math.floor(maxPixels / tile) * tile < minPixels || tile > maxPixels)
    return `factor: got ${factor}; no number of squares of ${factor} x ${factor} pixels has between minPixels, ${minPixels}, and maxPixels, ${maxPixels}`;
  return undefined;
}

/** One message out of zod's issues, a line each: `window: got "big"; expected number ...`. */
export function badOption(
  error: z.ZodError,
  given: unknown,
  prefix: string = "",
  names?: readonly string[],
): StreamError {
  const lines = error.issues.flatMap(innermost).flatMap((issue) => {
    if (issue.code === "unrecognized_keys") {
      const allowed = names && issue.path.length === 0 ? `; there are ${names.join(", ")}` : "";
      return issue.keys.map(
        (key) => `${prefix}${[...issue.path, key].join(".")}: no such option${allowed}`,
      );
    }
    const got = issue.path.reduce<unknown>(
      (value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key],
      given,
    );
    return [`${prefix}${issue.path.join(".") || "options"}: got ${shown(got)}; ${issue.message}`];
  });
  return new StreamError("BAD_OPTION", [...new Set(lines)].join("\n"), { cause: error });
}

/** JSON, but for what JSON has no words. */
function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  return typeof value === "number" ? String(value) : (JSON.stringify(value) ?? typeof value);
}

/** Of a union the alternative that came nearest, instead of "Invalid input". */
function innermost(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== "invalid_union") return [issue];
  const deepest = issue.errors.toSorted((one, other) => depth(other) - depth(one))[0] ?? [];
  if (deepest.length === 0) return [issue];
  return deepest.flatMap((inner) => innermost({ ...inner, path: [...issue.path, ...inner.path] }));
}

/** An alternative of the right type complains about a member, not about the type. */
function depth(issues: readonly z.core.$ZodIssue[]): number {
  return issues[0]?.code === "invalid_type" ? issues[0].path.length : 1;
}
