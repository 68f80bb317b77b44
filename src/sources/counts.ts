import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { StreamError } from "../errors.ts";
import type { CountedShard, CountsFile } from "../model.ts";
import { reasonOf } from "../shards/bytes.ts";
import type { List, ShardInfo } from "./source.ts";

const keyOf = ({ name, size, hash }: ShardInfo): string => JSON.stringify([name, size, hash]);

/**
 * Counts of the shards of a list, by ordinal, as far as they are known under the same name, size and hash. `given` is a file, or what such a file
 * holds. BAD_OPTION where it is not.
 */
export function readCounts(
  given: string | CountsFile,
  list: List<ShardInfo>,
  image: string | undefined,
): Map<number, number> {
  const file = typeof given === "string" ? parseCounts(given, readText(given)) : check(given);
  return lookUp(file, list, image);
}

/** What a catalog has counted, for a file or for another loader. */
export function countsOf(
  {
    list,
    rows,
  }: {
    readonly list: List<ShardInfo>;
    readonly rows: (shard: number) => number | undefined;
  },
  image: string | undefined,
): CountsFile {
  const shards: CountedShard[] = [];
  for (let shard = 0; shard < list.length; shard++) {
    const count = rows(shard);
    if (count !== undefined) shards.push({ ...list.at(shard)!, rows: count });
  }
  return { version: 1, image: image ?? null, shards };
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const address = /^(tcp|unix):/.test(path)
      ? "; give what counts() of a client of that loader gives"
      : "";
    const reason = `counts: ${path}: ${reasonOf(cause)}${address}`;
    throw new StreamError("BAD_OPTION", reason, { cause });
  }
}

function parseCounts(path: string, text: string): CountsFile {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new StreamError("BAD_OPTION", `counts: ${path}: not JSON`, { cause });
  }
  return check(parsed, path);
}

function check(given: unknown, path?: string): CountsFile {
  const { version, image, shards } = (given ?? {}) as Partial<CountsFile>;
  const right =
    version === 1 &&
    (image === null || typeof image === "string") &&
    Array.isArray(shards) &&
    shards.every(isCounted);
  if (right) return { version, image, shards };
  const what = path === undefined ? "not what" : `${path}: not a file that`;
  throw new StreamError("BAD_OPTION", `counts: ${what} ssl-r1 index --out writes`);
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
  list: List<ShardInfo>,
  image: string | undefined,
): Map<number, number> {
  const found = new Map<number, number>();
  if (file.image !== (image ?? null)) return found;
  // by name, since keys of a hundred thousand shards are 20 MB more
  const known = Map.groupBy(file.shards, ({ name }) => name);
  let ordinal = -1;
  for (const { name, size, hash } of list) {
    ordinal++;
    const same = known.get(name)?.findLast((one) => one.size === size && one.hash === hash);
    if (same) found.set(ordinal, same.rows);
  }
  return found;
}

/** Whole or not at all. */
export async function writeCounts(path: string, file: CountsFile | Kept): Promise<void> {
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
  learnt(list: List<ShardInfo>): Promise<Map<number, number>>;
  /** Adds what was learnt. Failing to write loses nothing but time, so it is not told. */
  keep(list: List<ShardInfo>, rows: (shard: number) => number | undefined): Promise<void>;
}

/** What a stream keeps: rows by ordinal, null while unknown. The file's name says of which list, so that this is small however many shards there are. */
interface Kept {
  readonly version: 1;
  readonly rows: readonly (number | null)[];
}

export function createCountsKeeper(cache: string, image: string | undefined): CountsKeeper {
  const pathOf = (list: List<ShardInfo>): string => {
    const hash = createHash("sha256").update(JSON.stringify(image ?? null));
    for (const info of list) hash.update(keyOf(info));
    return join(cache, "counts", `${hash.digest("hex").slice(0, 32)}.json`);
  };
  async function learnt(list: List<ShardInfo>): Promise<Map<number, number>> {
    const found = new Map<number, number>();
    if (!hasHash(list)) return found;
    const kept = await readFile(pathOf(list), "utf8").then(parseKept, () => undefined);
    if (kept?.length !== list.length) return found;
    for (const [ordinal, rows] of kept.entries()) if (rows !== null) found.set(ordinal, rows);
    return found;
  }
  return {
    learnt,
    async keep(list, rowsOf) {
      const before = await learnt(list);
      const rows = Array.from(list, ({ hash }, shard) =>
        hash === undefined ? null : (rowsOf(shard) ?? before.get(shard) ?? null),
      );
      if (rows.filter((one) => one !== null).length === before.size) return;
      await writeCounts(pathOf(list), { version: 1, rows }).catch(() => undefined);
    },
  };
}

function hasHash(list: List<ShardInfo>): boolean {
  for (const { hash } of list) if (hash !== undefined) return true;
  return false;
}

/** Whatever is there may be half a file, or another version's. */
function parseKept(text: string): Kept["rows"] | undefined {
  try {
    const { version, rows } = JSON.parse(text) as Partial<Kept>;
    const right =
      version === 1 &&
      Array.isArray(rows) &&
      rows.every((one) => one === null || (Number.isSafeInteger(one) && one >= 0));
    return right ? rows : undefined;
  } catch {
    return undefined;
  }
}
