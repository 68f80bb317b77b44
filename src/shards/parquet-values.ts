/**
 * Values and levels of a data page, as https://github.com/apache/parquet-format/blob/master/Encodings.md has them. Every length is checked against the
 * page: a damaged one throws, it never reads beyond the page, writes beyond a count or stands for other values.
 */

/** A value of a column: bytes are views of the page. */
export type Value = Uint8Array | bigint;

export const encodings = {
  plain: 0,
  plainDictionary: 2,
  deltaBinary: 5,
  deltaLength: 6,
  deltaBytes: 7,
  dictionary: 8,
} as const;

/** Bits that hold numbers up to `most`. */
export function bitsFor(most: number): number {
  return 32 - Math.clz32(most);
}

function varint(bytes: Uint8Array, from: number): { value: number; at: number } {
  let value = 0;
  let scale = 1;
  for (let at = from; at < from + 5; at++) {
    const next = bytes[at];
    if (next === undefined) throw new Error("runs end early");
    value += (next & 127) * scale;
    if (next < 128) return { value, at: at + 1 };
    scale *= 128;
  }
  throw new Error("the length of a run is damaged");
}

/** Runs of equal numbers and runs of packed bits, mixed; fills `into`. */
export function unpackRuns(bytes: Uint8Array, width: number, into: Uint8Array | Int32Array): void {
  if (width > 31) throw new Error(`numbers of ${width} bits`);
  const size = (width + 7) >> 3;
  const mask = 2 ** width - 1;
  let at = 0;
  let done = 0;
  while (done < into.length) {
    const header = varint(bytes, at);
    ({ at } = header);
    const count = Math.floor(header.value / 2);
    const left = into.length - done;
    if (header.value % 2 === 0) {
      if (at + size > bytes.length) throw new Error("runs end early");
      let value = 0;
      for (let i = 0; i < size; i++) value += (bytes[at++] as number) * 2 ** (8 * i);
      if (value > mask) throw new Error(`${value} does not fit ${width} bits`);
      // some writers let the last run go on beyond the values
      into.fill(value, done, done + Math.min(count, left));
      done += Math.min(count, left);
      continue;
    }
    // groups of eight, of which the last may be beyond the values
    const end = at + count * width;
    const values = Math.min(count * 8, left);
    if (at + Math.ceil((values * width) / 8) > bytes.length) throw new Error("runs end early");
    for (let i = 0, bit = 0; i < values; i++, bit += width)
      into[done++] = bits(bytes, at, bit) & mask;
    at = end;
  }
}

/** Up to 31 bits from this bit on; bits beyond the end are 0. */
function bits(bytes: Uint8Array, at: number, bit: number): number {
  const from = at + (bit >>> 3);
  const shift = bit & 7;
  const low =
    (bytes[from] ?? 0) |
    ((bytes[from + 1] ?? 0) << 8) |
    ((bytes[from + 2] ?? 0) << 16) |
    ((bytes[from + 3] ?? 0) << 24);
  return shift === 0 ? low : (low >>> shift) | ((bytes[from + 4] ?? 0) << (32 - shift));
}

/** Byte arrays, each after its length. They fill `bytes` exactly. */
export function plainBytes(bytes: Uint8Array, count: number): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (count > bytes.length / 4) throw new Error(`${count} values in ${bytes.length} bytes`);
  const values: Uint8Array[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 4 > bytes.length) throw new Error("values end early");
    const length = view.getUint32(at, true);
    at += 4;
    if (length > bytes.length - at)
      throw new Error(`a value of ${length} bytes, ${bytes.length - at} are left`);
    values.push(bytes.subarray(at, at + length));
    at += length;
  }
  if (at !== bytes.length) throw new Error(`${bytes.length - at} bytes after the last value`);
  return values;
}

