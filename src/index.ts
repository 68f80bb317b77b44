/** The public API. */
export { createStream, type IterateOptions, type MakeOptions, type Stream } from "./loader.ts";
export type { EntryOptions, ResolvedOptions, StreamOptions } from "./options.ts";
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
export { batchDigest } from "./digest.ts";
export { score, type Score } from "./rewards/score.ts";
export type { ScoreOptions } from "./rewards/options.ts";
export { createServer, type Server, type ServerOptions } from "./transport/server.ts";
export { connect, type Client, type ConnectOptions, type StreamRange } from "./transport/client.ts";
export type { LoaderEvent, LoaderStatus } from "./transport/fleet.ts";
export type { RunState } from "./transport/state.ts";
