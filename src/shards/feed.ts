import type { Room } from "./bytes.ts";
import type { Notebook, Notes } from "./notes.ts";

/** One record with an image. */
export interface Row {
  readonly key: string;
  /** Crops of one photo share a group; the key where the data has none. */
  readonly group: string;
  /** Member, file or column name of the image, for messages. */
  readonly name: string;
  /** The encoded image; empty where the record has none (a null in a Parquet file), which makes the row unusable. */
  readonly bytes: Uint8Array;
}

/** A container of rows, which are read in any order. */
export interface Shard {
  /** Rows counted so far: records that name an image. Never falls; final where `complete`. */
  readonly rows: number;
  readonly complete: boolean;
  /** Resolves when at least `rows` rows are counted, or all there are. Rejects as open() does. */
  counted(rows: number): Promise<void>;
  /** Resolves when a row below `rows` can be read without waiting for a server. Rejects as read() does. Absent where that is always so. */
  ready?(row: number): Promise<void>;
  /** A row below `rows`. The image's bytes lie in memory of `room`; without it in a fresh ArrayBuffer (perhaps not alone), which is the caller's to keep or to transfer. */
  read(row: number, room?: Room): Promise<Row>;
  close(): Promise<void>;
  /** Final where `complete`. */
  readonly notes?: Notes;
}

/**
 * A shard that can only be read from its beginning to its end: a download, a compressed tar, the pages of a Parquet file. Whoever needs its rows in
 * another order keeps them (src/cache).
 */
export interface Feed {
  /** Number of rows where it is known before they are read: from a footer. */
  readonly count?: number;
  /**
   * Rows in order, each image in memory of its own. Constant memory: the consumer's pace is the pace of reading. Notes are complete at the end. Rejects
   * SHARD_CORRUPT (never ends early instead), NETWORK, ABORTED; breaking off closes everything.
   */
  rows(notes: Notebook, signal: AbortSignal): AsyncIterable<Row>;
}

/** How a row is made of a record, whatever the container. */
export interface RowOptions {
  /** Field of a sample's JSON, or column, that names its group; without it the key is the group. */
  readonly group?: string;
  /** Extension of the member, or name of the column, that is the image; without it the first that looks like one. */
  readonly image?: string;
}
