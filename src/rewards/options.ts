import { StreamError } from "../errors.ts";

/** permutation: a sequence scores only where it is a true permutation; plain: any n numbers do, the paper's bare fraction. */
export const partials = ["permutation", "plain"] as const;
export type Partial = (typeof partials)[number];

export interface ScoreOptions {
  /** Factor of the accuracy in the total; finite, >= 0. */
  readonly accuracyWeight?: number;
  /** Factor of the format in the total; finite, >= 0. */
  readonly formatWeight?: number;
  readonly partial?: Partial;
  /** The prompt ended in `<think>`, so the completion must not repeat it. */
  readonly thinkOpened?: boolean;
  /** Characters other than spaces that the reasoning must have for the format reward; an integer >= 0. */
  readonly minThink?: number;
}

/** Weights as in the paper, section 3.2.2: total = accuracy + format. */
export const scoreDefaults: Required<ScoreOptions> = {
  accuracyWeight: 1,
  formatWeight: 1,
  partial: "permutation",
  thinkOpened: false,
  minThink: 0,
};

const rules: {
  readonly [name in keyof ScoreOptions]-?: readonly [
    test: (value: unknown) => boolean,
    says: string,
  ];
} = {
  accuracyWeight: [isWeight, "a finite number >= 0"],
  formatWeight: [isWeight, "a finite number >= 0"],
  partial: [
    (value) => partials.some((partial) => partial === value),
    partials.map((name) => `"${name}"`).join(" or "),
  ],
  thinkOpened: [(value) => typeof value === "boolean", "true or false"],
  minThink: [(value) => Number.isSafeInteger(value) && (value as number) >= 0, "an integer >= 0"],
};

function isWeight(value: unknown): boolean {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

/** All options, the missing ones from `scoreDefaults`. Throws BAD_OPTION for a wrong name, type or range. */
export function scoreOptions(given: ScoreOptions = {}): Required<ScoreOptions> {
  const options = { ...scoreDefaults };
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(rules, name))
      throw new StreamError("BAD_OPTION", `score has no option ${JSON.stringify(name)}`);
    if (value === undefined) continue;
    const [test, says] = rules[name as keyof ScoreOptions];
    if (!test(value))
      throw new StreamError("BAD_OPTION", `${name} must be ${says}, got ${String(value)}`);
    Object.assign(options, { [name]: value });
  }
  return options;
}
