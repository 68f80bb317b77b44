import { StreamError } from "../errors.ts";

/** The 16 bytes before every frame, and putting frames together from whatever pieces a socket delivers. docs/protocol.md is normative. */

export const PREFIX_BYTES = 16;
/** "R1S" and the version of the frame layout. */
const MAGIC = 0x52_31_53_01;
/** No frame of either direction is larger, prefix included. */
export const MAX_FRAME_BYTES: number = 64 * 1024 * 1024;

export interface Frame {
  /** One of `kinds` in messages.ts; not checked here. */
  readonly kind: number;
  /** A msgpack map, still packed. */
  readonly meta: Uint8Array;
  readonly body: Uint8Array;
}

export interface FrameReader {
  /** Largest frame accepted, in bytes, prefix included; may be changed between frames. */
  limit: number;
  /** Where the next bytes belong; never empty. A socket may read straight into it. */
  space(): Uint8Array;
  /** `bytes` were written to space(). Returns the frame when it is complete. */
  filled(bytes: number): Frame | undefined;
  /** Copies a chunk of any size and yields what it completes. */
  push(chunk: Uint8Array): Generator<Frame, void>;
  /** Throws BAD_FRAME when the bytes so far end inside a frame. */
  end(): void;
}

export function writePrefix(target: Uint8Array, kind: number, meta: number, body: number): void {
  const view = new DataView(target.buffer, target.byteOffset, PREFIX_BYTES);
  view.setUint32(0, MAGIC);
  view.setUint32(4, kind * 2 ** 24);
  view.setUint32(8, meta);
  view.setUint32(12, body);
}

/** Throws BAD_FRAME or FRAME_TOO_LARGE; nothing has been allocated for the frame by then. */
function readPrefix(
  prefix: Uint8Array,
  limit: number,
): { kind: number; meta: number; body: number } {
  const view = new DataView(prefix.buffer, prefix.byteOffset, PREFIX_BYTES);
  if (view.getUint32(0) !== MAGIC)
    throw new StreamError(
      "BAD_FRAME",
      "not a frame of this protocol: the first four bytes are not R1S and version 1",
    );
  const kind = view.getUint8(4);
  if ((view.getUint32(4) & 0xff_ffff) !== 0)
    throw new StreamError("BAD_FRAME", "bytes 5 to 7 of a frame must be 0");
  const [meta, body] = [view.getUint32(8), view.getUint32(12)];
  if (PREFIX_BYTES + meta + body > limit) {
    throw new StreamError(
      "FRAME_TOO_LARGE",
      `a frame of ${PREFIX_BYTES + meta + body} bytes, at most ${limit} are allowed here`,
    );
  }
  if (meta === 0) throw new StreamError("BAD_FRAME", "a frame without its map");
  return { kind, meta, body };
}

/** `allocate` provides the memory for bodies, so that their bytes are read into their final place. */
export function createReader(
  limit: number,
  allocate: (bytes: number) => Uint8Array = (bytes) => Buffer.allocUnsafeSlow(bytes),
): FrameReader {
  const prefix = new Uint8Array(PREFIX_BYTES);
  let part: "prefix" | "meta" | "body" = "prefix";
  let target: Uint8Array = prefix;
  let at = 0;
  let kind = 0;
  let bodyBytes = 0;
  let meta: Uint8Array = prefix;

  const expect = (next: typeof part, bytes: Uint8Array): void => {
    part = next;
    target = bytes;
    at = 0;
  };
  const finish = (body: Uint8Array): Frame => {
    expect("prefix", prefix);
    return { kind, meta, body };
  };

  const reader: FrameReader = {
    limit,
    space: () => target.subarray(at),
    filled(bytes) {
      at += bytes;
      if (at < target.length) return undefined;
      if (part === "prefix") {
        const sizes = readPrefix(prefix, reader.limit);
        kind = sizes.kind;
        bodyBytes = sizes.body;
        expect("meta", Buffer.allocUnsafeSlow(sizes.meta));
        return undefined;
      }
      if (part === "body") return finish(target);
      meta = target;
      if (bodyBytes === 0) return finish(new Uint8Array(0));
      expect("body", allocate(bodyBytes));
      return undefined;
    },
    *push(chunk) {
      let from = 0;
      while (from < chunk.length) {
        const space = reader.space();
        const bytes = Math.min(space.length, chunk.length - from);
        space.set(chunk.subarray(from, from + bytes));
        from += bytes;
        const frame = reader.filled(bytes);
        if (frame !== undefined) yield frame;
      }
    },
    end() {
      if (part !== "prefix" || at > 0)
        throw new StreamError("BAD_FRAME", "the bytes end inside a frame");
    },
  };
  return reader;
}
