import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BLUR_RADIUS, gaussianTaps, triangleTaps } from "../../src/images/taps.ts";

const sizes = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 4096 }));
const outputs = fc.integer({ min: 1, max: 300 });

describe("triangle", () => {
  test("weights are not negative, sum to 16384, name no input outside, and follow the real triangle to one unit", () => {
    fc.assert(
      fc.property(sizes, outputs, fc.constantFrom(2, 4), (input, output, multiple) => {
        const { taps, firsts, weights } = triangleTaps(input, output, multiple);
        expect(taps % multiple).toBe(0);
        const scale = input / output;
        const support = Math.max(1, scale);
        for (let x = 0; x < output; x++) {
          const centre = (x + 0.5) * scale;
          const real = (i: number): number => Math.max(0, 1 - Math.abs(i + 0.5 - centre) / support);
          let all = 0;
          for (
            let i = Math.max(0, Math.floor(centre - support));
            i < Math.min(input, centre + support + 1);
            i++
          ) {
            all += real(i);
          }
          let sum = 0;
          for (let k = 0; k < taps; k++) {
            const weight = weights[x * taps + k]!;
            const i = firsts[x]! + k;
            sum += weight;
            if (weight < 0 || (weight > 0 && i >= input))
              throw new Error(`weight ${weight} of input ${i}`);
            if (i < input && Math.abs(weight - (16384 * real(i)) / all) > 1.001) {
              throw new Error(
                `weight ${weight} of input ${i} for output ${x}: ${(16384 * real(i)) / all}`,
              );
            }
          }
          if (sum !== 16384) throw new Error(`sum ${sum}`);
          if (firsts[x]! < 0 || (input >= taps && firsts[x]! + taps > input))
            throw new Error(`first ${firsts[x]}`);
        }
      }),
      { numRuns: 200, seed: 1 },
    );
  });

  test("nothing is lost of one pixel a pixel", () => {
    const { taps, firsts, weights } = triangleTaps(9, 9, 2);
    for (let x = 0; x < 9; x++) {
      expect(
        Array.from(weights.subarray(x * taps, (x + 1) * taps)).indexOf(16384) + firsts[x]!,
      ).toBe(x);
    }
  });
});

describe("gaussian", () => {
  test("weights sum to 16384 and follow the bell to half a unit", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.05, max: 5, noNaN: true }), (sigma) => {
        const { radius, weights } = gaussianTaps(sigma);
        expect(radius % 2).toBe(0);
        expect(weights.length).toBe(radius + 1);
        expect(weights.reduce((sum, weight, k) => sum + (k === 0 ? weight : 2 * weight), 0)).toBe(
          16384,
        );
        const bell = (k: number): number => Math.exp(-(k * k) / (2 * sigma * sigma));
        let all = 0;
        for (let k = -BLUR_RADIUS; k <= BLUR_RADIUS; k++) all += bell(k);
        for (let k = 1; k <= BLUR_RADIUS; k++) {
          expect(Math.abs((weights[k] ?? 0) - (16384 * bell(k)) / all)).toBeLessThan(0.501);
        }
      }),
      { numRuns: 300, seed: 1 },
    );
  });
});
