import type { Feed, Shard } from "../shards/feed.ts";

/** The seam between feeds, which come in order, and shards, which are read in any order: rows are kept on disk or in memory. */
export interface Store {
  /**
   * The rows of the feed with this identity. `id` says everything that decides the rows: content (hash, ETag, or path with size and time), form and row
   * options. The feed is asked for, and read, only where the rows are not there yet; it is read to its end even when the shard is closed before, unless
   * the store is closed.
   */
  open(id: string, name: string, feed: () => Promise<Feed>, signal?: AbortSignal): Promise<Shard>;
  /** Whether the rows with this identity are all there, and how many they are. */
  rows(id: string): Promise<number | undefined>;
  /** How soon each is needed again (smaller is sooner, Infinity: never); what is needed last goes first when room is short. */
  needs(order: (id: string) => number): void;
  close(): Promise<void>;
}
