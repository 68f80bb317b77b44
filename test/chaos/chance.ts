import { createHash } from "node:crypto";

/** Draws that follow from a seed and a few words alone. */
export interface Chance {
  /** An integer from 0 to `bound` - 1. */
  below(bound: number): number;
  /** An integer from `least` to `most`, both included. */
  between(least: number, most: number): number;
  one<T>(items: readonly T[]): T;
  /** True this often, 0 to 1. */
  happens(share: number): boolean;
}

export function chanceOf(...words: readonly (string | number)[]): Chance {
  const hash = createHash("sha256").update(words.join("\n")).digest();
  let [a, b] = [hash.readUInt32LE(0), hash.readUInt32LE(4) | 1];
  /** Weyl sequence through a 32-bit finalizer: fast enough for millions of mutations. */
  const next = (): number => {
    a = (a + b) >>> 0;
    let x = a;
    x = Math.imul(x ^ (x >>> 16), 0x21f0_aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a_2d97);
    b = (b + 2) >>> 0;
    return ((x ^ (x >>> 15)) >>> 0) / 2 ** 32;
  };
  const below = (bound: number): number => Math.floor(next() * bound);
  return {
    below,
    between: (least, most) => least + below(most - least + 1),
    one: <T>(items: readonly T[]) => items[below(items.length)] as T,
    happens: (share) => next() < share,
  };
}
