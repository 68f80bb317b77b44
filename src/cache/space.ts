import { readdir, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { StreamError } from "../errors.ts";
import type { Notify } from "../notice.ts";
import { PART, TABLE, WHOLE } from "./folder.ts";
import type { Locks } from "./lock.ts";
import { codeOf, type Presence } from "./presence.ts";
import { GaveWay } from "./shelf.ts";

/** How many bytes the folder holds, over all processes, and what goes when there is no more room. */
export interface Space {
  /**
   * Room for a part to grow to `least` bytes, and a little more where that is to be had: the bytes that it may grow to. Removes whole files that nobody has
   * open and that are needed later than `need`. Rejects CACHE where that is not enough.
   */
  reserve(part: Growing, least: number): Promise<number>;
  /** Removes files worth `bytes` or more, for a disk that is full before the cache is. Rejects CACHE where none may go. */
  free(part: Growing, bytes: number, cause: unknown): Promise<void>;
  /** Something of this store was closed or has ended: who found no room before that looks again. */
  freed(): void;
  /** Down to the size, as far as files are not in use. */
  trim(): Promise<void>;
  /** What was removed, and the bytes that the folder held when that was last looked at. */
  readonly counts: {
    readonly evictions: number;
    readonly evictedBytes: number;
    readonly bytes: number;
  };
}

export interface Growing {
  /** For messages. */
  readonly shard: string;
  /** Name of the part in the folder. */
  readonly file: string;
  /** When it is needed itself; -Infinity: somebody waits for it. */
  readonly need: number;
  readonly signal: AbortSignal;
}

export interface SpaceOptions {
  readonly folder: string;
  /** Bytes. */
  readonly size: number;
  readonly presence: Presence;
  readonly locks: Locks;
  /** When a whole file is needed; Infinity where that is not known. */
  readonly needOf: (file: string) => Promise<number>;
  /** Gives up a part of this store that nobody waits for and that is needed later; false where there is none. */
  readonly giveUp: (growing: Growing, need: number) => Promise<boolean>;
  readonly notify?: Notify | undefined;
}

/** Room is taken in steps, since the folder is listed for each. Bytes; of the size. */
const LARGEST_STEP = 1 << 26;
const STEPS = 256;
/** Milliseconds between looks at a lock that is held for a few. */
const SOON = 3;

interface Found {
  readonly file: string;
  readonly bytes: number;
  /** Milliseconds: last use. */
  readonly used: number;
}

export function createSpace(options: SpaceOptions): Space {
  const { folder, size, presence, locks, needOf, giveUp } = options;
  const step = Math.min(LARGEST_STEP, Math.floor(size / STEPS));
  let turn: Promise<unknown> = Promise.resolve();
  let endings = 0;
  const counts = { evictions: 0, evictedBytes: 0, bytes: 0 };

  /** One at a time in all processes. */
  function alone<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const mine = turn.then(async () => {
      for (;;) {
        signal?.throwIfAborted();
        const lock = locks.take("room");
        if (lock) {
          try {
            return await work();
          } finally {
            lock.release();
          }
        }
        await new Promise((resolve) => void setTimeout(resolve, SOON));
      }
    });
    turn = mine.catch(() => undefined);
    return mine;
  }

  /** Once more after each part that was given up: outside of the lock, which that part may be waiting for. */
  async function pressing<T>(growing: Growing, work: (need: number) => Promise<T>): Promise<T> {
    for (;;) {
      const { need } = growing; // it changes
      const before = endings;
      try {
        return await alone(() => work(need), growing.signal);
      } catch (error) {
        if (!(error instanceof StreamError && error.code === "CACHE")) throw error;
        if ((await giveUp(growing, need)) || endings !== before) continue;
        throw need === Number.NEGATIVE_INFINITY ? error : new GaveWay(error);
      }
    }
  }

  interface Use {
    /** Whole files that nobody has open. */
    readonly idle: Found[];
    /** Bytes of those that are open. */
    readonly open: number;
    /** Bytes of parts, as far as they may grow; without `file`. */
    readonly parts: number;
    readonly total: number;
  }

  async function look(file?: string): Promise<Use> {
    const users = [presence.own, ...presence.others()];
    const inUse = new Set(users.flatMap(({ files }) => [...files.keys()]));
    const reserved = new Map(users.flatMap(({ files }) => [...files]));
    const idle: Found[] = [];
    let [open, parts] = [0, 0];
    const names = await readdir(folder);
    for (const name of names) {
      const part = name.indexOf(PART);
      if (part < 0 && !name.endsWith(WHOLE) && !name.endsWith(TABLE)) continue;
      if (name === file) continue;
      const path = join(folder, name);
      if (part >= 0 && !presence.alive(name.slice(part + PART.length))) {
        await rm(path, { force: true });
        continue;
      }
      const found = await stat(path).catch(() => undefined);
      if (!found) continue;
      if (part >= 0) {
        parts += Math.max(found.size, reserved.get(name) ?? 0);
        reserved.delete(name);
      } else if (inUse.has(name)) open += found.size;
      else idle.push({ file: name, bytes: found.size, used: found.atimeMs });
    }
    // room is taken before the file is there, and given back after it has got its name
    const wholes = new Set(names);
    for (const [name, bytes] of reserved)
      if (name !== file && !wholes.has(name.slice(0, name.indexOf(PART)) + WHOLE)) parts += bytes;
    const all = idle.reduce((sum, { bytes }) => sum + bytes, open + parts);
    counts.bytes = all;
    return { idle, open, parts, total: all };
  }

  /** Removes what is needed last until `bytes` are free. How many there are. */
  async function evict(idle: readonly Found[], bytes: number, need: number): Promise<number> {
    const order: (Found & { need: number })[] = [];
    for (const found of idle) {
      const later = await needOf(found.file);
      if (later > need) order.push({ ...found, need: later });
    }
    order.sort((one, other) =>
      one.need === other.need ? one.used - other.used : other.need - one.need,
    );
    let freed = 0;
    let shards = 0;
    for (const { file, bytes: worth } of order) {
      if (freed >= bytes) break;
      try {
        await rm(join(folder, file));
        freed += worth;
        shards++;
      } catch (error) {
        // Windows keeps what a program that we do not know of has open
        if (codeOf(error) === "ENOENT") freed += worth;
      }
    }
    counts.evictions += shards;
    counts.evictedBytes += freed;
    counts.bytes -= freed;
    if (shards > 0) options.notify?.({ kind: "evicted", shards, bytes: freed });
    return freed;
  }

  return {
    reserve: (growing, least) =>
      pressing(growing, async (need) => {
        const { shard, file } = growing;
        const { idle, open, parts, total } = await look(file);
        const wanted = least + step;
        const missing = total + wanted - size;
        const freed = missing > 0 ? await evict(idle, missing, need) : 0;
        const granted = Math.min(wanted, size - total + freed);
        if (granted < least) {
          const message = `${shard}: no room in the cache: it may hold ${size} bytes; ${open} of them are open, ${parts} are being written, ${total - open - parts - freed} are needed sooner, and this shard needs ${least} or more`;
          throw new StreamError("CACHE", message, {
            context: { shard, size, open, parts, needed: least },
          });
        }
        presence.reserve(file, granted);
        counts.bytes += granted;
        return granted;
      }),
    free: (growing, bytes, cause) =>
      pressing(growing, async (need) => {
        const { shard, file } = growing;
        const { idle, open, parts, total } = await look(file);
        // a limit on file sizes stays, whatever goes
        const limited = codeOf(cause) === "EFBIG";
        if (!limited && (await evict(idle, Math.max(bytes, step), need)) > 0) return;
        const disk = await statfs(folder).catch(() => undefined);
        const left = disk ? disk.bavail * disk.bsize : 0;
        const message = `${shard}: the cache's disk is full (${codeOf(cause)}): ${left} bytes are left, ${bytes} needed; the cache holds ${total} of the ${size} bytes that it may, ${open} of them are open, ${parts} are being written elsewhere`;
        throw new StreamError("CACHE", message, {
          // the folder is for the log, not for clients
          cause: new Error(`${folder}: ${codeOf(cause)}`, { cause }),
          context: { shard, size, open, parts, needed: bytes, left },
        });
      }),
    counts,
    freed() {
      endings++;
    },
    trim: () =>
      alone(async () => {
        const { idle, total } = await look();
        if (total > size) await evict(idle, total - size, Number.NEGATIVE_INFINITY);
      }, undefined),
  };
}
