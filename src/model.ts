/** The nouns of the system (docs/architecture.md), types only. */

/** One piece of a chat message; the n-th image part stands for the puzzle's n-th image. */
export type ContentPart =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "image" };

export const imageFormats = ["raw", "jpeg", "png"] as const;
/** raw: H x W x 3 bytes, RGB, row by row; jpeg: quality 95, 4:4:4; png: lossless. */
export type ImageFormat = (typeof imageFormats)[number];

export interface PuzzleImage {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  readonly format: ImageFormat;
  readonly data: Uint8Array;
}

/** JSON values only: a recipe travels in a msgpack map and is written to batch.json. */
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [key: string]: Json };

/** A visual question with an answer known by construction. */
export interface Puzzle {
  /** Position in the batch, 0 .. batch - 1. */
  readonly slot: number;
  /** Number of the puzzle in the stream: step * batch + slot. */
  readonly index: number;
  /** Name of the mix entry, e.g. "rotation" or "ordering-2x2". */
  readonly entry: string;
  readonly task: string;
  readonly prompt: readonly ContentPart[];
  readonly images: readonly PuzzleImage[];
  /** Canonical: "90", "C" or "2, 3, 1". */
  readonly answer: string;
  /** Where it came from and every drawn parameter, enough to understand the puzzle without the code. */
  readonly recipe: { readonly [key: string]: Json };
}

/** A slot for which no usable image was found. */
export interface FailedSlot {
  readonly slot: number;
  readonly index: number;
  readonly entry: string;
  readonly task: string;
  readonly error: { readonly code: string; readonly message: string };
}

/** Consecutive slots of one partition in one step: the unit of work of a worker and of a frame. */
export interface Cell {
  readonly step: number;
  /** Ordinal of the cell in its batch. */
  readonly cell: number;
  /** In slot order; only the slots that were asked for. */
  readonly puzzles: readonly Puzzle[];
  readonly failed: readonly FailedSlot[];
  /** True on the last cell of its request. */
  readonly last: boolean;
  /** Gives the pixel memory back. Images must not be touched afterwards. Idempotent. */
  release(): void;
}

export interface Batch {
  readonly step: number;
  /** In slot order, or in the order asked for. */
  readonly puzzles: readonly Puzzle[];
  readonly failed: readonly FailedSlot[];
}

export interface EntryInfo {
  readonly name: string;
  readonly task: string;
  readonly weight: number;
  readonly options: { readonly [key: string]: Json };
  /** Images in one puzzle of this entry. */
  readonly images: number;
}

/** What a client learns when it connects. */
export interface StreamInfo {
  /** Version of the stream format: two versions make different bits. */
  readonly version: number;
  readonly fingerprint: string;
  /** Short hashes of the fingerprint's parts (plan, entries, shards, ...): tell which differ between two streams. */
  readonly identity: { readonly [part: string]: string };
  readonly seed: number;
  /** Puzzles in a batch. */
  readonly batch: number;
  readonly partitions: number;
  readonly entries: readonly EntryInfo[];
  readonly shards: number;
  /** Rows counted so far, and whether that is all of them. */
  readonly samples: number;
  readonly counted: boolean;
  /** Number of batches where the stream is finite (passes), else null. */
  readonly steps: number | null;
  /** Unusable rows met so far, by reason. */
  readonly skipped: { readonly [reason: string]: number };
}

/** How many rows shards hold, learnt once: what `ssl-r1 index --out` writes and what loaders tell each other. */
export interface CountsFile {
  readonly version: 1;
  /** What of a record is its image and so decides what is a row: imageField. */
  readonly image: string | null;
  readonly shards: readonly CountedShard[];
}

export interface CountedShard {
  /** Name, size in bytes and hash together say which shard it is. */
  readonly name: string;
  readonly size: number;
  readonly hash?: string;
  readonly rows: number;
}

/** One batch, or some slots of it, to be made. */
export interface StepRequest {
  readonly step: number;
  /** Unique, 0 .. batch - 1; all when left out. */
  readonly slots?: readonly number[];
}

/** What the socket server needs of a loader: cells of requests, in order, made ahead in parallel. */
export interface CellMaker {
  info(): StreamInfo;
  /** Partitions whose shards this loader prefers to hold; it answers for all others too. Undefined where it prefers none. */
  readonly near?: readonly number[] | undefined;
  /** Of the shards counted so far, for another loader's option `counts`. */
  counts(): CountsFile;
  /**
   * Cells of each request in slot order, requests in the order given. Work runs ahead of the consumer by a bounded number of cells.
   * The consumer owns each cell and must release it. Breaking off or aborting stops the work and releases what was made.
   */
  cells(
    requests: Iterable<StepRequest>,
    options?: { readonly format?: ImageFormat; readonly signal?: AbortSignal },
  ): AsyncIterable<Cell>;
}
