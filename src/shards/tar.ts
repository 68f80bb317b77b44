import { StreamError } from "../errors.ts";
import type { ByteSource } from "./bytes.ts";

/**
 * Headers of a tar archive: v7, ustar, GNU (long names, base-256 sizes) and PAX (path, size), as in POSIX.1-2001 pax and the GNU tar manual,
 * "Basic Tar Format". Names are labels only: nothing here ever touches a file system.
 */

export const BLOCK = 512;
/** A long name or a set of PAX records beyond this is damage, not data. */
const LONGEST_EXTENSION = 1 << 20;
const SMALLEST_READ = 1 << 14;
const LARGEST_READ = 1 << 20;

type MemberKind = "file" | "directory" | "link" | "special";

export interface Member {
  readonly name: string;
  readonly kind: MemberKind;
  /** Byte offset of the member's first header block: that of its long name or PAX records where it has some. */
  readonly header: number;
  /** Byte offset and length of the contents. */
  readonly offset: number;
  readonly size: number;
}

/** PAX records that decide how a member is read. */
export interface Overrides {
  readonly path?: string | undefined;
  readonly size?: number | undefined;
}

/** Records of a global PAX header, in force from byte offset `from` on. */
export interface Globals extends Overrides {
  readonly from: number;
}

export function corrupt(shard: string, offset: number, reason: string): StreamError {
  return new StreamError("SHARD_CORRUPT", `${shard}: ${reason} at byte ${offset}`, {
    context: { shard, offset },
  });
}

/** Bytes of the archive from `at` on: `length` of them, fewer only where it ends. */
export type ReadBlocks = (at: number, length: number) => Promise<Uint8Array> | Uint8Array;

/**
 * All members in order. Bodies are skipped, not read. An archive that does not end in a zero block, or has data after it, is damaged: a cut
 * file must never pass for a shorter one. `globals` is filled with what readMember needs later.
 */
export async function* members(
  source: ByteSource,
  shard: string,
  globals: Globals[] = [],
): AsyncGenerator<Member, void, undefined> {
  const blocks = readAhead(source);
  let at = 0;
  for (;;) {
    const header = await readHeader(blocks, shard, at, globals.at(-1));
    if (!header) {
      await checkTail(source, shard, at + BLOCK);
      return;
    }
    const { member, marker } = header;
    if (header.globals) globals.push(header.globals);
    const end = member.offset + paddedSize(member.size);
    if (end > source.size) throw cutShort(shard, member, source.size);
    if (!marker) yield member;
    at = end;
  }
}

/** The member whose first header block is at `header`, from bytes that begin there and hold all its header blocks. */
export async function readMember(
  headers: Uint8Array,
  header: number,
  shard: string,
  globals: readonly Globals[],
): Promise<Member> {
  const local: ReadBlocks = (at, length) => headers.subarray(at - header, at - header + length);
  const inForce = globals.findLast((one) => one.from <= header);
  const found = await readHeader(local, shard, header, inForce);
  if (!found) throw corrupt(shard, header, "the header is not what it was");
  return found.member;
}

