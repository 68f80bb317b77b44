import { constants, createGzip, createZstdCompress } from "node:zlib";
import { createEngine, PIECE } from "./engine.ts";

export type Compression = "gz" | "zst";

/** Packs bytes. The same bytes for the same input under one version of Node on one kind of processor. Breaking off closes `bytes`. */
export async function* compress(
  bytes: AsyncIterable<Uint8Array>,
  how: Compression,
): AsyncGenerator<Uint8Array, void, undefined> {
  const options = { chunkSize: PIECE, readableHighWaterMark: 1 };
  const engine = createEngine(
    how === "gz"
      ? createGzip(options)
      : createZstdCompress({
          ...options,
          // without it damage would go unnoticed
          params: { [constants.ZSTD_c_checksumFlag]: 1 },
        }),
  );
  try {
    for await (const piece of inPieces(bytes)) yield* engine.run(piece);
    yield* engine.run();
  } finally {
    engine.close();
  }
}

/** Larger pieces of small ones, in memory of their own: headers are 512 bytes, and each piece costs a trip to another thread. */
export async function* inPieces(
  bytes: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  let piece = new Uint8Array(PIECE);
  let length = 0;
  for await (const part of bytes)
    for (let from = 0; from < part.length;) {
      const some = part.subarray(from, from + PIECE - length);
      piece.set(some, length);
      from += some.length;
      length += some.length;
      if (length < PIECE) continue;
      yield piece;
      piece = new Uint8Array(PIECE);
      length = 0;
    }
  if (length > 0) yield piece.subarray(0, length);
}
