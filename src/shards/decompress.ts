import { createGunzip, createZstdDecompress } from "node:zlib";
import { StreamError } from "../errors.ts";
import { createEngine, PIECE, type Engine } from "./engine.ts";
import { createFrames, type Frames } from "./zstd-frames.ts";

/** How packed data begin, in hexadecimal: gzip (RFC 1952, 2.3), a frame or a skippable frame of Zstandard (RFC 8878, 3.1), and what can't be read. */
const formats: readonly (readonly [string, RegExp])[] = [
  ["gzip", /^1f8b08/],
  ["zstd", /^28b52ffd|^5[0-9a-f]2a4d18/],
  ["bzip2", /^425a683[1-9]314159265359/],
  ["xz", /^fd377a585a00/],
  ["lz4", /^04224d18/],
];
/** Bytes. */
export const LONGEST_MAGIC = 10;

/** How data are packed that begin so; undefined where they are not, as far as is known. */
export function packingOf(start: Uint8Array): string | undefined {
  const magic = Buffer.from(start.subarray(0, LONGEST_MAGIC)).toString("hex");
  return formats.find(([, pattern]) => pattern.test(magic))?.[0];
}

/**
 * The bytes of a shard unpacked, where its first bytes say that it is gzip or Zstandard, whatever its name; else as they are. Takes input only when
 * output is asked for. Data that are damaged, cut, or followed by anything but more of the same (or, as tape drives leave it after gzip, zeros) reject
 * SHARD_CORRUPT with the unpacked bytes so far as offset (the place is at most 64 KiB on); errors of `bytes` are passed on. Breaking off closes `bytes`.
 */
export async function* decompress(
  bytes: AsyncIterable<Uint8Array>,
  shard: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = bytes[Symbol.asyncIterator]();
  try {
    const start: Uint8Array[] = [];
    let length = 0;
    while (length < LONGEST_MAGIC) {
      const { done, value } = await iterator.next();
      if (done) break;
      // a copy (which slice() of a Buffer is not): whoever made it may use its memory again
      start.push(new Uint8Array(value));
      length += value.length;
    }
    const format = packingOf(Buffer.concat(start));
    const whole = resumed(start, iterator);
    if (format === "gzip" || format === "zstd") yield* unpack(whole, shard, format);
    else if (format !== undefined)
      throw packedError(shard, 0, `packed with ${format}, only gzip and zstd can be read,`);
    else yield* whole;
  } finally {
    await iterator.return?.();
  }
}

async function* resumed(
  start: readonly Uint8Array[],
  iterator: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* start;
  for (;;) {
    const { done, value } = await iterator.next();
    if (done) return;
    yield value;
  }
}

async function* unpack(
  bytes: AsyncIterable<Uint8Array>,
  shard: string,
  format: "gzip" | "zstd",
): AsyncGenerator<Uint8Array, void, undefined> {
  // a mark of one byte: one piece is made when the one before has been taken
  const options = { chunkSize: PIECE, readableHighWaterMark: 1 };
  const pieces =
    format === "gzip"
      ? gunzipped(bytes, createEngine(createGunzip(options)))
      : unzstd(bytes, createEngine(createZstdDecompress(options)));
  let unpacked = 0;
  try {
    for await (const piece of pieces) {
      unpacked += piece.length;
      yield piece;
    }
  } catch (error) {
    if (!(error instanceof Damage)) throw error;
    throw packedError(shard, unpacked, `damaged ${format} data (${error.message})`, error.cause);
  }
}

/** Of the packed data, not of whoever gives them. */
class Damage extends Error {}

async function* gunzipped(bytes: AsyncIterable<Uint8Array>, engine: Engine): Pieces {
  try {
    for await (const chunk of bytes) {
      const before = engine.taken();
      if (!engine.over()) yield* output(engine, chunk);
      // Node ends its stream where zeros follow
      const left = chunk.subarray(engine.taken() - before);
      if (left.some((byte) => byte !== 0)) throw new Damage("data after the end");
    }
    if (!engine.over()) yield* output(engine);
  } finally {
    engine.close();
  }
}

async function* unzstd(bytes: AsyncIterable<Uint8Array>, engine: Engine): Pieces {
  const frames = createFrames();
  try {
    for await (const chunk of bytes)
      for (let rest = chunk; rest.length > 0;) {
        const length = inFrame(frames, rest);
        yield* output(engine, rest.subarray(0, length));
        if (engine.over()) throw new Damage("a frame is over too soon");
        rest = rest.subarray(length);
      }
    if (frames.open()) throw new Damage("a frame is cut");
    yield* output(engine);
  } finally {
    engine.close();
  }
}

type Pieces = AsyncGenerator<Uint8Array, void, undefined>;

function inFrame(frames: Frames, bytes: Uint8Array): number {
  try {
    return frames.take(bytes);
  } catch (cause) {
    throw damage(cause);
  }
}

async function* output(engine: Engine, input?: Uint8Array): Pieces {
  try {
    yield* engine.run(input);
  } catch (cause) {
    throw damage(cause);
  }
}

function damage(cause: unknown): Damage {
  return new Damage(cause instanceof Error ? cause.message : String(cause), { cause });
}

function packedError(
  shard: string,
  unpacked: number,
  reason: string,
  cause?: unknown,
): StreamError {
  return new StreamError("SHARD_CORRUPT", `${shard}: ${reason} after ${unpacked} unpacked bytes`, {
    ...(cause !== undefined && { cause }),
    context: { shard, offset: unpacked },
  });
}
