import { crc32 } from "node:zlib";
import { StreamError } from "../errors.ts";
import { decompress } from "./parquet-codecs.ts";
import type { Pull } from "./parquet-file.ts";
import { physical, type Chunk, type Node } from "./parquet-footer.ts";
import { createThrift, ShortInput } from "./parquet-thrift.ts";
import {
  bitsFor,
  deltaBytes,
  deltaIntegers,
  deltaLengthBytes,
  encodings,
  lookUp,
  plainBytes,
  plainIntegers,
  unpackRuns,
  type Value,
} from "./parquet-values.ts";
import { corrupt } from "./tar.ts";

/** A page beyond this is refused before memory is taken. Bytes, after decompression. */
const LARGEST_PAGE = 1 << 30;
/** A page beyond this must not shrink to less than a hundredth: it would be a bomb. Bytes. */
const BOMB = 1 << 26;
const BOMB_RATIO = 100;
const MOST_VALUES = 1 << 22;
/** A header with the least and greatest value of its page; they may be images. Bytes. */
const LARGEST_HEADER = 1 << 24;
const FIRST_PEEK = 1 << 10;

/** Values of one data page with their levels; without levels every value is there, once a row. */
export interface Page {
  readonly count: number;
  readonly definitions?: Uint8Array;
  readonly repetitions?: Uint8Array;
  /** Of those that are there; byte arrays are views of the page or of the dictionary. */
  readonly values: readonly Value[];
  /** Byte offset of the page's header in the file. */
  readonly offset: number;
}

/** Pages of a column chunk, from a pull that stands at its beginning. Rejects SHARD_CORRUPT with the offset of the page. */
export async function* pages(
  shard: string,
  pull: Pull,
  chunk: Chunk,
  node: Node,
): AsyncGenerator<Page, void, undefined> {
  let dictionary: readonly Value[] | undefined;
  while (pull.at < chunk.to) {
    const offset = pull.at;
    try {
      const header = await readHeader(pull, chunk.to - offset);
      checkHeader(header, chunk.to - pull.at, chunk.codec);
      if (header.kind === kinds.index) {
        await pull.skipTo(pull.at + header.compressed);
        continue;
      }
      const body = await pull.take(header.compressed);
      if (header.crc !== undefined && crc32(body) !== header.crc >>> 0)
        throw new Error("checksum of the page is wrong");
      if (header.kind === kinds.dictionary) {
        if (dictionary) throw new Error("a second dictionary");
        const bytes = await decompress(chunk.codec, body, header.uncompressed);
        // plain, under either of its two names
        dictionary = plain(bytes, header.values, node);
        continue;
      }
      yield { ...(await readPage(header, body, chunk.codec, node, dictionary)), offset };
    } catch (error) {
      if (error instanceof StreamError) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw corrupt(shard, offset, `damaged page of column ${node.path.join(".")}: ${reason},`);
    }
  }
}

const kinds = { data: 0, index: 1, dictionary: 2, data2: 3 } as const;

interface Header {
  kind: number;
  /** Bytes. */
  uncompressed: number;
  compressed: number;
  crc?: number;
  values: number;
  encoding: number;
  /** Encodings of the levels of a page of the first form. */
  definitionEncoding: number;
  repetitionEncoding: number;
  /** Of the second form: bytes of the levels, nulls, and whether the values are compressed. */
  definitionBytes: number;
  repetitionBytes: number;
  nulls: number;
  packed: boolean;
}

async function readHeader(pull: Pull, left: number): Promise<Header> {
  for (let length = FIRST_PEEK; ; length *= 4) {
    const bytes = await pull.peek(Math.min(length, left));
    try {
      const { header, size } = parseHeader(bytes);
      await pull.take(size);
      return header;
    } catch (error) {
      if (!(error instanceof ShortInput)) throw error;
      if (length >= left || length >= LARGEST_HEADER)
        throw new Error("the header does not end", { cause: error });
    }
  }
}

function parseHeader(bytes: Uint8Array): { header: Header; size: number } {
  const thrift = createThrift(bytes);
  const header: Header = {
    kind: -1,
    uncompressed: -1,
    compressed: -1,
    values: -1,
    encoding: -1,
    definitionEncoding: RUNS,
    repetitionEncoding: RUNS,
    definitionBytes: 0,
    repetitionBytes: 0,
    nulls: -1,
    packed: true,
  };
  const int = (of: number): number => thrift.int(of);
  const values = (of: number): number => (header.values = int(of));
  const encoding = (of: number): number => (header.encoding = int(of));
  const data = {
    1: values,
    2: encoding,
    3: (of: number): number => (header.definitionEncoding = int(of)),
    4: (of: number): number => (header.repetitionEncoding = int(of)),
  };
  const data2 = {
    1: values,
    2: (of: number): number => (header.nulls = int(of)),
    4: encoding,
    5: (of: number): number => (header.definitionBytes = int(of)),
    6: (of: number): number => (header.repetitionBytes = int(of)),
    7: (of: number): boolean => (header.packed = thrift.bool(of)),
  };
  thrift.struct({
    1: (of) => (header.kind = int(of)),
    2: (of) => (header.uncompressed = int(of)),
    3: (of) => (header.compressed = int(of)),
    4: (of) => (header.crc = int(of)),
    5: (of) => thrift.struct(data, of),
    7: (of) => thrift.struct({ 1: values, 2: encoding }, of),
    8: (of) => thrift.struct(data2, of),
  });
  return { header, size: thrift.at };
}

const RUNS = 3;