export function paddedSize(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

/** Of a member whose contents, padded to blocks, would end beyond the archive's `size` bytes. */
export function cutShort(shard: string, { name, size, header }: Member, end: number): StreamError {
  return corrupt(shard, header, `${name} has ${size} bytes, the archive ends at ${end}: truncated`);
}

export function dataAfterEnd(shard: string, offset: number): StreamError {
  return corrupt(shard, offset, "data after the end of the archive (were archives joined?)");
}

export interface Header {
  readonly member: Member;
  /** True for what describes other members: not a member itself. */
  readonly marker: boolean;
  /** Where the headers change what is in force. */
  readonly globals?: Globals;
}

/** The headers that begin at byte `header`, in `blocks`; undefined where there is the zero block that ends an archive. The one parser of headers. */
export async function readHeader(
  blocks: ReadBlocks,
  shard: string,
  header: number,
  inForce: Overrides = {},
): Promise<Header | undefined> {
  let at = header;
  let longName: string | undefined;
  let overrides = inForce;
  let globals: Globals | undefined;
  for (;;) {
    const block = await blocks(at, BLOCK);
    if (block.length < BLOCK)
      throw corrupt(
        shard,
        at,
        at === header
          ? `end of the archive is missing, there are ${at + block.length} bytes`
          : "truncated in the headers of a member",
      );
    if (at === header && isZero(block)) return undefined;
    const raw = parseBlock(block, shard, at);
    const { type } = raw;
    if (type === "S" || type === "M")
      throw corrupt(
        shard,
        at,
        `${raw.name}: sparse and multi-volume members (type ${type}) can't be read,`,
      );
    if (!extensionTypes.has(type)) {
      const name = overrides.path ?? longName ?? raw.name;
      const kind = kindOf(type, name);
      const size = kind === "file" || !bodyless.has(type) ? (overrides.size ?? raw.size) : 0;
      return {
        member: { name, kind, header, offset: at + BLOCK, size },
        marker: type === "V",
        ...(globals && { globals }),
      };
    }
    if (raw.size > LONGEST_EXTENSION)
      throw corrupt(shard, at, `header extension of ${raw.size} bytes`);
    const padded = paddedSize(raw.size);
    const next = at + BLOCK + padded;
    const extension = await blocks(at + BLOCK, padded);
    if (extension.length < padded) throw corrupt(shard, at, "truncated in a header extension");
    const body = extension.subarray(0, raw.size);
    if (type === "L") longName = text(untilZero(body));
    else if (type === "x") overrides = { ...overrides, ...parsePax(body, shard, at) };
    else if (type === "g") {
      const { path, size }: Overrides = { ...(globals ?? inForce), ...parsePax(body, shard, at) };
      overrides = { path, size };
      globals = { path, size, from: next };
      // not part of the next member: it is read from `next` on, with these records in force
      if (at === header) {
        const { size: length } = raw;
        const member: Member = {
          name: "",
          kind: "special",
          header,
          offset: at + BLOCK,
          size: length,
        };
        return { member, marker: true, globals };
      }
    }
    at = next;
  }
}

/** L and K: name and link target of the next member (GNU); x and g: PAX records for the next member, for all. */
const extensionTypes = new Set(["L", "K", "x", "g"]);
/** Whatever their size field says, no contents follow. */
const bodyless = new Set(["1", "2", "3", "4", "5", "6"]);

function kindOf(type: string, name: string): MemberKind {
  if (type === "0" || type === "7" || type === "\0")
    return name.endsWith("/") ? "directory" : "file";
  if (type === "5" || type === "D") return "directory";
  if (type === "1" || type === "2") return "link";
  return "special";
}

function parseBlock(
  block: Uint8Array,
  shard: string,
  at: number,
): { name: string; type: string; size: number } {
  let unsigned = 0;
  let signed = 0;
  for (let i = 0; i < BLOCK; i++) {
    const byte = i >= 148 && i < 156 ? 32 : (block[i] as number);
    unsigned += byte;
    signed += byte < 128 ? byte : byte - 256;
  }
  const sum = parseNumber(block, 148, 8);
  // some old archivers summed signed bytes
  if (sum !== unsigned && sum !== signed) throw corrupt(shard, at, "bad header checksum");
  const size = parseNumber(block, 124, 12);
  if (size === undefined || size > Number.MAX_SAFE_INTEGER)
    throw corrupt(shard, at, "bad size field in the header");
  const name = text(untilZero(block.subarray(0, 100)));
  const prefix = text(untilZero(block.subarray(345, 500)));
  return {
    name: isUstar(block) && prefix !== "" ? `${prefix}/${name}` : name,
    type: String.fromCharCode(block[156] as number),
    size,
  };
}

/** "ustar" and a zero: POSIX. GNU writes "ustar" and two spaces, and keeps times where POSIX has the prefix. */
function isUstar(block: Uint8Array): boolean {
  return (
    block[257] === 0x75 &&
    block[258] === 0x73 &&
    block[259] === 0x74 &&
    block[260] === 0x61 &&
    block[261] === 0x72 &&
    block[262] === 0
  );
}

/** Octal digits between spaces, ended by a space or zero; or, with the top bit set, big-endian binary (GNU). Undefined for anything else. */
function parseNumber(block: Uint8Array, from: number, length: number): number | undefined {
  const first = block[from] as number;
  let value = 0;
  if (first >= 0x80) {
    if (first !== 0x80) return undefined;
    for (let i = from + 1; i < from + length; i++) value = value * 256 + (block[i] as number);
    return value;
  }
  let i = from;
  while (i < from + length && block[i] === 32) i++;
  for (; i < from + length; i++) {
    const digit = (block[i] as number) - 48;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  for (; i < from + length; i++) if (block[i] !== 32 && block[i] !== 0) return undefined;
  return value;
}

/** Records "LENGTH KEY=VALUE\n". An empty value takes a record back. */
function parsePax(body: Uint8Array, shard: string, at: number): Overrides {
  const found: { path?: string | undefined; size?: number | undefined } = {};
  let from = 0;
  while (from < body.length) {
    const space = body.indexOf(32, from);
    const digits = space < 0 || space - from > 8 ? "" : text(body.subarray(from, space));
    const end = from + Number(digits);
    const equals = body.indexOf(61, space);
    if (
      !/^[1-9][0-9]*$/.test(digits) ||
      end > body.length ||
      body[end - 1] !== 10 ||
      equals < 0 ||
      equals >= end
    )
      throw corrupt(shard, at, "bad PAX record");
    const key = text(body.subarray(space + 1, equals));
    const value = text(body.subarray(equals + 1, end - 1));
    if (key.startsWith("GNU.sparse.")) throw corrupt(shard, at, "sparse members can't be read,");
    if (key === "path") found.path = value === "" ? undefined : value;
    if (key === "size" && value === "") found.size = undefined;
    else if (key === "size") {
      if (!/^[0-9]{1,16}$/.test(value) || !Number.isSafeInteger(Number(value)))
        throw corrupt(shard, at, "bad size in a PAX record");
      found.size = Number(value);
    }
    from = end;
  }
  return found;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const latin1 = new TextDecoder("latin1");

/** UTF-8; bytes that are not are taken one by one, so that two different names stay different. */
function text(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return latin1.decode(bytes);
  }
}

function untilZero(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

/** After the first zero block only zeros may come: archives that were simply joined would lose all but the first. */
async function checkTail(source: ByteSource, shard: string, from: number): Promise<void> {
  for (let at = from; at < source.size; at += LARGEST_READ) {
    const part = await source.read(at, Math.min(LARGEST_READ, source.size - at));
    const other = part.findIndex((byte) => byte !== 0);
    if (other >= 0) throw dataAfterEnd(shard, at + other);
  }
}

/**
 * Small pieces of a file, mostly from memory. Where members are small one read brings many headers, so reads grow; where a body was skipped
 * they are small again, or they would fetch bodies.
 */
function readAhead(source: ByteSource): ReadBlocks {
  let start = 0;
  let held: Uint8Array = new Uint8Array(0);
  let ahead = SMALLEST_READ;
  return async (at, length) => {
    const end = start + held.length;
    if (at < start || at + length > end) {
      ahead = at - end < SMALLEST_READ ? Math.min(ahead * 2, LARGEST_READ) : SMALLEST_READ;
      start = at;
      const most = Math.max(source.size - at, 0);
      held = await source.read(at, Math.min(Math.max(ahead, length), most));
    }
    return held.subarray(at - start, at - start + length);
  };
}
