import { pipeline, Readable, type Transform } from "node:stream";
import {
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
} from "node:zlib";
import { Setback, Yielded } from "./setback.ts";

type Read = () => Promise<Uint8Array | undefined>;

const decoders: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  "x-gzip": createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
};

/** How the body is encoded although it was asked for as it is; undefined where it is not. */
export function encodingOf(headers: ReadonlyMap<string, string>): string | undefined {
  const encoding = headers.get("content-encoding")?.trim().toLowerCase();
  return encoding === undefined || encoding === "" || encoding === "identity"
    ? undefined
    : encoding;
}

/** The body without its encoding. A cut or damaged one is a Setback, as is an encoding that is not known here. */
export function decoded(read: Read, encoding: string): { read: Read; close(): void } {
  const create = decoders[encoding];
  if (!create)
    throw new Setback(`the answer's Content-Encoding is ${encoding}, which was not asked for`);
  const decoder = create();
  pipeline(Readable.from(chunksOf(read)), decoder, () => {}); // failures reach the iterator below
  const chunks = decoder[Symbol.asyncIterator]() as AsyncIterator<Uint8Array, undefined>;
  return {
    async read() {
      try {
        return (await chunks.next()).value;
      } catch (error) {
        if (error instanceof Setback || error instanceof Yielded) throw error;
        const code = error instanceof Error && "code" in error ? String(error.code) : "";
        if (!/^(Z_|ERR_|ZSTD_)/.test(code)) throw error;
        throw new Setback(`the answer's ${encoding} is cut or damaged (${code})`, undefined, error);
      }
    },
    close: () => void decoder.destroy(),
  };
}

async function* chunksOf(read: Read): AsyncGenerator<Uint8Array, void, undefined> {
  for (let chunk = await read(); chunk; chunk = await read()) yield chunk;
}
