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
