/** Writes Parquet files byte by byte, so that any part of them can lie. The footer is as parquet.thrift has it. */

type Thrift = { readonly [field: number]: ThriftValue };
type ThriftValue =
  | { readonly i32: number }
  | { readonly i64: number }
  | { readonly text: string }
  | { readonly list: readonly ThriftValue[]; readonly claimed?: number }
  | { readonly struct: Thrift }
  | { readonly bool: boolean };

export function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return [...bytes, rest];
}

function zigzag(value: number): number[] {
  return varint(value < 0 ? -2 * value - 1 : 2 * value);
}

function kindOf(value: ThriftValue): number {
  if ("i32" in value) return 5;
  if ("i64" in value) return 6;
  if ("text" in value) return 8;
  if ("list" in value) return 9;
  if ("struct" in value) return 12;
  return value.bool ? 1 : 2;
}

function encode(value: ThriftValue): number[] {
  if ("i32" in value) return zigzag(value.i32);
  if ("i64" in value) return zigzag(value.i64);
  if ("text" in value) return [...varint(value.text.length), ...Buffer.from(value.text)];
  if ("struct" in value) return encodeStruct(value.struct);
  if ("bool" in value) return [];
  const size = value.claimed ?? value.list.length;
  const kind = kindOf(value.list[0] ?? { i32: 0 });
  return [0xf0 | kind, ...varint(size), ...value.list.flatMap(encode)];
}

function encodeStruct(fields: Thrift): number[] {
  let last = 0;
  const bytes = Object.entries(fields).flatMap(([name, value]) => {
    const id = Number(name);
    const delta = id - last;
    last = id;
    const kind = kindOf(value);
    return [...(delta < 16 ? [delta * 16 + kind] : [kind, ...zigzag(id)]), ...encode(value)];
  });
  return [...bytes, 0];
}

interface PageOptions {
  readonly values?: number;
  readonly uncompressed?: number;
  readonly compressed?: number;
  readonly encoding?: number;
  /** 0 a data page, 2 a dictionary. */
  readonly kind?: number;
  readonly crc?: number;
}

/** A page with this body; its header says what the body has, unless told otherwise. */
export function page(body: Uint8Array | readonly number[], options: PageOptions = {}): Uint8Array {
  const { kind = 0, values = 1, encoding = 0, crc } = options;
  const { uncompressed = body.length, compressed = body.length } = options;
  const header = encodeStruct({
    1: { i32: kind },
    2: { i32: uncompressed },
    3: { i32: compressed },
    ...(crc !== undefined && { 4: { i32: crc } }),
    ...(kind === 0
      ? {
          5: { struct: { 1: { i32: values }, 2: { i32: encoding }, 3: { i32: 3 }, 4: { i32: 3 } } },
        }
      : { 7: { struct: { 1: { i32: values }, 2: { i32: encoding } } } }),
  });
  return Buffer.concat([Uint8Array.from(header), Uint8Array.from(body)]);
}

/** Byte arrays, each after its length. */
export function plain(...values: readonly (string | Uint8Array)[]): Uint8Array {
  return Buffer.concat(
    values.flatMap((value) => {
      const bytes = Buffer.from(value);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(bytes.length);
      return [length, bytes];
    }),
  );
}

/** A column of byte arrays; what its bytes are is another matter. */
interface ColumnOptions {
  readonly name: string;
  /** Byte offset and length that the footer gives. */
  readonly at: number;
  readonly length: number;
  /** 0 required, 1 optional, 2 repeated. */
  readonly repetition?: number;
  readonly codec?: number;
}

interface FooterOptions {
  readonly rows?: number;
  readonly groupRows?: number;
  /** Copies of the row group in the footer, all of the same bytes. */
  readonly groups?: number;
  readonly children?: number;
  /** Replaces fields of the footer. */
  readonly footer?: Thrift;
}

/** What comes after the pages. All columns but "image" are text. */
export function ending(columns: readonly ColumnOptions[], options: FooterOptions = {}): Uint8Array {
  const { rows = 1, groupRows = rows, groups = 1, children = columns.length } = options;
  const chunk = ({ name, at, length, codec = 0 }: ColumnOptions): ThriftValue => ({
    struct: {
      2: { i64: 0 },
      3: {
        struct: {
          1: { i32: 6 },
          2: { list: [{ i32: 0 }] },
          3: { list: [{ text: name }] },
          4: { i32: codec },
          5: { i64: groupRows },
          6: { i64: length },
          7: { i64: length },
          9: { i64: at },
        },
      },
    },
  });
  const element = ({ name, repetition = 0 }: ColumnOptions): ThriftValue => ({
    struct: {
      1: { i32: 6 },
      3: { i32: repetition },
      4: { text: name },
      ...(name !== "image" && { 6: { i32: 0 } }),
    },
  });
  const group: Thrift = { 1: { list: columns.map(chunk) }, 3: { i64: groupRows } };
  const root: ThriftValue = { struct: { 4: { text: "root" }, 5: { i32: children } } };
  const footer = encodeStruct({
    1: { i32: 2 },
    2: { list: [root, ...columns.map(element)] },
    3: { i64: rows },
    4: { list: Array.from({ length: groups }, () => ({ struct: group })) },
    ...options.footer,
  });
  const size = Buffer.alloc(4);
  size.writeUInt32LE(footer.length);
  return Buffer.concat([Uint8Array.from(footer), size, Buffer.from("PAR1")]);
}

/** A file with one column "image". */
export function parquet(
  pages: readonly Uint8Array[],
  options: FooterOptions & Partial<ColumnOptions> = {},
): Uint8Array {
  const body = Buffer.concat(pages);
  const column = { name: "image", at: 4, length: body.length, ...options };
  return Buffer.concat([Buffer.from("PAR1"), body, ending([column], options)]);
}
