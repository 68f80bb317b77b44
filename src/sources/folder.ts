import { createHash } from "node:crypto";
import { readdirSync, realpathSync, statSync, type Dirent } from "node:fs";
import { join, sep } from "node:path";
import { StreamError } from "../errors.ts";
import { closed, readFile, reasonOf } from "../shards/bytes.ts";
import { createNotebook, type Notebook, type Notes } from "../shards/notes.ts";
import { createPace } from "../shards/pace.ts";
import { isImageName } from "../shards/samples.ts";
import { checkAbort } from "../shards/scan.ts";
import { checkRow, checkSize } from "./tar-shard.ts";
import type { Shard, Source } from "./source.ts";

/** A folder is one shard; this is its logical name. */
export const FOLDER = "folder";

export interface FolderOptions {
  /** Which file is row 0, 1, ...: a permutation of 0 .. count - 1. Files of one folder are often alike, so a stream wants them mixed. */
  readonly order?: (count: number) => Uint32Array;
  /** What listFolder found there, where it has been asked already. */
  readonly listing?: Listing;
  /** As the user wrote it; the path by default. */
  readonly address?: string;
}

/** Images below a folder: relative paths with "/" in the order of their UTF-8 bytes, in a few flat arrays. */
export interface Listing extends Notes {
  readonly count: number;
  name(index: number): string;
  /** Bytes. */
  readonly sizes: Float64Array;
  /** Modification times, milliseconds. */
  readonly times: Float64Array;
}

/**
 * Images in a folder and the folders in it. The key is the relative path without the extension; group is the key. Symbolic links are followed
 * to files inside of the folder only; other links are reported and skipped, as are names that are not UTF-8.
 */
export function createFolderSource(
  path: string,
  { order, listing, address = path }: FolderOptions = {},
): Source {
  let listed = listing && Promise.resolve(listing);
  const list = (): Promise<Listing> => {
    listed ??= listFolder(path, isImageName).catch((error: unknown) => {
      listed = undefined;
      throw error;
    });
    return listed;
  };
  return {
    address,
    cheap: true,
    countable: true,
    inPlace: true,
    async list(signal) {
      checkAbort(address, signal);
      const found = await list();
      if (found.count === 0)
        throw new StreamError("SOURCE_EMPTY", `${address}: no image in this folder`);
      return [
        {
          name: FOLDER,
          size: found.sizes.reduce((sum, size) => sum + size, 0),
          hash: hashOf(found),
        },
      ];
    },
    async open(shard, signal) {
      checkAbort(address, signal);
      const found = await list();
      if (shard !== 0) throw new StreamError("INTERNAL", `${address}: shard ${shard} of 1`);
      return folderShard(path, found, order?.(found.count));
    },
  };
}

function folderShard(path: string, listing: Listing, order: Uint32Array | undefined): Shard {
  const pace = createPace();
  let open = true;
  return {
    rows: listing.count,
    complete: true,
    counted: () => Promise.resolve(),
    notes: { problems: listing.problems, skipped: listing.skipped },
    async read(row, room) {
      if (!open) throw closed(FOLDER);
      checkRow(FOLDER, row, listing.count);
      const index = order ? (order[row] as number) : row;
      const name = listing.name(index);
      const size = listing.sizes[index] as number;
      checkSize(`${FOLDER}/${name}`, size, 0);
      const known = { size, time: listing.times[index] as number };
      const bytes = await readFile(join(path, name), name, known, pace, room).catch(
        (cause: unknown) => {
          if (cause instanceof StreamError && cause.code !== "SOURCE_NOT_FOUND") throw cause;
          throw new StreamError("SHARD_CORRUPT", `${name}: was listed and can't be read now`, {
            cause,
            context: { shard: FOLDER, key: name },
          });
        },
      );
      const key = withoutExtension(name);
      return { key, group: key, name, bytes };
    },
    async close() {
      open = false;
    },
  };
}

/**
 * Files below `path` whose name `wanted` accepts. Hidden names are skipped. Rejects SOURCE_NOT_FOUND where the folder can't be read.
 * Names are kept as bytes in one buffer: a hundred thousand strings would be ten times the memory.
 */
