/**
 * Every failure a caller can meet is a StreamError with one of these codes; docs/errors.md explains each.
 * The set is closed: a client may switch on it.
 */
export const errorCodes = [
  "BAD_OPTION", // an option has a wrong name, type or range
  "SOURCE_NOT_FOUND", // the path or address does not exist or can't be opened
  "SOURCE_EMPTY", // the source holds no image
  "SHARD_CORRUPT", // a shard is truncated or damaged; names shard and byte offset
  "NETWORK", // the network failed for longer than the budget of retries allows
  "CACHE", // the cache's disk is full or can't be used
  "TOO_FEW_ROWS", // a partition would hold fewer than 4 rows; proposes fewer partitions
  "NEEDS_INDEX", // a position can't be planned before the named shards are counted
  "STEP_OUT_OF_RANGE", // no such step, or a number beyond 2^53
  "BAD_SLOTS", // slots of a request repeat or are out of range
  "IMAGE_UNUSABLE", // an image can't be decoded, breaks a limit or does not suit the task
  "SLOT_FAILED", // no usable image found after every substitute
  "SKIP_BUDGET", // more samples were unusable than the budget allows
  "WORKER_DIED", // a cell killed its worker twice
  "ABORTED", // the caller gave up
  "CLOSED", // used after close
  "UNSAFE_LISTEN", // refused to listen beyond loopback without protection
  "LISTEN_FAILED", // the address is in use or not ours
  "UNAUTHORIZED", // wrong or missing token
  "BAD_FRAME", // bytes that are not the protocol
  "FRAME_TOO_LARGE", // a length above the limit
  "PROTOCOL", // a message that is not allowed here
  "LIMIT", // a limit of the server was reached
  "CONNECTION_LOST", // the peer went away and could not be reached again
  "OTHER_STREAM", // the fingerprint is not the one expected
  "INTERNAL", // a bug of ours
] as const;

export type ErrorCode = (typeof errorCodes)[number];

export interface ErrorDetails {
  readonly cause?: unknown;
  /** Logical shard name, sample key, byte offset and the like; small JSON values, safe to show a client. */
  readonly context?: Readonly<Record<string, string | number | boolean | readonly string[]>>;
}

export class StreamError extends Error {
  override readonly name = "StreamError";
  readonly code: ErrorCode;
  readonly context: NonNullable<ErrorDetails["context"]>;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.context = details.context ?? {};
  }
}

/** The error itself where it is one of ours, else a wrapped one, so that a caller always has a code. */
export function asStreamError(error: unknown, code: ErrorCode = "INTERNAL"): StreamError {
  if (error instanceof StreamError) return error;
  return new StreamError(code, error instanceof Error ? error.message : String(error), {
    cause: error,
  });
}
