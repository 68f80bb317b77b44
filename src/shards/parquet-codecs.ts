import { promisify } from "node:util";
import { brotliDecompress, unzip, zstdDecompress } from "node:zlib";
import { snappyUncompress } from "hyparquet";
import { decompressLz4Raw } from "hyparquet-compressors";

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
  1: (input, size) => {
    checkSnappy(input, size);
    const output = new Uint8Array(size);
    snappyUncompress(input, output);
    return output;
  },
  // the format allows gzip members one after another and zlib's own frame
  2: (input, size) => gunzip(input, within(size)),
  4: (input, size) => unbrotli(input, within(size)),
  6: (input, size) => unzstd(input, within(size)),
  7: (input, size) => decompressLz4Raw(input, size),
};

/** Snappy begins with the length of what comes out: a page that lies is found before memory is taken. */
function checkSnappy(input: Uint8Array, size: number): void {
  let length = 0;
  let scale = 1;
  for (const byte of input.subarray(0, 5)) {
    length += (byte & 127) * scale;
    if (byte < 128) break;
    scale *= 128;
  }
  if (length !== size) throw new Error(`snappy says ${length} bytes, the page's header ${size}`);
}
