import type { Feed, Shard } from "../shards/feed.ts";
import type { TableContent } from "./table.ts";

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
  /** Since it was opened. */
  counts(): StoreCounts;
  /** Keeps what was found out about a file of this machine, if there is room for it (see table.ts). Never rejects. Only where there is a folder for it. */
  keepTable?(id: string, content: TableContent): Promise<void>;
  close(): Promise<void>;
}

export interface StoreCounts {
  readonly kind: "disk" | "memory";
  /** Opened shards whose rows were there, or were fetched by another process; and those that had to be fetched. */
  readonly hits: number;
  readonly misses: number;
  /** Shards that made room for others, and their bytes. */
  readonly evictions: number;
  readonly evictedBytes: number;
  /** Bytes held: in memory now; on disk when room was last taken, over all processes. */
  readonly bytes: number;
  readonly limit: number;
}
