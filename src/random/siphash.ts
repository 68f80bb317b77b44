/**
 * SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, https://github.com/veorq/SipHash), on 32-bit halves: V8 has no fast 64-bit integers.
 * Checked against the authors' vectors_sip128.
 */

/** v0 .. v3, low word first; one hash at a time, so one state serves all. */
const state = new Int32Array(8);

function rounds(count: number): void {
  let al = state[0]!;
  let ah = state[1]!;
  let bl = state[2]!;
  let bh = state[3]!;
  let cl = state[4]!;
  let ch = state[5]!;
  let dl = state[6]!;
  let dh = state[7]!;
  let low = 0;
  for (let round = 0; round < count; round++) {
    // v0 += v1; v1 = v1 <<< 13 ^ v0; v0 <<<= 32
    low = (al + bl) | 0;
    ah = (ah + bh + (low >>> 0 < al >>> 0 ? 1 : 0)) | 0;
    al = low;
    low = ((bl << 13) | (bh >>> 19)) ^ al;
    bh = ((bh << 13) | (bl >>> 19)) ^ ah;
    bl = low;
    low = ah;
    ah = al;
    al = low;
    // v2 += v3; v3 = v3 <<< 16 ^ v2
    low = (cl + dl) | 0;
    ch = (ch + dh + (low >>> 0 < cl >>> 0 ? 1 : 0)) | 0;
    cl = low;
    low = ((dl << 16) | (dh >>> 16)) ^ cl;
    dh = ((dh << 16) | (dl >>> 16)) ^ ch;
    dl = low;
    // v0 += v3; v3 = v3 <<< 21 ^ v0
    low = (al + dl) | 0;
    ah = (ah + dh + (low >>> 0 < al >>> 0 ? 1 : 0)) | 0;
    al = low;
    low = ((dl << 21) | (dh >>> 11)) ^ al;
    dh = ((dh << 21) | (dl >>> 11)) ^ ah;
    dl = low;
    // v2 += v1; v1 = v1 <<< 17 ^ v2; v2 <<<= 32
    low = (cl + bl) | 0;
    ch = (ch + bh + (low >>> 0 < cl >>> 0 ? 1 : 0)) | 0;
    cl = low;
    low = ((bl << 17) | (bh >>> 15)) ^ cl;
    bh = ((bh << 17) | (bl >>> 15)) ^ ch;
    bl = low;
    low = ch;
    ch = cl;
    cl = low;
  }
  state[0] = al;
  state[1] = ah;
  state[2] = bl;
  state[3] = bh;
  state[4] = cl;
  state[5] = ch;
  state[6] = dl;
  state[7] = dh;
}

function absorb(low: number, high: number): void {
  state[6]! ^= low;
  state[7]! ^= high;
  rounds(2);
  state[0]! ^= low;
  state[1]! ^= high;
}

function squeeze(out: Uint32Array, at: number): void {
  rounds(4);
  out[at] = state[0]! ^ state[2]! ^ state[4]! ^ state[6]!;
  out[at + 1] = state[1]! ^ state[3]! ^ state[5]! ^ state[7]!;
}

/** `key` and `out` are four 32-bit words: the 16 bytes read as little endian. Hashes the first `length` bytes of `message`. */
export function sipHash128(
  key: Uint32Array,
  message: Uint8Array,
  length: number,
  out: Uint32Array,
): void {
  state[0] = key[0]! ^ 0x70736575;
  state[1] = key[1]! ^ 0x736f6d65;
  state[2] = key[2]! ^ 0x6e646f6d ^ 0xee;
  state[3] = key[3]! ^ 0x646f7261;
  state[4] = key[0]! ^ 0x6e657261;
  state[5] = key[1]! ^ 0x6c796765;
  state[6] = key[2]! ^ 0x79746573;
  state[7] = key[3]! ^ 0x74656462;
  const whole = length - (length % 8);
  for (let at = 0; at < whole; at += 8) absorb(word(message, at), word(message, at + 4));
  let low = 0;
  let high = (length & 0xff) << 24;
  for (let at = whole; at < length; at++) {
    const place = at - whole;
    if (place < 4) low |= message[at]! << (8 * place);
    else high |= message[at]! << (8 * (place - 4));
  }
  absorb(low, high);
  state[4] ^= 0xee;
  squeeze(out, 0);
  state[2] ^= 0xdd;
  squeeze(out, 2);
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}
