import type { Room } from "../shards/bytes.ts";
import type { Notes } from "../shards/notes.ts";

/** The seam between the stream and where images come from. test/contracts/source.ts is run by every implementation. */

export interface ShardInfo {
  /** Logical name, stable across machines: relative to the source, "/" as separator. */
  readonly name: string;
  /** Bytes; for a folder the sum over its files. */
  readonly size: number;
  /** Strong hash or ETag where the source gives one. */
  readonly hash?: string;
}

/** One record with an image. */
export interface Row {
  readonly key: string;
  /** Crops of one photo share a group; the key where the data has none. */
  readonly group: string;
  /** Member or file name of the image, for messages and the choice of decoder. */
  readonly name: string;
  /** The encoded image. */
  readonly bytes: Uint8Array;
}

export interface Shard {
  /** Number of rows: records that name an image. */
  readonly rows: number;
  /** The image's bytes lie in memory of `room`; without it in a fresh ArrayBuffer (perhaps not alone), which is the caller's to keep or to transfer. */
  read(row: number, room?: Room): Promise<Row>;
  close(): Promise<void>;
  readonly notes?: Notes;
}

export interface Source {
  /** As the user wrote it. */
  readonly address: string;
  list(signal?: AbortSignal): Promise<readonly ShardInfo[]>;
  /** Opens the shard with this ordinal of the list and counts its rows. */
  open(shard: number, signal?: AbortSignal): Promise<Shard>;
}
