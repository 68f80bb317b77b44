import { createHash } from "node:crypto";
import { asStreamError } from "../errors.ts";
import { checkAbort } from "../shards/scan.ts";
import { createCatalog, problemOf, type Catalog } from "./catalog.ts";
import { sniff } from "./sniff.ts";
import type { Problem } from "../shards/notes.ts";
import type { Source } from "./source.ts";

/** Without `samples`, so many rows of a shard are read for formats and sizes. */
const LOOKED_AT = 64;

export type InspectLine = ShardLine | SampleLine | ProblemLine | Summary;

interface ShardLine {
  readonly shard: string;
  readonly rows: number;
  readonly bytes: number;
  /** Members or files that are no rows, by reason. */
  readonly skipped: { readonly [reason: string]: number };
}

export interface SampleLine {
  readonly shard: string;
  readonly key: string;
  /** Member or file name. */
  readonly image: string;
  readonly bytes: number;
  /** Of the encoded image, in hexadecimal. */
  readonly sha256: string;
}

interface ProblemLine extends Problem {
  readonly problem: "shard" | "sample" | "member";
}

interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

interface Summary {
  readonly summary: true;
  readonly shards: number;
  readonly samples: number;
  readonly bytes: number;
  /** Number of images that were read: all with `samples`, else some of each shard, evenly. The rest of the summary is about these. */
  readonly looked: number;
  /** By their first bytes, not by name. */
  readonly formats: { readonly [format: string]: number };
  /** Pixels, as stored. Null where no header told. */
  readonly width: Spread | null;
  readonly height: Spread | null;
  readonly problems: number;
}

/**
 * What a source holds and what is wrong with it, in catalog order, summary last. A damaged shard or sample is a line of the report, and the
 * next one follows. Breaking off closes everything.
 */
export async function* inspectSource(
  source: Source,
  { samples, signal }: { readonly samples: boolean; readonly signal?: AbortSignal },
): AsyncGenerator<InspectLine, void, undefined> {
  const catalog = await createCatalog(source, { open: 1, ...(signal && { signal }) });
  const totals = createTotals();
  try {
    for (let number = 0; number < catalog.shards; number++) {
      const { name, size } = catalog.list.at(number)!;
      checkAbort(source.address, signal);
      totals.bytes += size;
      const known = catalog.problems.length;
      const skipped = { ...catalog.skipped };
      try {
        const rows = await catalog.count(number);
        totals.samples += rows;
        yield { shard: name, rows, bytes: size, skipped: difference(catalog.skipped, skipped) };
      } catch (error) {
        totals.problems++;
        yield { problem: "shard", ...problemOf(name, asStreamError(error)) };
        continue;
      }
      for (const problem of catalog.problems.slice(known)) {
        totals.problems++;
        yield { problem: "member", ...problem };
      }
      yield* inspectRows(catalog, number, name, samples, totals, signal);
    }
    yield totals.summary(catalog.shards);
  } finally {
    await catalog.close();
  }
}

async function* inspectRows(
  catalog: Catalog,
  number: number,
  shard: string,
  samples: boolean,
  totals: Totals,
  signal: AbortSignal | undefined,
): AsyncGenerator<InspectLine, void, undefined> {
  const rows = catalog.rows(number) ?? 0;
  const looks = samples ? rows : Math.min(rows, LOOKED_AT);
  for (let i = 0; i < looks; i++) {
    checkAbort(catalog.address, signal);
    const row = Math.floor((i * rows) / looks);
    try {
      const { key, name, bytes } = await catalog.read(number, row);
      totals.look(bytes);
      if (samples)
        yield {
          shard,
          key,
          image: name,
          bytes: bytes.length,
          sha256: createHash("sha256").update(bytes).digest("hex"),
        };
    } catch (error) {
      totals.problems++;
      yield { problem: "sample", ...problemOf(shard, asStreamError(error)) };
    }
  }
}

interface Totals {
  samples: number;
  bytes: number;
  problems: number;
  look(image: Uint8Array): void;
  summary(shards: number): Summary;
}

function createTotals(): Totals {
  const formats: Record<string, number> = {};
  const widths = new Map<number, number>();
  const heights = new Map<number, number>();
  let looked = 0;
  return {
    samples: 0,
    bytes: 0,
    problems: 0,
    look(image) {
      const { format, width, height } = sniff(image);
      looked++;
      formats[format] = (formats[format] ?? 0) + 1;
      if (width === undefined || height === undefined) return;
      widths.set(width, (widths.get(width) ?? 0) + 1);
      heights.set(height, (heights.get(height) ?? 0) + 1);
    },
    summary(shards) {
      const { samples, bytes, problems } = this;
      return {
        summary: true,
        shards,
        samples,
        bytes,
        looked,
        formats,
        width: spread(widths),
        height: spread(heights),
        problems,
      };
    },
  };
}

/** From a table value -> how often. The median is the lower of the two middle values. */
function spread(counts: ReadonlyMap<number, number>): Spread | null {
  const values = [...counts.keys()].sort((a, b) => a - b);
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  let left = Math.floor((total - 1) / 2);
  for (const value of values) {
    left -= counts.get(value) ?? 0;
    if (left < 0) return { min: values[0] as number, median: value, max: values.at(-1) as number };
  }
  return null;
}

function difference(
  now: { readonly [reason: string]: number },
  before: { readonly [reason: string]: number },
): Record<string, number> {
  const changes = Object.entries(now).map(([reason, count]): [string, number] => [
    reason,
    count - (before[reason] ?? 0),
  ]);
  return Object.fromEntries(changes.filter(([, count]) => count > 0));
}
