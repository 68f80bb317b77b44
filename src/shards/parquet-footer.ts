import { StreamError } from "../errors.ts";
import type { RandomBytes } from "./parquet-file.ts";
import { createThrift, type Thrift } from "./parquet-thrift.ts";
import { corrupt } from "./tar.ts";

/** Read at once from the end of the file; holds the whole footer nearly always. */
const TAIL = 1 << 18;
/** A footer beyond this is refused before it is read. Bytes. */
const LARGEST_FOOTER = 1 << 26;
/** A footer could hold some millions, each with a plan. */
const MOST_GROUPS = 1 << 17;
const DEEPEST_SCHEMA = 64;
const MOST_NODES = 1 << 16;
/** Even a file of nulls alone stays below this; one that claims more would keep a reader busy with nothing. */
const MOST_ROWS_PER_BYTE = 1024;

/** Physical types of https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift. */
export const physical = { int32: 1, int64: 2, byteArray: 6 } as const;

/** A column, or a group of them. */
export interface Node {
  readonly name: string;
  /** Names from the root on, without the root's. */
  readonly path: readonly string[];
  readonly children: readonly Node[];
  /** Of a leaf: its number in the order of the file, and its physical type. */
  readonly leaf?: { readonly column: number; readonly type: number };
  /** Whether values are text, and whether integers have no sign. */
  readonly text: boolean;
  readonly unsigned: boolean;
  readonly repeated: boolean;
  /** Definition level of a value that is there, repetition level of its continuation. */
  readonly definition: number;
  readonly repetition: number;
  /** Definition level from which on an element of the innermost list is there; 0 outside of lists. */
  readonly element: number;
}

/** What a row group has of one column. */
export interface Chunk {
  /** Byte offsets in the file. */
  readonly from: number;
  readonly to: number;
  readonly codec: number;
}

export interface Group {
  readonly rows: number;
  /** In the order of the columns asked for. */
  readonly chunks: readonly Chunk[];
}

export interface Footer {
  readonly rows: number;
  readonly root: Node;
  /** All bytes of the file, where it is so small that they came with the footer. */
  readonly whole?: Uint8Array;
  /** The value of a key of the file's own metadata. */
  value(key: string): string | undefined;
  /** Where these columns (by their number) lie in each row group that has rows. Throws SHARD_CORRUPT. */
  groups(columns: readonly number[]): readonly Group[];
}

/** Reads the footer: one request, two where it is larger than 256 KiB. Rejects SHARD_CORRUPT. */
export async function readFooter(
  shard: string,
  file: RandomBytes,
  signal: AbortSignal,
): Promise<Footer> {
  const { size } = file;
  if (size < 12) throw corrupt(shard, 0, `not a Parquet file, it has ${size} bytes,`);
  const from = Math.max(0, size - TAIL);
  let tail = await file.read(from, size, signal);
  if (from === 0) checkMagic(shard, 0, tail.subarray(0, 4));
  checkMagic(shard, size - 4, tail.subarray(-4));
  const length = new DataView(tail.buffer, tail.byteOffset + tail.length - 8, 4).getUint32(0, true);
  const start = size - 8 - length;
  if (start < 4) throw corrupt(shard, size - 8, `the footer would have ${length} bytes`);
  if (length > LARGEST_FOOTER)
    throw corrupt(shard, size - 8, `footer of ${length} bytes, the limit is ${LARGEST_FOOTER},`);
  if (start < from) {
    const rest = await file.read(start, from, signal);
    const whole = new Uint8Array(rest.length + tail.length);
    whole.set(rest);
    whole.set(tail, rest.length);
    tail = whole;
  }
  // a copy, which does not hold the rest of the tail
  const bytes = new Uint8Array(tail.subarray(tail.length - 8 - length, -8));
  const footer = guarded(shard, start, () => parseFooter(shard, size, start, bytes));
  return from === 0 ? { ...footer, whole: tail } : footer;
}

