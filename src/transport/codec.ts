import { isUtf8 } from "node:buffer";
import { crc32 } from "node:zlib";
// Not "msgpackr", which loads native code for what strangers send.
import { Packr, Unpackr } from "msgpackr/pack";
import { StreamError } from "../errors.ts";
import type { Json } from "../model.ts";
import { PREFIX_BYTES, writePrefix, type Frame } from "./frame.ts";

/** The msgpack maps in frames: JSON values and nothing else. */

export type Meta = { readonly [key: string]: Json };

/** Maps and arrays inside each other, the outermost map included. */
const MAX_DEPTH = 32;

const packer = new Packr({ useRecords: false, variableMapSize: true });
const unpacker = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });

/** Prefix and map of a frame; the body's `bodyBytes` bytes are to follow it. */
export function packFrame(kind: number, meta: Meta, bodyBytes = 0): Uint8Array {
  const packed = packer.pack(exact(meta));
  const bytes = Buffer.allocUnsafeSlow(PREFIX_BYTES + packed.length);
  writePrefix(bytes, kind, packed.length, bodyBytes);
  bytes.set(packed, PREFIX_BYTES);
  return bytes;
}

/** Bytes of a checksum at the end of a map. */
const SUM = 4;

/** As packFrame, with the field `crc`, by which the other side sees that neither map nor body were damaged on the way. */
export function sealFrame(kind: number, meta: Meta, body: readonly Uint8Array[] = []): Uint8Array {
  const length = body.reduce((sum, part) => sum + part.length, 0);
  // The largest integer that is sent in four bytes holds their place.
  const bytes = packFrame(kind, { ...meta, crc: 0x7fff_ffff }, length);
  const end = bytes.length - SUM;
  const sum = body.reduce((sum, part) => crc32(part, sum), crc32(bytes.subarray(0, end)));
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(end, sum);
  return bytes;
}

/** The map of a frame. Throws BAD_FRAME for bytes that are none, or not what was sent. */
export function openFrame({ kind, meta: packed, body }: Frame): Meta {
  const meta = unpackMeta(packed);
  const given = meta["crc"] ?? undefined;
  if (given === undefined) return meta;
  const prefix = new Uint8Array(PREFIX_BYTES);
  writePrefix(prefix, kind, packed.length, body.length);
  if (crc32(body, crc32(packed.subarray(0, -SUM), crc32(prefix))) !== given)
    throw damaged("a frame whose checksum does not fit: bytes were damaged on the way");
  return meta;
}

/** msgpackr writes integers beyond 32 bits as floats; other languages would show 1099511627776.0 in a recipe. */
function exact(value: Json): unknown {
  if (typeof value === "number")
    return Number.isSafeInteger(value) && Math.abs(value) > 0x7fff_ffff ? BigInt(value) : value;
  if (typeof value !== "object" || value === null) return value;
  if (isArray(value)) return value.map(exact);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, exact(item)]));
}

const isArray = (value: Json): value is readonly Json[] => Array.isArray(value);

/** Throws BAD_FRAME for anything but one map of JSON values with text keys. */
export function unpackMeta(bytes: Uint8Array): Meta {
  if (!isMap(bytes[0])) throw damaged("the map of a frame is not a map");
  const end = check(bytes, 0, 1);
  if (end !== bytes.length)
    throw damaged(`${bytes.length - end} bytes too many after the map of a frame`);
  return unpacker.unpack(bytes) as Meta;
}

const damaged = (message: string): StreamError => new StreamError("BAD_FRAME", message);

const isMap = (type = 0xc1): boolean => (type & 0xf0) === 0x80 || type === 0xde || type === 0xdf;
const isText = (type = 0xc1): boolean => (type & 0xe0) === 0xa0 || (type >= 0xd9 && type <= 0xdb);

/**
 * Walks one value and returns where it ends, before the unpacker may build anything from it: the unpacker knows extensions, trusts counts and
 * recurses without a bound. https://github.com/msgpack/msgpack/blob/master/spec.md
 */
