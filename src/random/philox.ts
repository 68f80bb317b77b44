import { StreamError } from "../errors.ts";
import type { Random } from "./random.ts";

const two32 = 2 ** 32;
const two53 = 2 ** 53;

/** High word of a 32 x 32 bit product, from 16-bit halves; no sum below exceeds 32 bits. */
function high(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = (Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16)) | 0;
  const other = (Math.imul(aLow, bHigh) + (middle & 0xffff)) | 0;
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (other >>> 16)) | 0;
}

/**
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3, 2011), checked against Random123's kat_vectors.
 * The low two counter words count blocks from 0; words of a block are drawn in order. A class, because a dozen of these are made per puzzle
 * and a closure would allocate every method anew.
 */
export class Philox implements Random {
  readonly #key0: number;
  readonly #key1: number;
  #counter0 = 0;
  #counter1 = 0;
  readonly #counter2: number;
  readonly #counter3: number;
  #word0 = 0;
  #word1 = 0;
  #word2 = 0;
  #word3 = 0;
  #drawn = 4;

  /** 32-bit words. */
  constructor(
    key0: number,
    key1: number,
    counter2: number,
    counter3: number,
    counter0 = 0,
    counter1 = 0,
  ) {
    this.#key0 = key0 | 0;
    this.#key1 = key1 | 0;
    this.#counter0 = counter0 | 0;
    this.#counter1 = counter1 | 0;
    this.#counter2 = counter2 | 0;
    this.#counter3 = counter3 | 0;
  }

  #block(): void {
    let key0 = this.#key0;
    let key1 = this.#key1;
    let a = this.#counter0;
    let b = this.#counter1;
    let c = this.#counter2;
    let d = this.#counter3;
    for (let round = 0; round < 10; round++) {
      const first = Math.imul(0xd2511f53, a);
      const second = Math.imul(0xcd9e8d57, c);
      const high0 = high(0xd2511f53, a);
      a = high(0xcd9e8d57, c) ^ b ^ key0;
      b = second;
      c = high0 ^ d ^ key1;
      d = first;
      key0 = (key0 + 0x9e3779b9) | 0;
      key1 = (key1 + 0xbb67ae85) | 0;
    }
    this.#word0 = a;
    this.#word1 = b;
    this.#word2 = c;
    this.#word3 = d;
    this.#counter0 = (this.#counter0 + 1) | 0;
    if (this.#counter0 === 0) this.#counter1 = (this.#counter1 + 1) | 0;
    this.#drawn = 0;
  }

  uint32(): number {
    if (this.#drawn === 4) this.#block();
    switch (this.#drawn++) {
      case 0:
        return this.#word0 >>> 0;
      case 1:
        return this.#word1 >>> 0;
      case 2:
        return this.#word2 >>> 0;
      default:
        return this.#word3 >>> 0;
    }
  }

  below(bound: number): number {
    if (!(bound >= 1 && bound <= two53 && Number.isInteger(bound))) {
      throw new StreamError(
        "INTERNAL",
        `a random number below ${bound}: the bound must be an integer from 1 to 2^53`,
      );
    }
    // A draw is rejected when the whole stretch of `bound` numbers that it lies in does not fit below the end: the same as draw >= floor(end / bound) * bound.
    if (bound <= two32) {
      for (;;) {
        const draw = this.uint32();
        const rest = draw % bound;
        if (draw - rest <= two32 - bound) return rest;
      }
    }
    for (;;) {
      const draw = (this.uint32() >>> 11) * two32 + this.uint32();
      const rest = draw % bound;
      if (draw - rest <= two53 - bound) return rest;
    }
  }

  between(low: number, top: number): number {
    return low + this.below(top - low + 1);
  }

  unit(): number {
    return this.uint32() / two32;
  }

  uniform(low: number, top: number): number {
    return low + (top - low) * this.unit();
  }

  chance(p: number): boolean {
    return this.unit() < p;
  }

  shuffle<T>(items: T[]): T[] {
    for (let last = items.length - 1; last > 0; last--) {
      const other = this.below(last + 1);
      const item = items[last] as T;
      items[last] = items[other] as T;
      items[other] = item;
    }
    return items;
  }
}
