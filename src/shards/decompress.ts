import { createGunzip, createZstdDecompress } from "node:zlib";
import { StreamError } from "../errors.ts";
import { createEngine, PIECE, type Engine } from "./engine.ts";

/** How packed data begin, in hexadecimal: gzip (RFC 1952, 2.3), a frame or a skippable frame of Zstandard (RFC 8878, 3.1), and what can't be read. */
const formats: readonly (readonly [string, RegExp])[] = [
  ["gzip", /^1f8b08/],
  ["zstd", /^28b52ffd|^5[0-9a-f]2a4d18/],
  ["bzip2", /^425a683[1-9]314159265359/],
  ["xz", /^fd377a585a00/],
  ["lz4", /^04224d18/],
];
const LONGEST_MAGIC = 10;

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
    const magic = Buffer.concat(start).toString("hex", 0, LONGEST_MAGIC);
    const format = formats.find(([, pattern]) => pattern.test(magic))?.[0];
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
  let engine = unpacker(format);
  let unpacked = 0;
  let padded = false;

  async function* output(input?: Uint8Array): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of engine.run(input)) {
        unpacked += piece.length;
        yield piece;
      }
    } catch (cause) {
      throw packedError(shard, unpacked, `damaged ${format} data (${messageOf(cause)})`, cause);
    }
  }

  try {
    for await (const chunk of bytes) {
      let rest = chunk;
      while (rest.length > 0 && !padded) {
        const before = engine.taken();
        yield* output(rest);
        rest = rest.subarray(engine.taken() - before);
        if (!engine.over()) break;
        // Node ends its stream where a frame of zstd ends inside of a chunk, and where zeros follow gzip
        engine.close();
        if (format === "zstd") engine = unpacker(format);
        else padded = true;
      }
      if (padded && rest.some((byte) => byte !== 0))
        throw packedError(shard, unpacked, "data after the end of the gzip data,");
    }
    if (!padded && engine.taken() > 0) yield* output();
  } finally {
    engine.close();
  }
}

function unpacker(format: "gzip" | "zstd"): Engine {
  // a mark of one byte: one piece is made when the one before has been taken
  const options = { chunkSize: PIECE, readableHighWaterMark: 1 };
  return createEngine(format === "gzip" ? createGunzip(options) : createZstdDecompress(options));
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

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
