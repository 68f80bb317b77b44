/**
 * Thrift's compact protocol, in which Parquet keeps its footer and page headers (https://github.com/apache/thrift/blob/master/doc/specs/
 * thrift-compact-protocol.md). Only what a caller asks for becomes an object, the rest is stepped over: nothing is allocated because a length says so.
 */

/** Structs inside of structs beyond this are damage. */
const DEEPEST = 32;

const kinds = {
  true: 1,
  false: 2,
  byte: 3,
  i16: 4,
  i32: 5,
  i64: 6,
  double: 7,
  binary: 8,
  list: 9,
  set: 10,
  map: 11,
  struct: 12,
  uuid: 13,
} as const;

/** Wire type of a value. */
type Kind = number;

/** What is done with the value of a field, by the field's number; other fields are skipped. */
export type Fields = Readonly<Record<number, (kind: Kind) => void>>;

/** The bytes end within a value: more of them may help. */
export class ShortInput extends Error {
  constructor() {
    super("the bytes end within a value");
  }
}

export interface Thrift {
  /** Offset of the next byte. */
  readonly at: number;
  /** An integer of any width. Throws where it is beyond 2^53. */
  int(kind: Kind): number;
  bool(kind: Kind): boolean;
  /** A view. */
  binary(kind: Kind): Uint8Array;
  text(kind: Kind): string;
  list(kind: Kind, each: (kind: Kind, index: number) => void): void;
  /** Without `kind`: the struct that begins here. */
  struct(fields: Fields, kind?: Kind): void;
  skip(kind: Kind): void;
}

export function createThrift(bytes: Uint8Array, from = 0): Thrift {
  let at = from;
  let depth = 0;

  function byte(): number {
    const value = bytes[at];
    if (value === undefined) throw new ShortInput();
    at++;
    return value;
  }

  function step(length: number): void {
    if (length > bytes.length - at) throw new ShortInput();
    at += length;
  }

  /** Beyond 2^53 the result is not exact; whoever needs it checks. */
  function varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const next = byte();
      value += (next & 127) * scale;
      if (next < 128) return value;
      scale *= 128;
    }
    throw new Error("a number has more than 10 bytes");
  }

  function expect(kind: Kind, ...wanted: readonly Kind[]): void {
    if (!wanted.includes(kind)) throw new Error(`a value has type ${kind}, not ${wanted[0]}`);
  }

  function int(kind: Kind): number {
    expect(kind, kinds.i32, kinds.i64, kinds.i16, kinds.byte);
    if (kind === kinds.byte) return (byte() << 24) >> 24;
    const folded = varint();
    if (folded > Number.MAX_SAFE_INTEGER) throw new Error("a number is beyond 2^53");
    return folded % 2 === 0 ? folded / 2 : -(folded + 1) / 2;
  }

  function binary(kind: Kind): Uint8Array {
    expect(kind, kinds.binary);
    const length = varint();
    step(length);
    return bytes.subarray(at - length, at);
  }

  function list(kind: Kind, each: (kind: Kind, index: number) => void): void {
    expect(kind, kinds.list, kinds.set);
    const header = byte();
    const size = header >> 4 === 15 ? varint() : header >> 4;
    // every element has a byte at least
    if (size > bytes.length - at) throw new ShortInput();
    deeper(() => {
      for (let i = 0; i < size; i++) each(header & 15, i);
    });
  }

  function struct(fields: Fields, kind: Kind = kinds.struct): void {
    expect(kind, kinds.struct);
    deeper(() => {
      for (let id = 0; ;) {
        const header = byte();
        if (header === 0) return;
        const delta = header >> 4;
        id = delta === 0 ? int(kinds.i16) : id + delta;
        const field = Object.hasOwn(fields, id) ? fields[id] : undefined;
        const value = header & 15;
        if (field) field(value);
        // in a field the type is the value
        else if (value !== kinds.true && value !== kinds.false) skip(value);
      }
    });
  }

  /** Of an element of a list, where a truth value has a byte of its own, or of a field that is none. */
  function skip(kind: Kind): void {
    if (kind === kinds.true || kind === kinds.false || kind === kinds.byte) step(1);
    else if (kind === kinds.i16 || kind === kinds.i32 || kind === kinds.i64) varint();
    else if (kind === kinds.double) step(8);
    else if (kind === kinds.uuid) step(16);
    else if (kind === kinds.binary) step(varint());
    else if (kind === kinds.list || kind === kinds.set) list(kind, skip);
    else if (kind === kinds.struct) struct({});
    else if (kind === kinds.map) skipMap();
    else throw new Error(`a value has type ${kind}, which does not exist`);
  }

  function skipMap(): void {
    const size = varint();
    if (size === 0) return;
    const types = byte();
    if (size > bytes.length - at) throw new ShortInput();
    deeper(() => {
      for (let i = 0; i < size; i++) {
        skip(types >> 4);
        skip(types & 15);
      }
    });
  }

  function deeper(work: () => void): void {
    if (++depth > DEEPEST) throw new Error("values are nested too deeply");
    work();
    depth--;
  }

  return {
    get at() {
      return at;
    },
    int,
    bool(kind) {
      expect(kind, kinds.true, kinds.false);
      return kind === kinds.true;
    },
    binary,
    text: (kind) => new TextDecoder().decode(binary(kind)),
    list,
    struct,
    skip,
  };
}
