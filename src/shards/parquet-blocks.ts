/**
 * Snappy and LZ4, which Node does not have. Both are runs of literals, which are in the input, and of copies of what was written before. Encoded photos
 * hardly shrink, so nearly all of a page are long literals: they are moved as blocks. Both give exactly `size` bytes, and throw where the input is damaged
 * or would give more or fewer.
 */

/** The raw format: https://github.com/google/snappy/blob/main/format_description.txt. */
export function unsnappy(input: Uint8Array, size: number): Uint8Array {
  let at = 0;
  let claimed = 0;
  for (let scale = 1, next = 128; next >= 128; scale *= 128) {
    if (at === 5 || at >= input.length) throw new Error("snappy has no length");
    next = input[at++] as number;
    claimed += (next & 127) * scale;
  }
  if (claimed !== size) throw new Error(`snappy says ${claimed} bytes, the page's header ${size}`);
  const output = new Uint8Array(size);
  let done = 0;

  /** Little-endian. */
  function number(bytes: number): number {
    if (at + bytes > input.length) throw new Error("the input ends early");
    let value = 0;
    for (let i = 0; i < bytes; i++) value += (input[at++] as number) * 2 ** (8 * i);
    return value;
  }

  while (at < input.length) {
    const tag = input[at++] as number;
    const kind = tag & 3;
    const high = tag >> 2;
    if (kind === 0) {
      const length = 1 + (high < 60 ? high : number(high - 59));
      checkLiteral(length, input.length - at, size - done);
      move(input, at, output, done, length);
      at += length;
      done += length;
      continue;
    }
    const length = kind === 1 ? 4 + (high & 7) : 1 + high;
    const back = kind === 1 ? (high >> 3) * 256 + number(1) : number(kind === 2 ? 2 : 4);
    checkCopy(length, back, done, size - done);
    repeat(output, done, back, length);
    done += length;
  }
  if (done !== size) throw new Error(`${done} bytes of ${size} come out`);
  return output;
}

/** The block format: https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md. */
export function unlz4(input: Uint8Array, size: number): Uint8Array {
  const output = new Uint8Array(size);
  let at = 0;
  let done = 0;

  function byte(): number {
    const value = input[at++];
    if (value === undefined) throw new Error("the input ends early");
    return value;
  }

  /** Four bits, and bytes as long as they are full. */
  function lengthOf(nibble: number): number {
    let length = nibble;
    if (nibble === 15) for (let next = 255; next === 255; length += next) next = byte();
    return length;
  }

  while (at < input.length) {
    const token = byte();
    const literal = lengthOf(token >> 4);
    checkLiteral(literal, input.length - at, size - done);
    move(input, at, output, done, literal);
    at += literal;
    done += literal;
    // the last has no copy
    if (at === input.length) break;
    const back = byte() + 256 * byte();
    const length = 4 + lengthOf(token & 15);
    checkCopy(length, back, done, size - done);
    repeat(output, done, back, length);
    done += length;
  }
  if (done !== size) throw new Error(`${done} bytes of ${size} come out`);
  return output;
}

function checkLiteral(length: number, left: number, room: number): void {
  if (length <= left && length <= room) return;
  throw new Error(`a literal of ${length} bytes, the input has ${left}, the page room for ${room}`);
}

function checkCopy(length: number, back: number, done: number, room: number): void {
  if (back > 0 && back <= done && length <= room) return;
  throw new Error(`a copy of ${length} bytes from ${back} before, the page has room for ${room}`);
}

function move(from: Uint8Array, at: number, to: Uint8Array, place: number, length: number): void {
  if (length >= SHORT) to.set(from.subarray(at, at + length), place);
  else for (let i = 0; i < length; i++) to[place + i] = from[at + i] as number;
}

/** One by one where what is copied may be what is written. */
function repeat(bytes: Uint8Array, place: number, back: number, length: number): void {
  const from = place - back;
  if (back >= length && length >= SHORT) bytes.copyWithin(place, from, from + length);
  else for (let i = 0; i < length; i++) bytes[place + i] = bytes[from + i] as number;
}

/** A loop is faster than a block below this. Bytes. */
const SHORT = 32;