export function plainIntegers(bytes: Uint8Array, count: number, width: 4 | 8): bigint[] {
  if (count * width > bytes.length) throw new Error(`${count} values in ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values: bigint[] = [];
  for (let i = 0; i < count; i++)
    values.push(width === 4 ? BigInt(view.getInt32(i * 4, true)) : view.getBigInt64(i * 8, true));
  return values;
}

/** Numbers of the values of a dictionary. */
export function lookUp<T>(bytes: Uint8Array, count: number, dictionary: readonly T[]): T[] {
  if (count === 0) return [];
  const width = bytes[0];
  if (width === undefined) throw new Error("values end early");
  const numbers = new Int32Array(count);
  if (width > 0) unpackRuns(bytes.subarray(1), width, numbers);
  return Array.from(numbers, (number) => {
    if (number >= dictionary.length)
      throw new Error(`value ${number} of a dictionary of ${dictionary.length}`);
    return dictionary[number] as T;
  });
}

/** Differences in blocks; also where the bytes after them begin. `width` in bits. */
export function deltaIntegers(
  bytes: Uint8Array,
  count: number,
  width: 32 | 64,
): { values: bigint[]; end: number } {
  let at = 0;
  function number(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const next = bytes[at++];
      if (next === undefined) throw new Error("values end early");
      value |= BigInt(next & 127) << shift;
      if (next < 128) return value;
    }
    throw new Error("a number has more than 10 bytes");
  }
  const signed = (value: bigint): bigint => BigInt.asIntN(width, (value >> 1n) ^ -(value & 1n));
  const blockSize = Number(number());
  const parts = Number(number());
  const total = Number(number());
  const each = blockSize / parts;
  // by the format 128 times and 32 times something
  if (!(blockSize > 0 && blockSize <= 1 << 20 && blockSize % 128 === 0 && each % 32 === 0))
    throw new Error(`blocks of ${blockSize} values in ${parts} parts`);
  if (total !== count) throw new Error(`${total} values where ${count} should be`);
  let value = signed(number());
  const values: bigint[] = count > 0 ? [value] : [];
  while (values.length < count) {
    const least = signed(number());
    const widths = bytes.subarray(at, at + parts);
    if (widths.length < parts) throw new Error("values end early");
    at += parts;
    for (const size of widths) {
      if (values.length >= count) break;
      if (size > 64) throw new Error(`differences of ${size} bits`);
      const end = at + (each * size) / 8;
      if (end > bytes.length) throw new Error("values end early");
      for (let i = 0, bit = 0; i < each && values.length < count; i++, bit += size) {
        value = BigInt.asIntN(width, value + least + wideBits(bytes, at, bit, size));
        values.push(value);
      }
      at = end;
    }
  }
  return { values, end: at };
}

function wideBits(bytes: Uint8Array, at: number, bit: number, size: number): bigint {
  let value = 0n;
  for (let done = 0; done < size;) {
    const place = bit + done;
    const shift = place & 7;
    const taken = Math.min(8 - shift, size - done);
    const part = ((bytes[at + (place >>> 3)] as number) >>> shift) & ((1 << taken) - 1);
    value |= BigInt(part) << BigInt(done);
    done += taken;
  }
  return value;
}

/** All lengths, then all byte arrays. */
export function deltaLengthBytes(bytes: Uint8Array, count: number): Uint8Array[] {
  const lengths = deltaIntegers(bytes, count, 32);
  let at = lengths.end;
  return lengths.values.map((one) => {
    const length = Number(one);
    if (length < 0 || length > bytes.length - at)
      throw new Error(`a value of ${length} bytes, ${bytes.length - at} are left`);
    at += length;
    return bytes.subarray(at - length, at);
  });
}

/** Lengths of what each value shares with the one before it, then the rest of each. At most `most` bytes in all: shared bytes multiply. */
export function deltaBytes(bytes: Uint8Array, count: number, most: number): Uint8Array[] {
  const shared = deltaIntegers(bytes, count, 32);
  const rests = deltaLengthBytes(bytes.subarray(shared.end), count);
  let before: Uint8Array = new Uint8Array(0);
  let sum = 0;
  return rests.map((rest, i) => {
    const same = Number(shared.values[i]);
    if (same < 0 || same > before.length)
      throw new Error(`a value shares ${same} bytes with one of ${before.length}`);
    sum += same + rest.length;
    if (sum > most) throw new Error(`values of more than ${most} bytes`);
    const value = new Uint8Array(same + rest.length);
    value.set(before.subarray(0, same));
    value.set(rest, same);
    before = value;
    return value;
  });
}