function checkMagic(shard: string, offset: number, bytes: Uint8Array): void {
  const magic = String.fromCharCode(...bytes);
  if (magic === "PAR1") return;
  if (magic === "PARE") throw corrupt(shard, offset, "the file is encrypted: PARE");
  throw corrupt(shard, offset, "not a Parquet file, or a damaged or truncated one: no PAR1");
}

/** What the parser says, with shard and offset. */
function guarded<T>(shard: string, offset: number, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof StreamError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw corrupt(shard, offset, `damaged footer: ${reason},`);
  }
}

function parseFooter(shard: string, size: number, start: number, bytes: Uint8Array): Footer {
  const elements: Element[] = [];
  const values = new Map<string, string>();
  let rows = 0;
  let groupsAt = -1;
  const thrift = createThrift(bytes);
  thrift.struct({
    2: (kind) =>
      thrift.list(kind, (element) => {
        if (elements.length >= MOST_NODES) throw new Error(`more than ${MOST_NODES} columns`);
        elements.push(parseElement(thrift, element));
      }),
    3: (kind) => (rows = thrift.int(kind)),
    4: (kind) => {
      groupsAt = thrift.at;
      thrift.skip(kind);
    },
    5: (kind) =>
      thrift.list(kind, (element) => {
        let key = "";
        let value = "";
        const fields = {
          1: (of: number): string => (key = thrift.text(of)),
          2: (of: number): string => (value = thrift.text(of)),
        };
        thrift.struct(fields, element);
        values.set(key, value);
      }),
    8: () => {
      throw corrupt(shard, start, "the file is encrypted");
    },
  });
  if (rows < 0 || rows > size * MOST_ROWS_PER_BYTE)
    throw new Error(`${rows} rows in ${size} bytes`);
  if (groupsAt < 0) throw new Error("no row groups");
  const { root, leaves } = treeOf(elements);
  return {
    rows,
    root,
    value: (key) => values.get(key),
    groups: (columns) =>
      guarded(shard, start, () => {
        const groups = parseGroups(bytes, groupsAt, columns, leaves);
        checkGroups(groups, rows, start);
        return groups;
      }),
  };
}

interface Element {
  readonly name: string;
  readonly type?: number;
  readonly children: number;
  readonly repetition: number;
  readonly text: boolean;
  readonly unsigned: boolean;
}

function parseElement(thrift: Thrift, kind: number): Element {
  const of: { -readonly [K in keyof Element]: Element[K] } = {
    name: "",
    children: 0,
    repetition: 0,
    text: false,
    unsigned: false,
  };
  const logical = {
    // STRING, ENUM and JSON
    1: (of1: number): void => (thrift.skip(of1), void (of.text = true)),
    4: (of1: number): void => (thrift.skip(of1), void (of.text = true)),
    12: (of1: number): void => (thrift.skip(of1), void (of.text = true)),
    10: (of1: number): void =>
      thrift.struct({ 2: (signed) => (of.unsigned = !thrift.bool(signed)) }, of1),
  };
  thrift.struct(
    {
      1: (of1) => (of.type = thrift.int(of1)),
      3: (of1) => (of.repetition = thrift.int(of1)),
      4: (of1) => (of.name = thrift.text(of1)),
      5: (of1) => (of.children = thrift.int(of1)),
      6: (of1) => {
        const converted = thrift.int(of1);
        // UTF8, ENUM, JSON; UINT_8 to UINT_64
        if (converted === 0 || converted === 4 || converted === 19) of.text = true;
        if (converted >= 11 && converted <= 14) of.unsigned = true;
      },
      10: (of1) => thrift.struct(logical, of1),
    },
    kind,
  );
  return of;
}