export async function listFolder(
  path: string,
  wanted: (name: string) => boolean,
): Promise<Listing> {
  const notes = createNotebook();
  const root = realRoot(path);
  const found = createList(root, notes);

  function walk(folder: string): void {
    const names: string[] = [];
    for (const entry of entriesOf(root, folder, notes)) {
      const name = folder + entry.name;
      if (entry.name.startsWith(".")) notes.skip("hidden");
      // with the slash it stands among the files where the paths below it belong
      else if (entry.isDirectory()) names.push(`${entry.name}/`);
      else if (entry.isSymbolicLink()) {
        if (followed(root, name, wanted, notes)) names.push(entry.name);
      } else if (!entry.isFile()) notes.skip("special file");
      else if (wanted(name)) names.push(entry.name);
      else notes.skip("not an image");
    }
    for (const name of sortUtf8(names))
      if (name.endsWith("/")) walk(folder + name);
      else found.add(folder + name);
  }

  walk("");
  return found.end();
}

function realRoot(path: string): string {
  try {
    return realpathSync(path);
  } catch (cause) {
    throw new StreamError("SOURCE_NOT_FOUND", `${path}: ${reasonOf(cause)}`, { cause });
  }
}

/** Not in the background: of very many small folders that would take several times as long. */
function entriesOf(root: string, folder: string, notes: Notebook): readonly Dirent[] {
  try {
    return readdirSync(join(root, folder), { withFileTypes: true });
  } catch (cause) {
    if (folder === "")
      throw new StreamError("SOURCE_NOT_FOUND", `${root}: ${reasonOf(cause)}`, { cause });
    notes.skip("unreadable folder");
    notes.problem({
      shard: FOLDER,
      key: folder,
      reason: `the folder can't be read: ${reasonOf(cause)}`,
    });
    return [];
  }
}

/** Whether a link leads to a wanted file inside of the folder. */
function followed(
  root: string,
  name: string,
  wanted: (name: string) => boolean,
  notes: Notebook,
): boolean {
  let reason: string;
  try {
    const target = realpathSync(join(root, name));
    if (!target.startsWith(root.endsWith(sep) ? root : root + sep))
      reason = "link leaves the folder";
    else if (!statSync(target).isFile()) reason = "link to what is no file";
    else if (wanted(name)) return true;
    else {
      notes.skip("not an image");
      return false;
    }
  } catch (cause) {
    reason = `broken link: ${reasonOf(cause)}`;
  }
  notes.skip("link");
  notes.problem({ shard: FOLDER, key: name, reason });
  return false;
}

/** Names to one buffer, with the sizes and times that reading compares. */
function createList(root: string, notes: Notebook): { add(name: string): void; end(): Listing } {
  const below = root.endsWith(sep) ? root : root + sep;
  const ends: number[] = [];
  const sizes: number[] = [];
  const times: number[] = [];
  let bytes = Buffer.allocUnsafe(4096);
  let end = 0;
  return {
    add(name) {
      const stats = statSync(below + name, { throwIfNoEntry: false });
      if (!stats) {
        notes.skip("unreadable name");
        notes.problem({
          shard: FOLDER,
          key: name,
          reason: "gone since it was listed, or a name that is not UTF-8",
        });
        return;
      }
      // a code unit of UTF-16 is at most three bytes of UTF-8
      if (bytes.length < end + name.length * 3)
        bytes = Buffer.concat([bytes, Buffer.allocUnsafe(bytes.length + name.length * 3)]);
      end += bytes.write(name, end);
      ends.push(end);
      sizes.push(stats.size);
      times.push(stats.mtimeMs);
    },
    end() {
      const kept = Buffer.from(bytes.subarray(0, end));
      const places = Float64Array.from(ends);
      return {
        count: ends.length,
        name: (index) => kept.toString("utf8", index === 0 ? 0 : places[index - 1], places[index]),
        sizes: Float64Array.from(sizes),
        times: Float64Array.from(times),
        problems: notes.problems,
        skipped: notes.skipped,
      };
    },
  };
}

/** In the order of their UTF-8 bytes. That of UTF-16, which JavaScript compares, differs where there are surrogates. */
export function sortUtf8(names: string[]): string[] {
  if (!names.some((name) => /[\ud800-\udfff]/.test(name))) return names.sort();
  return names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** Hash of names and sizes: what a folder can say of its contents without reading it all. */
function hashOf(listing: Listing): string {
  const hash = createHash("sha256");
  for (let i = 0; i < listing.count; i++) hash.update(`${listing.name(i)}\0${listing.sizes[i]}\n`);
  return `listing-sha256:${hash.digest("hex")}`;
}

function withoutExtension(name: string): string {
  return name.slice(0, name.lastIndexOf("."));
}
