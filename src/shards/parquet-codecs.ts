import { promisify } from "node:util";
import { brotliDecompress, unzip, zstdDecompress } from "node:zlib";
import { unlz4, unsnappy } from "./parquet-blocks.ts";

/** Undoes a page's compression. The result has exactly `size` bytes; no more memory than that is taken, whatever the input says. Rejects with the reason. */
export async function decompress(
  codec: number,
  input: Uint8Array,
  size: number,
): Promise<Uint8Array> {
  const known = codecs[codec];
  if (!known) throw new Error(`compression ${names[codec] ?? codec} can't be read`);
  const output = await known(input, size);
  if (output.length !== size)
    throw new Error(
      `a page of ${output.length} bytes after decompression, the header says ${size}`,
    );
  return output;
}

/** Numbers of parquet.thrift's CompressionCodec. */
const names = ["UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW"];

type Codec = (input: Uint8Array, size: number) => Promise<Uint8Array> | Uint8Array;

const gunzip = promisify(unzip);
const unbrotli = promisify(brotliDecompress);
const unzstd = promisify(zstdDecompress);

/** In one piece, at most a byte more than wanted. What is set aside is not touched before there are bytes for it. */
const within = (size: number): { maxOutputLength: number; chunkSize: number } => ({
  maxOutputLength: size + 1,
  chunkSize: Math.max(size + 1, SMALLEST_PIECE),
});
/** zlib takes no smaller one. */
const SMALLEST_PIECE = 64;

const codecs: Readonly<Record<number, Codec>> = {
  0: (input) => input,
  1: unsnappy,
  // the format allows gzip members one after another and zlib's own frame
  2: (input, size) => gunzip(input, within(size)),
  4: (input, size) => unbrotli(input, within(size)),
  6: (input, size) => unzstd(input, within(size)),
  7: unlz4,
};