function check(bytes: Uint8Array, at: number, depth: number): number {
  const type = need(bytes, at, 1);
  if (type <= 0x7f || type >= 0xe0) return at + 1;
  if (type <= 0x8f) return checkMap(bytes, at + 1, type & 0x0f, depth);
  if (type <= 0x9f) return checkItems(bytes, at + 1, type & 0x0f, depth);
  if (type <= 0xbf) return checkText(bytes, at + 1, type & 0x1f);
  switch (type) {
    case 0xc0: // nil
    case 0xc2: // false
    case 0xc3: // true
      return at + 1;
    case 0xca: // float 32
      return checkFloat(bytes, at + 1, 4);
    case 0xcb: // float 64
      return checkFloat(bytes, at + 1, 8);
    case 0xcc: // uint 8
    case 0xd0: // int 8
      return skip(bytes, at + 1, 1);
    case 0xcd: // uint 16
    case 0xd1: // int 16
      return skip(bytes, at + 1, 2);
    case 0xce: // uint 32
    case 0xd2: // int 32
      return skip(bytes, at + 1, 4);
    case 0xcf: // uint 64
    case 0xd3: // int 64
      return checkLong(bytes, at + 1, type === 0xd3);
    case 0xd9:
      return checkText(bytes, at + 2, need(bytes, at + 1, 1));
    case 0xda:
      return checkText(bytes, at + 3, need(bytes, at + 1, 2));
    case 0xdb:
      return checkText(bytes, at + 5, need(bytes, at + 1, 4));
    case 0xdc:
      return checkItems(bytes, at + 3, need(bytes, at + 1, 2), depth);
    case 0xdd:
      return checkItems(bytes, at + 5, need(bytes, at + 1, 4), depth);
    case 0xde:
      return checkMap(bytes, at + 3, need(bytes, at + 1, 2), depth);
    case 0xdf:
      return checkMap(bytes, at + 5, need(bytes, at + 1, 4), depth);
    default:
      throw damaged(
        `msgpack type 0x${type.toString(16)} is not allowed: only maps, arrays, text, numbers, true, false and nil`,
      );
  }
}

/** A big-endian unsigned number of 1, 2 or 4 bytes. */
function need(bytes: Uint8Array, at: number, size: 1 | 2 | 4): number {
  skip(bytes, at, size);
  let value = 0;
  for (let i = 0; i < size; i++) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
}

function skip(bytes: Uint8Array, at: number, size: number): number {
  if (at + size > bytes.length) throw damaged("the map of a frame ends inside a value");
  return at + size;
}

/** Outside of +-(2^53 - 1) the two languages would read different numbers. */
function checkLong(bytes: Uint8Array, at: number, signed: boolean): number {
  const end = skip(bytes, at, 8);
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, 8);
  if (!Number.isSafeInteger(Number(signed ? view.getBigInt64(0) : view.getBigUint64(0))))
    throw damaged("an integer beyond 2^53 - 1");
  return end;
}

/** JSON has no infinities. */
function checkFloat(bytes: Uint8Array, at: number, size: 4 | 8): number {
  const end = skip(bytes, at, size);
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, size);
  if (!Number.isFinite(size === 4 ? view.getFloat32(0) : view.getFloat64(0)))
    throw damaged("a number that is not finite");
  return end;
}

function checkText(bytes: Uint8Array, at: number, length: number): number {
  const end = skip(bytes, at, length);
  if (!isUtf8(bytes.subarray(at, end))) throw damaged("text that is not UTF-8");
  return end;
}

function checkItems(bytes: Uint8Array, at: number, count: number, depth: number): number {
  if (depth > MAX_DEPTH) throw damaged(`maps and arrays nested deeper than ${MAX_DEPTH}`);
  // Every item takes a byte at least, so a count that lies is caught before anything has this size.
  skip(bytes, at, count);
  let end = at;
  for (let i = 0; i < count; i++) end = check(bytes, end, depth + 1);
  return end;
}

function checkMap(bytes: Uint8Array, at: number, count: number, depth: number): number {
  if (depth > MAX_DEPTH) throw damaged(`maps and arrays nested deeper than ${MAX_DEPTH}`);
  skip(bytes, at, 2 * count);
  let end = at;
  for (let i = 0; i < count; i++) {
    if (!isText(bytes[end])) throw damaged("a key that is not text");
    end = check(bytes, end, depth + 1);
    end = check(bytes, end, depth + 1);
  }
  return end;
}
