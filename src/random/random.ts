import { StreamError } from "../errors.ts";
import { Philox } from "./philox.ts";
import { sipHash128 } from "./siphash.ts";

/** A stream of independent random numbers; the algorithm and every derived draw are fixed by docs/determinism.md. */
export interface Random {
  /** 0 .. 2^32 - 1. */
  uint32(): number;
  /** Integer 0 .. bound - 1, exactly uniform; bound 1 .. 2^53. */
  below(bound: number): number;
  /** Integer low .. high, both included. */
  between(low: number, high: number): number;
  /** Multiple of 2^-32 in 0 <= x < 1. */
  unit(): number;
  /** low + (high - low) * unit(). */
  uniform(low: number, high: number): number;
  /** True with probability p. */
  chance(p: number): boolean;
  /** Fisher-Yates, in place; returns its argument. */
  shuffle<T>(items: T[]): T[];
}

/** What a key may be made of; integers are 0 .. 2^53 - 1. */
export type KeyPart = number | string;

/** Hash key: the seed, then "ssl-r1/1", as little endian words. A new stream format may change the text, and with it every bit. */
const key = new Uint32Array([0, 0, 0x2d6c7373, 0x312f3172]);
const hash = new Uint32Array(4);
let message = new Uint8Array(256);

/**
 * The generator that belongs to a seed and a key; the same for ever (docs/determinism.md). Parts are told apart by type and length, so no two keys
 * collide by running together.
 */
export function derive(seed: number, ...parts: readonly KeyPart[]): Random {
  key[0] = wordOf(seed);
  key[1] = Math.floor(seed / 2 ** 32);
  let length = 0;
  for (const part of parts)
    length = typeof part === "number" ? putInteger(part, length) : putText(part, length);
  sipHash128(key, message, length, hash);
  return new Philox(hash[0]!, hash[1]!, hash[2]!, hash[3]!);
}

/** 0 .. count - 1 in the order that `shuffle` gives them. */
export function permutation(random: Random, count: number): Uint32Array {
  const items = new Uint32Array(count);
  for (let at = 0; at < count; at++) items[at] = at;
  for (let last = count - 1; last > 0; last--) {
    const other = random.below(last + 1);
    const item = items[last]!;
    items[last] = items[other]!;
    items[other] = item;
  }
  return items;
}

function wordOf(value: number): number {
  if (!(Number.isSafeInteger(value) && value >= 0)) {
    throw new StreamError(
      "BAD_OPTION",
      `a seed or key is ${value}; it must be an integer from 0 to 2^53 - 1`,
    );
  }
  return value >>> 0;
}

function room(length: number): void {
  if (length <= message.length) return;
  const larger = new Uint8Array(length * 2);
  larger.set(message);
  message = larger;
}

function putWord(value: number, at: number): void {
  message[at] = value;
  message[at + 1] = value >>> 8;
  message[at + 2] = value >>> 16;
  message[at + 3] = value >>> 24;
}

/** 0x01 and 8 bytes, little endian; returns the end. */
function putInteger(value: number, at: number): number {
  room(at + 9);
  message[at] = 1;
  putWord(wordOf(value), at + 1);
  putWord(Math.floor(value / 2 ** 32), at + 5);
  return at + 9;
}

/** 0x02, 4 bytes of length, UTF-8. */
function putText(text: string, at: number): number {
  room(at + 5 + text.length * 3);
  message[at] = 2;
  const start = at + 5;
  let end = start;
  for (let place = 0; place < text.length; place++) {
    const code = text.charCodeAt(place);
    if (code > 0x7f) {
      if (!text.isWellFormed())
        throw new StreamError(
          "BAD_OPTION",
          `a key is ${JSON.stringify(text)}; it must be well-formed Unicode`,
        );
      end = start + encoder.encodeInto(text, message.subarray(start)).written;
      break;
    }
    message[end++] = code;
  }
  putWord(end - start, at + 1);
  return end;
}

const encoder = new TextEncoder();
