/** Rewards of the paper, section 3.2.2, by the rules of docs/rewards-rules.md. python/ssl_r1/rewards.py gives the same results. */
import { canonical, read, type Canonical } from "./answer.ts";
import { extract, wellFormed } from "./extract.ts";
import { scoreOptions, type Partial, type ScoreOptions } from "./options.ts";

export interface Score {
  /** 0 .. 1; a fraction only for sequences. */
  readonly accuracy: number;
  /** 0 or 1. */
  readonly format: number;
  /** accuracyWeight * accuracy + formatWeight * format. */
  readonly total: number;
  /** Every value is right, as this parser reads it. */
  readonly exact: boolean;
  /** The box holds the canonical answer character for character: what a bare comparison of strings would count. */
  readonly exactString: boolean;
  /** The box could be read as an answer of the right kind and length, right or wrong. */
  readonly parsed: boolean;
  /** The text of the box that counts, word for word; null without one. */
  readonly extracted: string | null;
}

/**
 * Scores one completion against the canonical answer of its puzzle, in time proportional to its length. Never throws for any completion;
 * throws BAD_OPTION for an answer that is not canonical and for wrong options.
 */
export function score(completion: string, answer: string, options: ScoreOptions = {}): Score {
  const set = scoreOptions(options);
  const wanted = canonical(answer);
  const extracted = extract(completion);
  const values = extracted === null ? null : read(extracted, wanted);
  const matches = values === null ? 0 : countMatches(values, wanted.values);
  const accuracy = values === null ? 0 : accuracyOf(values, wanted, matches, set.partial);
  const format = wellFormed(completion, extracted, set) ? 1 : 0;
  return {
    accuracy,
    format,
    total: set.accuracyWeight * accuracy + set.formatWeight * format,
    exact: matches === wanted.values.length,
    exactString: extracted === answer,
    parsed: values !== null,
    extracted,
  };
}

function countMatches(values: readonly string[], wanted: readonly string[]): number {
  return values.filter((value, place) => value === wanted[place]).length;
}

function accuracyOf(
  values: readonly string[],
  wanted: Canonical,
  matches: number,
  partial: Partial,
): number {
  if (wanted.kind === "sequence" && partial === "permutation") {
    // The wanted values are a permutation, so n different ones among them are one too.
    const known = new Set(wanted.values);
    if (new Set(values).size < values.length || !values.every((value) => known.has(value)))
      return 0;
  }
  return matches / wanted.values.length;
}