function checkHeader(header: Header, left: number, codec: number): void {
  const { kind, compressed, uncompressed, values } = header;
  if (kind < 0 || kind > 3) throw new Error(`page type ${kind}`);
  if (compressed < 0 || compressed > left)
    throw new Error(`a page of ${compressed} bytes, its column has ${left} left`);
  if (kind === kinds.index) return;
  if (uncompressed < 0) throw new Error(`a page of ${uncompressed} bytes after decompression`);
  if (uncompressed > LARGEST_PAGE)
    throw new Error(
      `a page of ${uncompressed} bytes, the limit is ${LARGEST_PAGE}: write the file with smaller row groups`,
    );
  if (uncompressed > BOMB && uncompressed > compressed * BOMB_RATIO)
    throw new Error(`a page of ${compressed} bytes that would become ${uncompressed}`);
  if (codec === 0 && uncompressed !== compressed)
    throw new Error(`a page of ${compressed} bytes where ${uncompressed} are said`);
  if (values < 0 || values > MOST_VALUES)
    throw new Error(`a page of ${values} values, the limit is ${MOST_VALUES}`);
  if (kind !== kinds.data2) return;
  const { definitionBytes, repetitionBytes, nulls } = header;
  const levels = definitionBytes + repetitionBytes;
  if (definitionBytes < 0 || repetitionBytes < 0 || levels > compressed || levels > uncompressed)
    throw new Error(`levels of ${repetitionBytes} and ${definitionBytes} bytes`);
  if (nulls < 0 || nulls > values) throw new Error(`${nulls} nulls in ${values} values`);
}

async function readPage(
  header: Header,
  body: Uint8Array,
  codec: number,
  node: Node,
  dictionary: readonly Value[] | undefined,
): Promise<Omit<Page, "offset">> {
  const count = header.values;
  let levels: Levels;
  let bytes: Uint8Array;
  if (header.kind === kinds.data2) {
    const { repetitionBytes, definitionBytes } = header;
    const from = repetitionBytes + definitionBytes;
    levels = {
      repetitions: unpack(body.subarray(0, repetitionBytes), node.repetition, count),
      definitions: unpack(body.subarray(repetitionBytes, from), node.definition, count),
    };
    const rest = body.subarray(from);
    const size = header.uncompressed - from;
    bytes = await decompress(header.packed && size > 0 ? codec : 0, rest, size);
  } else {
    const page = await decompress(codec, body, header.uncompressed);
    const first = levelsAt(page, 0, node.repetition, count, header.repetitionEncoding);
    const second = levelsAt(page, first.end, node.definition, count, header.definitionEncoding);
    levels = { repetitions: first.levels, definitions: second.levels };
    bytes = page.subarray(second.end);
  }
  const { definitions, repetitions } = levels;
  const present = definitions ? occurrences(definitions, node.definition) : count;
  if (header.kind === kinds.data2 && count - header.nulls !== present)
    throw new Error(`${header.nulls} nulls where ${count - present} are`);
  return {
    count,
    ...(definitions && { definitions }),
    ...(repetitions && { repetitions }),
    values: valuesOf(header.encoding, bytes, present, node, dictionary),
  };
}

interface Levels {
  readonly definitions: Uint8Array | undefined;
  readonly repetitions: Uint8Array | undefined;
}

function unpack(bytes: Uint8Array, most: number, count: number): Uint8Array | undefined {
  if (most === 0) return undefined;
  const levels = new Uint8Array(count);
  unpackRuns(bytes, bitsFor(most), levels);
  for (const level of levels) if (level > most) throw new Error(`level ${level} of ${most}`);
  return levels;
}

function levelsAt(
  page: Uint8Array,
  at: number,
  most: number,
  count: number,
  encoding: number,
): { levels: Uint8Array | undefined; end: number } {
  if (most === 0) return { levels: undefined, end: at };
  if (encoding !== RUNS) throw new Error(`levels in encoding ${encoding}`);
  if (at + 4 > page.length) throw new Error("levels end early");
  const from = at + 4;
  const end = from + new DataView(page.buffer, page.byteOffset + at, 4).getUint32(0, true);
  if (end > page.length) throw new Error("levels end early");
  return { levels: unpack(page.subarray(from, end), most, count), end };
}

function occurrences(levels: Uint8Array, level: number): number {
  let count = 0;
  for (const one of levels) if (one === level) count++;
  return count;
}

function valuesOf(
  encoding: number,
  bytes: Uint8Array,
  count: number,
  node: Node,
  dictionary: readonly Value[] | undefined,
): readonly Value[] {
  const type = node.leaf?.type;
  if (count === 0) return [];
  if (encoding === encodings.plain) return plain(bytes, count, node);
  if (encoding === encodings.dictionary || encoding === encodings.plainDictionary) {
    if (!dictionary) throw new Error("the dictionary is missing");
    return lookUp(bytes, count, dictionary);
  }
  if (type === physical.byteArray) {
    if (encoding === encodings.deltaLength) return deltaLengthBytes(bytes, count);
    if (encoding === encodings.deltaBytes)
      return deltaBytes(bytes, count, Math.max(BOMB, bytes.length * BOMB_RATIO));
  } else if (encoding === encodings.deltaBinary)
    return deltaIntegers(bytes, count, type === physical.int32 ? 32 : 64).values;
  throw new Error(`encoding ${encoding} of type ${type} can't be read`);
}

function plain(bytes: Uint8Array, count: number, node: Node): readonly Value[] {
  const type = node.leaf?.type;
  if (type === physical.byteArray) return plainBytes(bytes, count);
  return plainIntegers(bytes, count, type === physical.int32 ? 4 : 8);
}
