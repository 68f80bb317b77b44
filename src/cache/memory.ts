import { StreamError } from "../errors.ts";
import { createNotebook } from "../shards/notes.ts";
import type { Notify } from "../notice.ts";
import { createPool } from "./chunks.ts";
import { createMemoryRows, type MemoryRows } from "./rows.ts";
import { createShelf, GaveWay, unlessGivenUp, type Entry } from "./shelf.ts";
import type { Store } from "./store.ts";

export interface MemoryStoreOptions {
  /** Bytes that all rows may take, beside 8 bytes a row. */
  readonly limit: number;
  readonly notify?: Notify;
}

interface State {
  rows: MemoryRows;
}

/**
 * Keeps rows in memory. Shards that are closed stay as long as there is room; what is needed last goes first. Reads and counted() reject LIMIT where the
 * open shards alone need more.
 */
export function createMemoryStore({ limit, notify }: MemoryStoreOptions): Store {
  const pool = createPool(limit);
  let [misses, evictions, evictedBytes] = [0, 0, 0];
  let needed: (id: string) => number = () => Number.POSITIVE_INFINITY;

  const shelf = createShelf<State>({
    keeps: true,
    create: () => ({ rows: createMemoryRows(pool) }),
    async fetch(entry) {
      const { growth, state, signal } = entry;
      growth.restart();
      state.rows.free();
      state.rows = createMemoryRows(pool);
      misses++;
      const feed = await unlessGivenUp(entry.feed(), entry.name, signal);
      if (feed.count !== undefined) growth.expect(feed.count);
      entry.started();
      const notes = createNotebook();
      for await (const row of feed.rows(notes, signal)) {
        signal.throwIfAborted();
        while (!state.rows.append(row)) {
          await makeRoom(entry, row.bytes.length);
          signal.throwIfAborted();
        }
        growth.add(1);
      }
      signal.throwIfAborted();
      growth.finish(notes);
    },
    async read({ growth, state }, row, room) {
      await growth.reached(row);
      return state.rows.read(row, room);
    },
    async drop({ state }) {
      state.rows.free();
    },
  });

  /** Takes the memory of what is needed last: later than this, unless somebody has this open. */
  async function makeRoom(entry: Entry<State>, more: number): Promise<void> {
    const own = entry.users > 0 ? Number.NEGATIVE_INFINITY : needed(entry.id);
    let victim: Entry<State> | undefined;
    let latest = own;
    for (const other of shelf.entries()) {
      if (other === entry || other.users > 0 || other.state.rows.size === 0) continue;
      const need = needed(other.id);
      if (need <= latest) continue;
      victim = other;
      latest = need;
    }
    if (!victim) {
      const error = tooSmall(entry, more);
      throw entry.users > 0 ? error : new GaveWay(error);
    }
    const bytes = victim.state.rows.size;
    evictions++;
    evictedBytes += bytes;
    notify?.({ kind: "evicted", shards: 1, bytes });
    const removed = shelf.remove(victim);
    victim.state.rows.free(); // a feed may take a while to notice
    await removed;
  }

  function tooSmall(entry: Entry<State>, more: number): StreamError {
    const open = [...shelf.entries()].filter(({ users }) => users > 0);
    const sizes = open.map(({ name, state }) => `${name} ${state.rows.size}`);
    return new StreamError(
      "LIMIT",
      `${entry.name}: no room for a row of ${more} bytes: the limit is ${limit} bytes of memory, and the open shards hold ${sizes.join(", ")} so far`,
      { context: { shard: entry.name, limit, used: pool.used } },
    );
  }

  return {
    open: (id, name, feed, signal) => shelf.open(id, name, feed, signal),
    async rows(id) {
      for (const entry of shelf.entries())
        if (entry.id === id && entry.growth.complete) return entry.growth.rows;
      return undefined;
    },
    needs(order) {
      needed = order;
    },
    counts: () => ({
      kind: "memory",
      hits: shelf.hits,
      misses,
      evictions,
      evictedBytes,
      bytes: pool.used,
      limit,
    }),
    close: () => shelf.close(),
  };
}
