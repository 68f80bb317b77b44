import { stat } from "node:fs/promises";
import { StreamError } from "../errors.ts";
import { reasonOf } from "../shards/bytes.ts";
import { listOf, numberColumn, textColumn } from "./listing.ts";
import type { List } from "./source.ts";

/** A file of this machine that holds samples. */
export interface LocalFile {
  /** Logical name. */
  readonly name: string;
  readonly path: string;
}

export interface StatedFile extends LocalFile {
  /** Bytes. */
  readonly size: number;
  /** Milliseconds: when it was last changed. */
  readonly time: number;
}

/** Files that are asked about at once: all of a hundred thousand would take hundreds of megabytes. */
const AT_ONCE = 64;

/** Sizes and times. Rejects SOURCE_NOT_FOUND. A function of its own, so that nothing else holds the files. */
export function statFiles(files: readonly LocalFile[]): () => Promise<List<StatedFile>> {
  return () => stated(files);
}

async function stated(files: readonly LocalFile[]): Promise<List<StatedFile>> {
  const [names, paths] = [textColumn(), textColumn()];
  const [sizes, times] = [numberColumn(), numberColumn()];
  for (let first = 0; first < files.length; first += AT_ONCE) {
    const some = files.slice(first, first + AT_ONCE);
    const facts = await Promise.all(some.map(factsOf));
    for (const [at, { name, path }] of some.entries()) {
      names.push(name);
      paths.push(path);
      sizes.push(facts[at]!.size);
      times.push(facts[at]!.mtimeMs);
    }
  }
  return listOf(files.length, (at) => ({
    name: names.at(at),
    path: paths.at(at),
    size: sizes.at(at),
    time: times.at(at),
  }));
}

async function factsOf({ name, path }: LocalFile): Promise<{ size: number; mtimeMs: number }> {
  try {
    return await stat(path);
  } catch (cause) {
    throw new StreamError("SOURCE_NOT_FOUND", `${name}: ${reasonOf(cause)}`, {
      cause,
      context: { shard: name },
    });
  }
}

/** Calls `list` until it has once succeeded, and then lets go of it and of what it holds. */
export function once<Found>(
  list: (signal?: AbortSignal) => Promise<Found>,
): (signal?: AbortSignal) => Promise<Found> {
  let work: typeof list | undefined = list;
  let found: Promise<Found> | undefined;
  return (signal) => {
    found ??= work!(signal).then(
      (done) => {
        work = undefined;
        return done;
      },
      (error: unknown) => {
        found = undefined;
        throw error;
      },
    );
    return found;
  };
}