function treeOf(elements: readonly Element[]): { root: Node; leaves: readonly Node[] } {
  const leaves: Node[] = [];
  let next = 0;

  function build(parent: Node | undefined): Node {
    const element = elements[next++];
    if (!element) throw new Error("the schema names more columns than it holds");
    const path = parent ? [...parent.path, element.name] : [];
    if (path.length > DEEPEST_SCHEMA) throw new Error("columns are nested too deeply");
    const repeated = parent !== undefined && element.repetition === 2;
    const optional = parent !== undefined && element.repetition !== 0;
    const definition = (parent?.definition ?? 0) + (optional ? 1 : 0);
    const children: Node[] = [];
    const inner = element.children > 0 || element.type === undefined;
    const node: Node = {
      name: element.name,
      path,
      children,
      ...(!inner && { leaf: { column: leaves.length, type: element.type } }),
      text: element.text,
      unsigned: element.unsigned,
      repeated,
      definition,
      repetition: (parent?.repetition ?? 0) + (repeated ? 1 : 0),
      element: repeated ? definition : (parent?.element ?? 0),
    };
    if (!inner) leaves.push(node);
    for (let i = 0; i < element.children; i++) children.push(build(node));
    return node;
  }

  const root = build(undefined);
  if (next !== elements.length) throw new Error("the schema holds more columns than it names");
  return { root, leaves };
}

function parseGroups(
  bytes: Uint8Array,
  at: number,
  columns: readonly number[],
  leaves: readonly Node[],
): Group[] {
  const groups: Group[] = [];
  const thrift = createThrift(bytes, at);
  thrift.list(LIST, (kind, number) => {
    let rows = -1;
    let count = 0;
    const chunks: (Chunk | undefined)[] = columns.map(() => undefined);
    const fields = {
      1: (of: number): void =>
        thrift.list(of, (column, leaf) => {
          count++;
          const place = columns.indexOf(leaf);
          if (place < 0) thrift.skip(column);
          else chunks[place] = parseChunk(thrift, column, leaves[leaf] as Node);
        }),
      3: (of: number): number => (rows = thrift.int(of)),
    };
    thrift.struct(fields, kind);
    const found = chunks.filter((chunk) => chunk !== undefined);
    const name = `row group ${number}`;
    if (rows < 0) throw new Error(`${name} has no number of rows`);
    if (count !== leaves.length || found.length !== columns.length)
      throw new Error(`${name} has ${count} columns, the schema ${leaves.length}`);
    if (rows > 0) groups.push({ rows, chunks: found });
    if (groups.length > MOST_GROUPS) throw new Error(`more than ${MOST_GROUPS} row groups`);
  });
  return groups;
}

const LIST = 9;

function parseChunk(thrift: Thrift, kind: number, node: Node): Chunk {
  const path: string[] = [];
  let type = -1;
  let codec = -1;
  let length = -1;
  let data = -1;
  let dictionary = 0;
  const meta = {
    1: (of: number): number => (type = thrift.int(of)),
    3: (of: number): void =>
      thrift.list(of, (part) => {
        path.push(thrift.text(part));
      }),
    4: (of: number): number => (codec = thrift.int(of)),
    7: (of: number): number => (length = thrift.int(of)),
    9: (of: number): number => (data = thrift.int(of)),
    11: (of: number): number => (dictionary = thrift.int(of)),
  };
  const name = node.path.join(".");
  thrift.struct(
    {
      1: () => {
        throw new Error(`column ${name} is in another file`);
      },
      3: (of) => thrift.struct(meta, of),
      8: () => {
        throw new Error(`column ${name} is encrypted`);
      },
    },
    kind,
  );
  if (type !== node.leaf?.type || path.length !== node.path.length)
    throw new Error(`column ${name} is not as in the schema`);
  if (path.some((part, i) => part !== node.path[i]))
    throw new Error(`column ${path.join(".")} where ${name} should be`);
  // some writers say 0 where there is no dictionary
  const from = dictionary > 0 && dictionary < data ? dictionary : data;
  return { from, to: from + length, codec };
}

function checkGroups(groups: readonly Group[], rows: number, end: number): void {
  let sum = 0;
  let after = 4;
  for (const [number, group] of groups.entries()) {
    sum += group.rows;
    for (const { from, to } of group.chunks.toSorted((a, b) => a.from - b.from)) {
      if (from < after || to < from || to > end)
        throw new Error(
          `row group ${number} has bytes ${from} to ${to}, which lie before those of another column or beyond the footer`,
        );
      after = to;
    }
  }
  if (sum !== rows) throw new Error(`${rows} rows, but ${sum} in the row groups`);
}
