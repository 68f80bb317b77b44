import { readFileSync } from "node:fs";
import type { ScoreOptions } from "../../src/rewards/options.ts";
import { score } from "../../src/rewards/score.ts";

/** Options and scores as both languages write them in JSON. */
export interface WireOptions {
  readonly accuracy_weight?: number;
  readonly format_weight?: number;
  readonly partial?: "permutation" | "plain";
  readonly think_opened?: boolean;
  readonly min_think?: number;
}

export interface WireScore {
  readonly accuracy: number;
  readonly format: number;
  readonly total: number;
  readonly exact: boolean;
  readonly exact_string: boolean;
  readonly parsed: boolean;
  readonly extracted: string | null;
}

export interface Question {
  readonly completion: string;
  readonly answer: string;
  readonly options: WireOptions;
}

export interface Vector extends Question {
  readonly name: string;
  readonly expect?: WireScore;
  readonly error?: string;
}

export interface Vectors {
  readonly about: string;
  readonly defaults: Required<WireOptions>;
  readonly vectors: readonly Vector[];
}

export const vectors: Vectors = JSON.parse(
  readFileSync(new URL("../vectors/rewards.json", import.meta.url), "utf8"),
) as Vectors;

function fromWire(options: WireOptions): ScoreOptions {
  const camel = (name: string) => name.replaceAll(/_[a-z]/g, (part) => part.slice(1).toUpperCase());
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [camel(name), value]),
  ) as ScoreOptions;
}

export function wireScore(question: Question): WireScore {
  const { exactString, ...rest } = score(
    question.completion,
    question.answer,
    fromWire(question.options),
  );
  return { ...rest, exact_string: exactString };
}

export function wireOptions(options: Required<ScoreOptions>): Required<WireOptions> {
  return {
    accuracy_weight: options.accuracyWeight,
    format_weight: options.formatWeight,
    partial: options.partial,
    think_opened: options.thinkOpened,
    min_think: options.minThink,
  };
}
