import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { scoreDefaults, scoreOptions, type ScoreOptions } from "../../src/rewards/options.ts";
import { score } from "../../src/rewards/score.ts";
import { vectors, wireOptions, wireScore, type Vector } from "./vectors.ts";

describe("the shared vectors", () => {
  it("are many, and each has a name of its own", () => {
    expect(vectors.vectors.length).toBeGreaterThanOrEqual(250);
    expect(new Set(vectors.vectors.map((vector) => vector.name)).size).toBe(vectors.vectors.length);
  });

  it("state the defaults", () => {
    expect(wireOptions(scoreDefaults)).toEqual(vectors.defaults);
  });

  it.each(vectors.vectors.map((vector): [string, Vector] => [vector.name, vector]))(
    "%s",
    (_, vector) => {
      if (vector.error === undefined) expect(wireScore(vector)).toEqual(vector.expect);
      else expect(() => wireScore(vector)).toThrow(expect.objectContaining({ code: vector.error }));
    },
  );
});

const shuffled = (n: number) =>
  fc.shuffledSubarray(
    Array.from({ length: n }, (_, place) => place + 1),
    { minLength: n, maxLength: n },
  );
const permutation = fc.integer({ min: 2, max: 12 }).chain(shuffled);
const canonical = fc.oneof(
  fc.integer({ min: 0, max: 2 ** 53 - 1 }).map(String),
  fc.constantFrom("A", "B", "C", "D"),
  permutation.map((places) => places.join(", ")),
);
const boxed = (content: string) => `<think>r</think>\\boxed{${content}}`;

/** Pieces that make up what the parser looks for, whole and broken. */
const pieces =
  "<think> </think> <THINK> \\boxed{ \\boxed \\text{ { } $ ( ) [ ] , 、 ，  3 1 2 0 90 A b . ° degrees ^\\circ \\ \ud800 \udc00 😀 \0".split(
    " ",
  );
const nasty = fc
  .array(fc.constantFrom(...pieces, " ", "\n", "\r", "\t", "\u00a0", "\u3000", "２", "ａ", "｝"), {
    maxLength: 40,
  })
  .map((parts) => parts.join(""));
const weight = fc.double({ min: 0, max: 1e6, noNaN: true });
const options: fc.Arbitrary<ScoreOptions> = fc.record(
  {
    accuracyWeight: weight,
    formatWeight: weight,
    partial: fc.constantFrom("permutation" as const, "plain" as const),
    thinkOpened: fc.boolean(),
    minThink: fc.nat({ max: 5 }),
  },
  { requiredKeys: [] },
);

describe("score", () => {
  it("gives full marks to the canonical answer in the canonical form", () => {
    fc.assert(
      fc.property(
        canonical,
        fc.constantFrom("permutation" as const, "plain" as const),
        (answer, partial) => {
          expect(score(boxed(answer), answer, { partial })).toEqual({
            accuracy: 1,
            format: 1,
            total: 2,
            exact: true,
            exactString: true,
            parsed: true,
            extracted: answer,
          });
        },
      ),
    );
  });

  it("throws for no completion, and its total is the weighted sum", () => {
    fc.assert(
      fc.property(
        fc.oneof(nasty, fc.string({ unit: "binary" })),
        canonical,
        options,
        (completion, answer, given) => {
          const result = score(completion, answer, given);
          const { accuracyWeight, formatWeight } = { ...scoreDefaults, ...given };
          expect(result.total).toBe(
            accuracyWeight * result.accuracy + formatWeight * result.format,
          );
          expect([0, 1]).toContain(result.format);
          expect(result.exact).toBe(result.accuracy === 1);
          if (result.exactString) expect(result.exact).toBe(true);
          if (result.accuracy > 0) expect(result.parsed).toBe(true);
          if (result.parsed) expect(result.extracted).not.toBeNull();
          if (result.format === 1) expect(result.extracted).not.toBeNull();
        },
      ),
      { numRuns: 3000 },
    );
  });

  it("gives a permutation the fraction of right places", () => {
    const pair = fc.integer({ min: 2, max: 9 }).chain((n) => fc.tuple(shuffled(n), shuffled(n)));
    fc.assert(
      fc.property(
        pair,
        fc.constantFrom(",", " ", ", ", "、", "\n"),
        ([given, wanted], separator) => {
          const right = given.filter((value, place) => value === wanted[place]).length;
          for (const partial of ["permutation", "plain"] as const) {
            const result = score(boxed(given.join(separator)), wanted.join(", "), { partial });
            expect(result).toMatchObject({
              accuracy: right / wanted.length,
              exact: right === wanted.length,
              parsed: true,
            });
          }
        },
      ),
    );
  });

  it("pays for numbers that are no permutation only under plain", () => {
    const pair = fc
      .integer({ min: 2, max: 6 })
      .chain((n) =>
        fc.tuple(fc.array(fc.nat({ max: n + 1 }), { minLength: n, maxLength: n }), shuffled(n)),
      );
    fc.assert(
      fc.property(pair, ([given, wanted]) => {
        const right = given.filter((value, place) => value === wanted[place]).length;
        const sorted = given.toSorted((a, b) => a - b);
        const isPermutation = sorted.every((value, place) => value === place + 1);
        const text = boxed(given.join(", "));
        expect(score(text, wanted.join(", "), { partial: "plain" }).accuracy).toBe(
          right / wanted.length,
        );
        expect(score(text, wanted.join(", ")).accuracy).toBe(
          isPermutation ? right / wanted.length : 0,
        );
      }),
    );
  });

  it("takes an option left undefined as left out", () => {
    expect(scoreOptions({ minThink: undefined } as unknown as ScoreOptions)).toEqual(scoreDefaults);
  });

  it.each([
    [{ accuracyWeight: Number.NaN }],
    [{ formatWeight: Number.POSITIVE_INFINITY }],
    [{ minThink: 2 ** 53 }],
    [{ weight: 1 }],
    [{ constructor: 1 }],
  ])("refuses %o", (given) => {
    expect(() => score("", "A", given as ScoreOptions)).toThrow(
      expect.objectContaining({ code: "BAD_OPTION" }),
    );
  });
});
