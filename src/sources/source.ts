import type { Shard } from "../shards/feed.ts";

export type { Row, Shard } from "../shards/feed.ts";

/** The seam between the stream and where images come from. test/contracts/source.ts is run by every implementation. */

export interface ShardInfo {
  /** Logical name, stable across machines: relative to the source, "/" as separator. */
  readonly name: string;
  /** Bytes; for a folder the sum over its files. */
  readonly size: number;
  /** Strong hash or ETag where the source gives one. */
  readonly hash?: string;
}

/** What an array is too; a list of many items makes each when it is asked for. */
export interface List<Item> extends Iterable<Item> {
  readonly length: number;
  /** 0 .. length - 1; undefined elsewhere. */
  at(index: number): Item | undefined;
}

export interface Source {
  /** As the user wrote it. */
  readonly address: string;
  /** Whether shards are counted at hardly any cost: from listings, headers and footers on this machine. */
  readonly cheap: boolean;
  /** Whether they are counted without fetching their images, if not for nothing: by a footer on a server, or by unpacking a file on this machine. */
  readonly countable: boolean;
  /** Whether rows are read where they are: there is nothing to fetch ahead. */
  readonly inPlace: boolean;
  list(signal?: AbortSignal): Promise<List<ShardInfo>>;
  /** Opens the shard with this ordinal of the list. Its rows may still be on their way: see Shard.counted. */
  open(shard: number, signal?: AbortSignal): Promise<Shard>;
  /** Its rows, where that costs less than opening it; undefined where it does not. */
  count?(shard: number, signal?: AbortSignal): Promise<number | undefined>;
  /** Its rows for who will read none of them: the shard is read through where it must be, and nothing is kept. undefined as with count. */
  tally?(shard: number, signal?: AbortSignal): Promise<number | undefined>;
  /** Bytes that the store has to keep while the shard is open, as far as its size tells; none where it is read in place. Only after list(). */
  kept?(shard: number): number;
  /** Told how soon each shard is needed again (smaller is sooner): what is needed last leaves a full cache first. */
  needs?(rank: (shard: number) => number): void;
}
