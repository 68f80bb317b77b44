import { createReadStream } from "node:fs";
import { StreamError } from "../errors.ts";
import type { Known, Net } from "../net/net.ts";
import { openFile, reasonOf } from "../shards/bytes.ts";
import { LONGEST_MAGIC, packingOf } from "../shards/decompress.ts";
import type { Feed, RowOptions } from "../shards/feed.ts";
import { createNotebook } from "../shards/notes.ts";
import { createPace } from "../shards/pace.ts";
import { scanTar } from "../shards/scan.ts";
import { createFedSource, type FedFile, type Listed } from "./fed.ts";
import { openLocalTar } from "./local-tar.ts";
import { sparseBytes } from "./sparse.ts";
import type { List, Source } from "./source.ts";
import type { Supplies } from "./supplies.ts";

/** What a file holds, by its name. Which compression a tar has is seen in its first bytes. */
export type Form = "tar" | "packed tar" | "parquet";

const forms: readonly (readonly [RegExp, Form])[] = [
  [/\.tar$/i, "tar"],
  [/\.(tar\.gz|tgz|tar\.zst|tzst)$/i, "packed tar"],
  [/\.parquet$/i, "parquet"],
];

export function formOf(name: string): Form | undefined {
  return forms.find(([pattern]) => pattern.test(name))?.[1];
}

/** A file that holds samples, here or elsewhere. */
export interface Container {
  /** Logical name. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Strong hash or ETag, where there is one. */
  readonly hash?: string;
  readonly place: Place;
}

export type Place =
  | { readonly path: string; readonly time: number }
  | {
      readonly url: string;
      readonly known: Known;
      /** Whether the server gives parts, as far as is known; only counting asks. */
      readonly ranges?: boolean;
    };

export interface ContainersOptions<Item extends Listed> {
  /** As Source.cheap and Source.countable: see countingOf. */
  readonly counting: { readonly cheap: boolean; readonly countable: boolean };
  readonly rows: RowOptions;
  readonly supplies: Supplies;
  readonly list: (signal?: AbortSignal) => Promise<List<Item>>;
  /** What is listed, to be read. */
  readonly container: (item: Item) => Container;
}

/** Tars, compressed or not, and Parquet files, anywhere. A plain tar on this machine is read in place; of others the rows are kept in the store. */
export function createContainersSource<Item extends Listed>(
  address: string,
  options: ContainersOptions<Item>,
): Source {
  const { rows, supplies, counting, list, container } = options;
  return createFedSource(address, {
    ...counting,
    supplies,
    form: JSON.stringify([rows.group ?? null, rows.image ?? null]),
    list,
    file: (item: Item) => fedFile(container(item), rows, supplies),
  });
}

/** How files are counted: Parquet files by their footers; on this machine plain tars by their headers, packed ones by unpacking them. */
export function countingOf(files: readonly { readonly name: string; readonly here: boolean }[]): {
  cheap: boolean;
  countable: boolean;
} {
  const countable = files.every(({ name, here }) => here || formOf(name) === "parquet");
  return {
    countable,
    cheap: files.every(({ name, here }) => here && formOf(name) !== "packed tar"),
  };
}

function fedFile(container: Container, rows: RowOptions, supplies: Supplies): FedFile {
  const { name, size, hash, place } = container;
  const form = formOf(name);
  if (!form) throw new StreamError("BAD_OPTION", `${name}: neither a tar nor a Parquet file`);
  const feed = (): Promise<Feed> => feedOf(container, form, rows, supplies);
  return {
    name,
    size,
    ...(hash !== undefined && { hash }),
    identity: identityOf(container),
    feed,
    ...("path" in place &&
      form === "tar" && {
        local: async (signal?: AbortSignal) => {
          const pace = createPace();
          const { path } = place;
          const file = await openFile(path, name, pace);
          const how = { ...rows, ...(signal && { signal }) };
          return openLocalTar({ ...file, path }, name, how, { supplies, pace });
        },
      }),
    ...(form === "parquet" && { count: async () => (await feed()).count! }),
    ...(form !== "parquet" && {
      tally: (signal?: AbortSignal) => tallyOf(container, form, feed, { rows, supplies, signal }),
    }),
  };
}

