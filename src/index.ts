/** The public API. */
export { createStream, type IterateOptions, type MakeOptions, type Stream } from "./loader.ts";
export type { StreamOptions, EntryOptions, ResolvedOptions } from "./options.ts";
export type {
  Batch,
  Cell,
  CellMaker,
  ContentPart,
  EntryInfo,
  FailedSlot,
  ImageFormat,
  Json,
  Puzzle,
  PuzzleImage,
  StepRequest,
  StreamInfo,
} from "./model.ts";
export type { Statistics } from "./statistics.ts";
export { StreamError, errorCodes, type ErrorCode } from "./errors.ts";
