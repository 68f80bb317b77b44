import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { StreamError } from "../errors.ts";
import { reasonOf } from "../shards/bytes.ts";
import type { ShardInfo } from "./source.ts";

/** How many rows shards hold, learnt once and kept: a small JSON file, the same for `ssl-r1 index --out` and for what a stream learns. */
export interface CountsFile {
  readonly version: 1;
  /** What of a record is its image and so decides what is a row. */
  readonly image: string | null;
  readonly shards: readonly CountedShard[];
}

export interface CountedShard extends ShardInfo {
  readonly rows: number;
}

const keyOf = ({ name, size, hash }: ShardInfo): string => JSON.stringify([name, size, hash]);

/** Counts of the shards of a list, by ordinal, as far as the file knows them under the same name, size and hash. BAD_OPTION where it is no such file. */
export function readCounts(
  path: string,
  list: readonly ShardInfo[],
  image: string | undefined,
): Map<number, number> {
  return lookUp(parseCounts(path, readText(path)), list, image);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new StreamError("BAD_OPTION", `counts: ${path}: ${reasonOf(cause)}`, { cause });
  }
}

function parseCounts(path: string, text: string): CountsFile {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new StreamError("BAD_OPTION", `counts: ${path}: not JSON`, { cause });
  }
  const { version, image, shards } = (parsed ?? {}) as Partial<CountsFile>;
  const right =
    version === 1 &&
    (image === null || typeof image === "string") &&
    Array.isArray(shards) &&
    shards.every(isCounted);
  if (!right) throw new StreamError("BAD_OPTION", `counts: ${path}: not a file of ssl-r1 index`);
  return { version, image, shards };
}

function isCounted(given: unknown): given is CountedShard {
  const { name, size, hash, rows } = (given ?? {}) as Partial<CountedShard>;
  return (
    typeof name === "string" &&
    Number.isSafeInteger(size) &&
    (hash === undefined || typeof hash === "string") &&
    Number.isSafeInteger(rows) &&
    rows! >= 0
  );
}

function lookUp(
  file: CountsFile,
  list: readonly ShardInfo[],
  image: string | undefined,
): Map<number, number> {
  const found = new Map<number, number>();
  if (file.image !== (image ?? null)) return found;
  const known = new Map(file.shards.map((shard) => [keyOf(shard), shard.rows]));
  for (const [ordinal, info] of list.entries()) {
    const rows = known.get(keyOf(info));
    if (rows !== undefined) found.set(ordinal, rows);
  }
  return found;
}

/** Whole or not at all. */
export async function writeCounts(path: string, file: CountsFile): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true });
  const part = join(
    folder,
    `.counts-${process.pid}-${createHash("md5").update(path).digest("hex").slice(0, 8)}`,
  );
  try {
    await writeFile(part, `${JSON.stringify(file)}\n`);
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

/** Counts that streams have learnt of sources whose shards have strong hashes, in the cache's folder. */
export interface CountsKeeper {
  learnt(list: readonly ShardInfo[]): Promise<Map<number, number>>;
  /** Adds what was learnt. Failing to write loses nothing but time, so it is not told. */
  keep(list: readonly ShardInfo[], rows: (shard: number) => number | undefined): Promise<void>;
}

export function createCountsKeeper(cache: string, image: string | undefined): CountsKeeper {
  const pathOf = (list: readonly ShardInfo[]): string => {
    const hash = createHash("sha256").update(JSON.stringify(image ?? null));
    for (const info of list) hash.update(keyOf(info));
    return join(cache, "counts", `${hash.digest("hex").slice(0, 32)}.json`);
  };
  async function learnt(list: readonly ShardInfo[]): Promise<Map<number, number>> {
    if (!list.some(({ hash }) => hash !== undefined)) return new Map();
    try {
      const path = pathOf(list);
      return lookUp(parseCounts(path, await readFile(path, "utf8")), list, image);
    } catch {
      return new Map();
    }
  }
  return {
    learnt,
    async keep(list, rows) {
      const before = await learnt(list);
      const shards = list.flatMap((info, ordinal): CountedShard[] => {
        const count = rows(ordinal) ?? before.get(ordinal);
        return info.hash === undefined || count === undefined ? [] : [{ ...info, rows: count }];
      });
      if (shards.length === before.size) return;
      const file: CountsFile = { version: 1, image: image ?? null, shards };
      await writeCounts(pathOf(list), file).catch(() => undefined);
    },
  };
}