/** The same bytes have the same identity wherever they come from, if a strong hash is known. */
function identityOf({ name, size, hash, place }: Container): string {
  const form = formOf(name);
  if (hash !== undefined && "url" in place && place.known.sha256 !== undefined)
    return `${form} ${hash} ${size}`;
  if ("url" in place) return `${form} ${place.url} ${place.known.etag ?? ""} ${size}`;
  return `${form} ${place.path} ${size} ${place.time}`;
}

async function feedOf(
  { name, size, place }: Container,
  form: Form,
  rows: RowOptions,
  supplies: Supplies,
): Promise<Feed> {
  if (form === "parquet") {
    // Only who has Parquet files pays for the library.
    const { openParquet, fileBytes } = await import("../shards/parquet.ts");
    const bytes =
      "path" in place
        ? await fileBytes(place.path, name)
        : remoteBytes(await supplies.net(), place, size);
    return openParquet(name, bytes, rows);
  }
  const { tarFeed } = await import("../shards/tar-feed.ts");
  if ("path" in place) return tarFeed(name, () => fileStream(place.path, name, size), rows);
  const net = await supplies.net();
  return tarFeed(name, (signal) => net.download(place.url, place.known, { signal }), rows);
}

interface TallyOptions {
  readonly rows: RowOptions;
  readonly supplies: Supplies;
  readonly signal: AbortSignal | undefined;
}

/** Of a plain tar elsewhere the headers, the contents between them as far as they cost less than a request; anything packed is read through. */
async function tallyOf(
  { name, size, place }: Container,
  form: Form,
  feed: () => Promise<Feed>,
  { rows, supplies, signal = new AbortController().signal }: TallyOptions,
): Promise<number> {
  if (form === "tar" && "url" in place) {
    const bytes = sparseBytes(await supplies.net(), name, {
      ranges: false,
      ...place,
      size,
      signal,
    });
    try {
      const start = await bytes.read(0, Math.min(LONGEST_MAGIC, size));
      if (packingOf(start) === undefined) {
        const { image } = rows;
        const index = await scanTar(bytes, name, { signal, ...(image !== undefined && { image }) });
        await bytes.finish();
        return index.rows;
      }
    } finally {
      await bytes.close();
    }
  }
  let count = 0;
  for await (const _ of (await feed()).rows(createNotebook(), signal)) count++;
  return count;
}

async function* fileStream(
  path: string,
  name: string,
  size: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  let seen = 0;
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 18 })) {
      seen += (chunk as Uint8Array).length;
      yield chunk as Uint8Array;
    }
  } catch (cause) {
    if (cause instanceof StreamError) throw cause;
    throw new StreamError("SHARD_CORRUPT", `${name}: can't be read: ${reasonOf(cause)}`, {
      cause,
      context: { shard: name, offset: seen },
    });
  }
  if (seen !== size)
    throw new StreamError("SHARD_CORRUPT", `${name}: changed while in use`, {
      context: { shard: name, offset: seen },
    });
}

function remoteBytes(
  net: Net,
  { url, known }: { readonly url: string; readonly known: Known },
  size: number,
): {
  readonly size: number;
  read(from: number, to: number, signal: AbortSignal): Promise<Uint8Array>;
  stream(from: number, to: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
} {
  const stream = (from: number, to: number, signal: AbortSignal): AsyncIterable<Uint8Array> =>
    net.download(url, known, { from, to, signal });
  return {
    size,
    stream,
    async read(from, to, signal) {
      const bytes = new Uint8Array(to - from);
      let at = 0;
      for await (const chunk of stream(from, to, signal)) {
        bytes.set(chunk, at);
        at += chunk.length;
      }
      return bytes;
    },
  };
}
