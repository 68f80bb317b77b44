/** What main thread and workers say to each other; types and the layout of the shared memory, no behaviour. */
import type { MessagePort } from "node:worker_threads";
import type { ContentPart, FailedSlot, ImageFormat, Json } from "../model.ts";
import type { Sizes } from "../tasks/task.ts";

/** Same for every worker of a pool: all that decides a puzzle besides the job. */
export interface WorkerSettings {
  readonly seed: number;
  readonly entries: readonly EntrySettings[];
  readonly sizes: Sizes;
  readonly suffix: string;
  /** Rows tried after an unusable one; 0 in a stream with passes, which leaves the slot out. */
  readonly substitutes: number;
  /** Pixels; larger images are unusable. */
  readonly maxInputPixels: number;
}

export interface EntrySettings {
  readonly name: string;
  readonly task: string;
  /** Resolved: every option of the task. */
  readonly options: object;
  readonly template: string;
}

/** The encoded image of one row. `id` is unique in the stream. */
export interface RowData {
  readonly id: string;
  readonly shard: string;
  readonly key: string;
  readonly group: string;
  /** Shared with the main thread, which reads the next images into the same memory when the cell is done; or handed over. */
  readonly bytes: Uint8Array;
  /** Why the image was not even read; then there are no bytes. */
  readonly unusable?: string;
}

export interface SlotJob {
  readonly slot: number;
  readonly index: number;
  /** Ordinal of the mix entry. */
  readonly entry: number;
  /** False: only there because its photo may serve as a stranger to others. */
  readonly wanted: boolean;
  /** Id of its row, and where that row stands in its window of `rows` rows. */
  readonly row: string;
  readonly offset: number;
  readonly rows: number;
}

export interface CellJob {
  /** Names the job in requests for more rows. */
  readonly id: number;
  readonly step: number;
  readonly cell: number;
  readonly format: ImageFormat;
  /** All slots of the cell. */
  readonly slots: readonly SlotJob[];
  /** The rows of the wanted slots. */
  readonly rows: readonly RowData[];
}

/** First message of a worker, through its parent port. */
export interface WorkerReady {
  readonly type: "ready";
  readonly port: MessagePort;
}

/** Worker to main: another row of the window of this slot. */
export interface RowRequest {
  readonly request: number;
  readonly job: number;
  readonly slot: number;
  readonly offset: number;
}

/** Main to worker. */
export interface RowReply {
  readonly request: number;
  readonly row?: RowData;
  readonly error?: { readonly code: string; readonly message: string };
}

export interface ImagePlace {
  readonly width: number;
  readonly height: number;
  /** Byte offset and length in the worker's memory. */
  readonly at: number;
  readonly length: number;
}

export interface PuzzleResult {
  readonly slot: number;
  readonly index: number;
  readonly entry: string;
  readonly task: string;
  readonly prompt: readonly ContentPart[];
  readonly answer: string;
  readonly recipe: { readonly [key: string]: Json };
  readonly images: readonly ImagePlace[];
}

export interface Skip {
  readonly shard: string;
  readonly key: string;
  /** A few words to count by, e.g. "unreadable". */
  readonly reason: string;
  readonly detail: string;
}

export interface CellResult {
  readonly puzzles: readonly PuzzleResult[];
  readonly failed: readonly FailedSlot[];
  readonly skips: readonly Skip[];
  /** Rejected draws, by task and reason. */
  readonly rejects: { readonly [what: string]: number };
  /** Wall milliseconds by stage: decode, each task, encode. */
  readonly milliseconds: { readonly [stage: string]: number };
  /** Slabs to give back when the images were used. */
  readonly slabs: readonly number[];
  readonly memory: SharedArrayBuffer;
  readonly error?: { readonly code: string; readonly message: string; readonly stack?: string };
}

// Layout of a worker's memory. The kernels' own data lies at the very start; the flags say which slabs the main thread still uses.
const MIB = 1 << 20;
export const FLAGS_AT = 61_440;
export const IMAGES_AT = 65_536;
export const SCRATCH_AT: number = 896 * MIB;
export const SLABS_AT: number = 1_152 * MIB;
export const MEMORY_END: number = 2_048 * MIB;
/** Most slabs there can be: the flags are 32-bit words up to IMAGES_AT. */
export const MAX_SLABS: number = (IMAGES_AT - FLAGS_AT) / 4;

/** Gives slabs back to their worker. */
export function freeSlabs(memory: SharedArrayBuffer, slabs: readonly number[]): void {
  const flags = new Int32Array(memory, FLAGS_AT, MAX_SLABS);
  for (const slab of slabs) Atomics.store(flags, slab, 0);
}
