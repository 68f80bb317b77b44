import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cos, exp, log, sin } from "../../src/images/numeric.ts";

/** Evenly over the range, and a few places where a reduction might slip. */
function grid(low: number, high: number, more: readonly number[] = []): number[] {
  const count = 20_000;
  return [
    ...Array.from({ length: count + 1 }, (_, i) => low + ((high - low) * i) / count),
    ...more,
  ];
}

/** The largest of `error` over the grid. */
const worst = (points: readonly number[], error: (x: number) => number): number =>
  points.reduce((most, x) => Math.max(most, error(x)), 0);

describe("against Math", () => {
  const quarters = Array.from({ length: 41 }, (_, i) => ((i - 20) * Math.PI) / 4);

  test("sin and cos", () => {
    const points = grid(-8, 8, [...quarters, 0, -0, 1e-300]);
    expect(worst(points, (x) => Math.abs(sin(x) - Math.sin(x)))).toBeLessThan(1e-15);
    expect(worst(points, (x) => Math.abs(cos(x) - Math.cos(x)))).toBeLessThan(1e-15);
    const far = grid(-1000, 1000);
    expect(worst(far, (x) => Math.abs(sin(x) - Math.sin(x)))).toBeLessThan(1e-13);
    expect(worst(far, (x) => Math.abs(cos(x) - Math.cos(x)))).toBeLessThan(1e-13);
  });

  test("exp, relative", () => {
    const points = grid(-300, 10, [0, -0, Math.LN2, -Math.LN2, 0.5 * Math.LN2, 1, 699]);
    expect(worst(points, (x) => Math.abs(exp(x) / Math.exp(x) - 1))).toBeLessThan(1e-14);
    expect(exp(-Infinity)).toBe(0);
    expect(exp(-1e9)).toBe(0);
  });

  test("log", () => {
    const points = grid(1e-6, 4, [
      1e-6,
      1e6,
      Math.SQRT2,
      Math.SQRT1_2,
      Math.E,
      5e-324,
      1.7e308,
    ]).concat(grid(4, 1e6));
    expect(
      worst(points, (x) => Math.abs(log(x) - Math.log(x)) / Math.max(1, Math.abs(Math.log(x)))),
    ).toBeLessThan(1e-15);
    for (const x of [0, -1, NaN, Infinity]) expect(() => log(x)).toThrow(RangeError);
  });
});

test("exact where it should be", () => {
  expect([sin(0), cos(0), exp(0), log(1)]).toEqual([0, 1, 1, 0]);
});

test("sine is odd, cosine even, their squares sum to one, exp and log are inverse", () => {
  fc.assert(
    fc.property(fc.double({ min: -8, max: 8, noNaN: true }), (x) => {
      expect(sin(-x)).toBeCloseTo(-sin(x), 14);
      expect(cos(-x)).toBeCloseTo(cos(x), 14);
      expect(sin(x) * sin(x) + cos(x) * cos(x)).toBeCloseTo(1, 14);
      expect(log(exp(x))).toBeCloseTo(x, 13);
    }),
    { numRuns: 500, seed: 1 },
  );
});

const bits = (x: number): string => {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, x);
  return view.getBigUint64(0).toString(16);
};

test("the bits are these", () => {
  // a change here changes pixels: it raises the version of the stream format
  expect([sin(1), cos(1), exp(1), log(10), sin(-7.5), exp(-0.125)].map(bits)).toEqual([
    "3feaed548f090cee",
    "3fe14a280fb5068c",
    "4005bf0a8b14576a",
    "40026bb1bbb55516",
    "bfee041886fcae30",
    "3fec3d6a24ed8222",
  ]);
});
