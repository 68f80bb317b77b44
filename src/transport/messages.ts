import { errorCodes, StreamError, type ErrorCode } from "../errors.ts";
import {
  imageFormats,
  type CountedShard,
  type EntryInfo,
  type FailedSlot,
  type ImageFormat,
  type Puzzle,
  type StreamInfo,
} from "../model.ts";
import { openFrame, sealFrame, type Meta } from "./codec.ts";
import { fieldsOf, type Fields } from "./fields.ts";
import type { Frame } from "./frame.ts";

/** What the two sides say to each other; docs/protocol.md is normative. Unknown fields are ignored, so that a minor version may add some. */

/** Of the messages. The frame layout has its own version, in the prefix. */
export const PROTOCOL_VERSION = 1;

export const kinds = {
  hello: 1,
  get: 2,
  stream: 3,
  credit: 4,
  cancel: 5,
  feedback: 6,
  poll: 7,
  bye: 8,
  counts: 9,
  welcome: 65,
  cell: 66,
  end: 67,
  done: 68,
  error: 69,
  info: 70,
  counted: 71,
} as const;

/** What a server of this version answers beyond what every server of the protocol does; a client must not ask others for it. */
export const calls: readonly string[] = ["counts"];

/** Reward of one answer to the puzzle with this index in the stream. */
export interface Reward {
  readonly index: number;
  readonly reward: number;
}

export type ClientMessage =
  | {
      readonly kind: "hello";
      readonly protocol: number;
      readonly token?: string;
      readonly format: ImageFormat;
      readonly client: string;
      readonly fingerprint?: string;
      /** Whether cells are to come with a checksum. */
      readonly checksum?: boolean;
    }
  | {
      readonly kind: "get";
      readonly id: number;
      readonly step: number;
      readonly slots?: readonly number[];
    }
  | {
      readonly kind: "stream";
      readonly id: number;
      readonly step: number;
      readonly steps?: number;
      readonly slots?: readonly number[];
      readonly credit: number;
    }
  | { readonly kind: "credit"; readonly id: number; readonly bytes: number }
  | { readonly kind: "cancel"; readonly id: number }
  | { readonly kind: "feedback"; readonly step: number; readonly rewards: readonly Reward[] }
  | { readonly kind: "poll"; readonly id: number }
  | { readonly kind: "counts"; readonly id: number }
  | { readonly kind: "bye" };

/** Where a server stands among others: the partitions it prefers, and the addresses of all loaders of the stream as far as it was told. */
export interface Place {
  readonly near?: readonly number[];
  readonly loaders?: readonly string[];
}

export type ServerMessage =
  | ({
      readonly kind: "welcome";
      readonly protocol: number;
      readonly info: StreamInfo;
      readonly calls?: readonly string[];
    } & Place)
  | {
      readonly kind: "cell";
      readonly id: number;
      readonly step: number;
      readonly cell: number;
      readonly puzzles: readonly Puzzle[];
      readonly failed: readonly FailedSlot[];
    }
  | { readonly kind: "end"; readonly id: number; readonly step: number }
  | { readonly kind: "done"; readonly id: number }
  | {
      readonly kind: "error";
      readonly id?: number;
      readonly code: ErrorCode;
      readonly message: string;
    }
  | ({ readonly kind: "info"; readonly id: number; readonly info: StreamInfo } & Place)
  | {
      readonly kind: "counted";
      readonly id: number;
      readonly image: string | null;
      readonly shards: readonly CountedShard[];
    };

/** What a server sends without a body. */
export type PlainMessage = Exclude<ServerMessage, { kind: "cell" }>;

/** The frame of a message without a body. */
export function packMessage(message: ClientMessage | PlainMessage): Uint8Array {
  const { kind, ...fields } = message;
  return sealFrame(kinds[kind], JSON.parse(JSON.stringify(fields)) as Meta);
}

/** Throws BAD_FRAME where the bytes are damaged, PROTOCOL where the message is not one a client may send. */
export function readClientMessage(frame: Frame): ClientMessage {
  if (frame.body.length > 0) throw new StreamError("PROTOCOL", "only a cell has a body");
  const read = fieldsOf(openFrame(frame));
  switch (frame.kind) {
    case kinds.hello:
      return {
        kind: "hello",
        protocol: read.integer("protocol", 0),
        ...read.optional("token", read.text),
        format: read.oneOf("format", imageFormats),
        client: read.text("client").slice(0, 200),
        ...read.optional("fingerprint", read.text),
        ...read.optional("checksum", read.flag),
      };
    case kinds.get:
      return {
        kind: "get",
        id: read.id(),
        step: read.integer("step", 0),
        ...read.optional("slots", read.integers),
      };
    case kinds.stream:
      return {
        kind: "stream",
        id: read.id(),
        step: read.integer("step", 0),
        ...read.optional("steps", (name) => read.integer(name, 0)),
        ...read.optional("slots", read.integers),
        credit: read.integer("credit", 0),
      };
    case kinds.credit:
      return { kind: "credit", id: read.id(), bytes: read.integer("bytes", 1) };
    case kinds.cancel:
      return { kind: "cancel", id: read.id() };
    case kinds.feedback:
      return {
        kind: "feedback",
        step: read.integer("step", 0),
        rewards: read.maps("rewards", (reward) => ({
          index: reward.integer("index", 0),
          reward: reward.number("reward"),
        })),
      };
    case kinds.poll:
      return { kind: "poll", id: read.id() };
    case kinds.counts:
      return { kind: "counts", id: read.id() };
    case kinds.bye:
      return { kind: "bye" };
    default:
      throw new StreamError("PROTOCOL", `no client sends frames of kind ${frame.kind}`);
  }
}

