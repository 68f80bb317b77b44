import { readdirSync, rmSync, statSync, utimesSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { StreamError } from "../errors.ts";
import type { Room } from "../shards/bytes.ts";
import type { Row } from "../shards/feed.ts";
import { createNotebook } from "../shards/notes.ts";
import { createPace } from "../shards/pace.ts";
import type { Notify } from "../notice.ts";
import { createPool } from "./chunks.ts";
import { openWhole, type Rows } from "./file.ts";
import { begin, fileOf, LOCKS, PART, TABLE, unusable, WHOLE } from "./folder.ts";
import { followPart, type Followed } from "./growing.ts";
import { createLocks } from "./lock.ts";
import { createPart, type Part } from "./part.ts";
import { codeOf } from "./presence.ts";
import { createMemoryRows, type MemoryRows } from "./rows.ts";
import { createShelf, GaveWay, unlessGivenUp, type Entry } from "./shelf.ts";
import { createSpace, type Growing } from "./space.ts";
import type { Store } from "./store.ts";
import { createTableKeeper } from "./table.ts";

export interface DiskStoreOptions {
  /** Made if it is not there. Several processes may share it. */
  readonly folder: string;
  /** Bytes that the folder may hold, over all processes. */
  readonly size: number;
  /** What happens when a shard finds no room: an error (CACHE), or the rest of it is kept in memory while it is open. */
  readonly whenFull?: "error" | "memory";
  /** Bytes of memory for that. */
  readonly memoryLimit?: number;
  /** Told what a person may want to know. */
  readonly log?: (message: string) => void;
  readonly notify?: Notify;
}

interface State {
  /** Name in the folder, without what follows for wholes and parts. */
  readonly file: string;
  rows: Rows | undefined;
  /** Those that were read from before: closed with the last user, since a read may be under way. */
  readonly old: Rows[];
  marked: boolean;
  /** A damaged file is being looked into. */
  renewing: Promise<void> | undefined;
}

/** Milliseconds between looks at what another process writes. */
const SOONEST_LOOK = 10;
const LATEST_LOOK = 200;
/** How often the same row, or the same file, is tried anew before that is an error. */
const TRIES = 3;

/**
 * Keeps rows in files of one folder that processes share. One of them fetches a shard; the others read what it has written so far, and take over when it dies.
 * Half a file never has a whole one's name, neither after kill -9 nor after a power failure. A damaged file is fetched once more; SHARD_CORRUPT where the next is damaged too. Rejects CACHE where the folder can't be used.
 */
export async function createDiskStore(options: DiskStoreOptions): Promise<Store> {
  const { folder, size, whenFull = "error", memoryLimit = 0, log = () => undefined } = options;
  const presence = begin(folder);
  const locks = createLocks(join(folder, LOCKS), presence);
  const pace = createPace();
  const pool = createPool(memoryLimit);
  let needed: ((id: string) => number) | undefined;
  const ids = new Map<string, string>();
  const { notify } = options;
  const space = createSpace({ folder, size, presence, locks, needOf, giveUp, notify });
  let [hits, misses] = [0, 0];
  const wholePath = (file: string): string => join(folder, file + WHOLE);

  async function needOf(whole: string): Promise<number> {
    // a table costs less to be made again than rows to be fetched
    if (!needed || whole.endsWith(TABLE)) return Number.POSITIVE_INFINITY;
    let id = ids.get(whole);
    if (id === undefined) {
      const file = await openWhole(join(folder, whole), undefined, whole, pace);
      await file?.close();
      id = file?.id ?? "";
      ids.set(whole, id);
    }
    return needed(id);
  }

  /** Given up, and still holding their room. */
  const leaving = new Set<Promise<void>>();

  async function giveUp({ shard, signal }: Growing, need: number): Promise<boolean> {
    signal.throwIfAborted(); // it may be its own end that it would wait for
    let victim: Entry<State> | undefined;
    let latest = need;
    for (const entry of shelf.entries()) {
      const later = needed?.(entry.id) ?? Number.POSITIVE_INFINITY;
      if (!entry.job || entry.users > 0 || later <= latest) continue;
      victim = entry;
      latest = later;
    }
    if (victim) {
      log(`${victim.name}: given up, since there is no room for what is needed sooner`);
      const end = shelf.remove(victim).finally(() => leaving.delete(end));
      leaving.add(end);
    } else if (leaving.size === 0) return false;
    await unlessGivenUp(Promise.all(leaving), shard, signal);
    return true;
  }

  const shelf = createShelf<State>({
    keeps: false,
    create: (id) => {
      const file = fileOf(id);
      ids.set(file + WHOLE, id);
      return { file, rows: undefined, old: [], marked: false, renewing: undefined };
    },
    async fetch(entry) {
      try {
        await fetch(entry);
      } catch (error) {
        // what the system says; feeds reject with errors of ours
        throw codeOf(error) !== undefined && !(error instanceof StreamError)
          ? unusable(entry.name, folder, error)
          : error;
      }
    },
    async read(entry, row, room) {
      const { growth, state, name } = entry;
      for (let tries = 0; tries < TRIES; tries++) {
        await growth.reached(row);
        const { rows } = state;
        const found = await rows?.read(row, room);
        if (found) return found;
        if (rows !== state.rows) continue;
        if (growth.error) throw growth.error;
        // what another process writes may be there before its bytes are, on a network disk
        if (entry.job) await entry.job;
        else if (rows) await (state.renewing ??= renew(entry, row));
      }
      throw new StreamError("SHARD_CORRUPT", `${name}: row ${row} is damaged in the cache, again`, {
        context: { shard: name },
      });
    },
    async drop({ state }) {
      if (state.marked) presence.unmark(state.file + WHOLE);
      space.freed();
      await Promise.allSettled([state.rows, ...state.old].map(async (rows) => rows?.close()));
    },
  });

  async function fetch(entry: Entry<State>): Promise<void> {
    const { growth, state, signal } = entry;
    growth.restart();
    if (!state.marked) presence.mark(state.file + WHOLE);
    state.marked = true;
    for (let lost = 0; ;) {
      signal.throwIfAborted();
      if (await openThere(entry)) return void hits++;
      const lock = locks.take(state.file);
      if (lock) {
        try {
          // it may have been finished between the look and the lock
          if (await openThere(entry)) return void hits++;
          if (await feed(entry)) return;
        } finally {
          lock.release();
        }
        if (++lost === TRIES) throw unusable(entry.name, folder, new Error("parts vanish"));
      } else await follow(entry);
      growth.restart();
    }
  }

  function use({ state }: Entry<State>, rows: Rows): void {
    if (state.rows) state.old.push(state.rows);
    state.rows = rows;
  }

  async function openThere(entry: Entry<State>): Promise<boolean> {
    const { growth, id, name, state } = entry;
    const whole = await openWhole(wholePath(state.file), id, name, pace);
    if (!whole) return false;
    use(entry, whole);
    touch(wholePath(state.file));
    growth.add(whole.rows);
    growth.finish(whole.notes);
    return true;
  }

  /** For those who look what was not used for long. The time of change stays: whoever has the file open checks it. */
  function touch(path: string): void {
    try {
      const seconds = statSync(path).mtimeMs / 1000;
      if (Number.isInteger(seconds)) utimesSync(path, presence.now() / 1000, seconds);
    } catch {
      // gone, or another user's
    }
  }

  /** False where somebody took the part away: a machine that sleeps for minutes is taken for dead. */
  async function feed(entry: Entry<State>): Promise<boolean> {
    const { growth, id, name, signal, state } = entry;
    misses++;
    const given = await unlessGivenUp(entry.feed(), name, signal);
    if (given.count !== undefined) growth.expect(given.count);
    const file = state.file + PART + presence.me;
    const growing: Growing = {
      shard: name,
      file,
      signal,
      get need() {
        return entry.users > 0
          ? Number.NEGATIVE_INFINITY
          : (needed?.(id) ?? Number.POSITIVE_INFINITY);
      },
    };
    let granted = 0;
    let part: Part | undefined;
    let rest: MemoryRows | undefined;

    /** Rows that found no room on the disk. */
    function overflow(cause: unknown): MemoryRows {
      if (cause instanceof GaveWay) throw cause;
      const error = cause instanceof StreamError ? cause : unusable(name, folder, cause);
      if (error.code !== "CACHE" || whenFull !== "memory") throw error;
      if (entry.users === 0) throw new GaveWay(error); // memory is for what somebody reads
      log(`${error.message}; the rest of it is kept in memory`);
      return createMemoryRows(pool);
    }

    async function append(row: Row): Promise<void> {
      if (!rest) {
        try {
          await part?.append(row);
          return;
        } catch (error) {
          rest = overflow(error);
        }
      }
      if (rest.append(row)) return;
      const message = `${name}: neither the cache's disk nor memory has room for it: ${pool.used} of ${pool.limit} bytes of memory are taken`;
      throw new StreamError("CACHE", message, {
        context: { shard: name, limit: pool.limit, used: pool.used },
      });
    }

    try {
      try {
        part = await createPart({
          path: join(folder, file),
          id,
          count: given.count,
          pace,
          async reserve(bytes) {
            if (bytes > granted) granted = await space.reserve(growing, bytes);
          },
          free: (bytes, cause) => space.free(growing, bytes, cause),
        });
      } catch (error) {
        rest = overflow(error);
      }
      const written = part;
      use(entry, {
        async read(row, room?: Room) {
          const onDisk = written?.rows ?? 0;
          return row < onDisk ? written?.read(row, room) : rest?.read(row - onDisk, room);
        },
        async close() {
          rest?.free();
          await written?.close();
        },
      });
      entry.started();
      const notes = createNotebook();
      for await (const row of given.rows(notes, signal)) {
        signal.throwIfAborted();
        await append(row);
        growth.add(1);
      }
      signal.throwIfAborted();
      growth.expect(growth.stored);
      if (part && !rest) {
        try {
          await part.finish(notes, wholePath(state.file));
        } catch (error) {
          if (codeOf(error) === "ENOENT") return false;
          rest = overflow(error);
        }
      }
      growth.finish(notes);
      return true;
    } finally {
      await part?.remove();
      presence.reserve(file, 0);
      space.freed();
    }
  }

  /** Reads what another process writes, until that is done or gone. */
  async function follow(entry: Entry<State>): Promise<void> {
    const { growth, id, signal, state } = entry;
    const owner = locks.holder(state.file);
    let part: Followed | undefined;
    for (let wait = SOONEST_LOOK; ;) {
      await new Promise((resolve) => void setTimeout(resolve, wait));
      signal.throwIfAborted();
      if (owner === undefined) return;
      if (!part) {
        part = await followPart(join(folder, state.file + PART + owner), id, pace);
        if (part) {
          if (part.count !== undefined) growth.expect(part.count);
          use(entry, part);
          entry.started();
        }
      }
      const more = part ? await part.look() : 0;
      if (more === undefined || locks.holder(state.file) !== owner) return;
      growth.add(more);
      wait = more > 0 ? SOONEST_LOOK : Math.min(wait * 2, LATEST_LOOK);
    }
  }

  /** Another process may have fetched it already; else the file goes, and comes again. */
  async function renew(entry: Entry<State>, row: number): Promise<void> {
    const { id, name, state } = entry;
    try {
      const path = wholePath(state.file);
      const whole = await openWhole(path, id, name, pace);
      if (whole && (await whole.read(row))) {
        use(entry, whole);
        return;
      }
      await whole?.close();
      log(`${name}: row ${row} is damaged in the cache; the shard is fetched once more`);
      await rm(path, { force: true });
      shelf.fetch(entry);
    } finally {
      state.renewing = undefined;
    }
  }

  /** What dead processes left. */
  function sweep(): void {
    locks.sweep();
    for (const name of readdirSync(folder)) {
      const part = name.indexOf(PART);
      if (part >= 0 && !presence.alive(name.slice(part + PART.length)))
        rmSync(join(folder, name), { force: true });
    }
    presence.sweep();
  }

  async function closeAll(): Promise<void> {
    await shelf.close();
    try {
      sweep();
    } catch (error) {
      log(`the cache's folder can't be cleared: ${codeOf(error)}`);
    } finally {
      presence.close();
    }
  }

  try {
    sweep();
    await space.trim();
  } catch (error) {
    presence.close();
    throw unusable("cache", folder, error);
  }
  let closing: Promise<void> | undefined;
  const ending = new AbortController();
  const keepTable = createTableKeeper({ folder, presence, space, signal: ending.signal });
  return {
    keepTable,
    open: (id, name, feed, signal) => shelf.open(id, name, feed, signal),
    async rows(id) {
      shelf.check();
      const whole = await openWhole(wholePath(fileOf(id)), id, id, pace);
      await whole?.close();
      return whole?.rows;
    },
    needs(order) {
      needed = order;
    },
    counts: () => ({
      kind: "disk",
      hits: hits + shelf.hits,
      misses,
      ...space.counts,
      limit: size,
    }),
    close() {
      ending.abort();
      return (closing ??= closeAll());
    },
  };
}