/** Images are views of the frame's body. Throws BAD_FRAME or PROTOCOL. */
export function readServerMessage(frame: Frame): ServerMessage {
  if (frame.body.length > 0 && frame.kind !== kinds.cell)
    throw new StreamError("PROTOCOL", "only a cell has a body");
  const read = fieldsOf(openFrame(frame));
  switch (frame.kind) {
    case kinds.welcome:
      return {
        kind: "welcome",
        protocol: read.integer("protocol", 0),
        info: readInfo(read.map("info")),
        ...read.optional("calls", read.texts),
        ...readPlace(read),
      };
    case kinds.cell:
      return {
        kind: "cell",
        id: read.id(),
        step: read.integer("step", 0),
        cell: read.integer("cell", 0),
        puzzles: readPuzzles(read, frame.body),
        failed: read.maps("failed", readFailed),
      };
    case kinds.end:
      return { kind: "end", id: read.id(), step: read.integer("step", 0) };
    case kinds.done:
      return { kind: "done", id: read.id() };
    case kinds.error: {
      // A newer server may know more codes; its message still says what happened.
      const code = errorCodes.find((known) => known === read.text("code")) ?? "INTERNAL";
      return {
        kind: "error",
        ...read.optional("id", read.id),
        code,
        message: read.text("message"),
      };
    }
    case kinds.info:
      return { kind: "info", id: read.id(), info: readInfo(read.map("info")), ...readPlace(read) };
    case kinds.counted:
      return {
        kind: "counted",
        id: read.id(),
        image: null,
        ...read.optional("image", read.text),
        shards: read.maps("shards", (shard): CountedShard => ({
          name: shard.text("name"),
          size: shard.integer("size", 0),
          ...shard.optional("hash", shard.text),
          rows: shard.integer("rows", 0),
        })),
      };
    default:
      throw new StreamError("PROTOCOL", `no server sends frames of kind ${frame.kind}`);
  }
}

function readPuzzles(read: Fields, body: Uint8Array): readonly Puzzle[] {
  let at = 0;
  const puzzles = read.maps("puzzles", (puzzle): Puzzle => ({
    slot: puzzle.integer("slot", 0),
    index: puzzle.integer("index", 0),
    entry: puzzle.text("entry"),
    task: puzzle.text("task"),
    prompt: puzzle.maps("prompt", (part) => {
      const type = part.oneOf("type", ["text", "image"]);
      return type === "text" ? { type, text: part.text("text") } : { type };
    }),
    images: puzzle.maps("images", (image) => {
      const [width, height, bytes] = [
        image.integer("width", 1),
        image.integer("height", 1),
        image.integer("bytes", 0),
      ];
      const format = image.oneOf("format", imageFormats);
      if (format === "raw" && bytes !== width * height * 3)
        throw new StreamError(
          "PROTOCOL",
          `${bytes} bytes are no raw image of ${width} x ${height}`,
        );
      if (at + bytes > body.length)
        throw new StreamError("PROTOCOL", "the images of a cell are longer than its body");
      at += bytes;
      return { width, height, format, data: body.subarray(at - bytes, at) };
    }),
    answer: puzzle.text("answer"),
    recipe: puzzle.map("recipe").all,
  }));
  if (at !== body.length)
    throw new StreamError("PROTOCOL", "the body of a cell is longer than its images");
  return puzzles;
}

function readFailed(read: Fields): FailedSlot {
  const error = read.map("error");
  return {
    slot: read.integer("slot", 0),
    index: read.integer("index", 0),
    entry: read.text("entry"),
    task: read.text("task"),
    error: { code: error.text("code"), message: error.text("message") },
  };
}

function readPlace(read: Fields): Place {
  return { ...read.optional("near", read.integers), ...read.optional("loaders", read.texts) };
}

function readInfo(read: Fields): StreamInfo {
  return {
    version: read.integer("version", 0),
    fingerprint: read.text("fingerprint"),
    identity: read.optional("identity", (name) => read.map(name).allTexts()).identity ?? {},
    seed: read.integer("seed", 0),
    batch: read.integer("batch", 1),
    partitions: read.integer("partitions", 1),
    entries: read.maps("entries", (entry): EntryInfo => ({
      name: entry.text("name"),
      task: entry.text("task"),
      weight: entry.integer("weight", 1),
      options: entry.map("options").all,
      images: entry.integer("images", 0),
    })),
    shards: read.integer("shards", 0),
    samples: read.integer("samples", 0),
    counted: read.flag("counted"),
    steps: read.all["steps"] === null ? null : read.integer("steps", 0),
    skipped: read.map("skipped").counts(),
  };
}
