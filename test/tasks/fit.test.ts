import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fitSides, squareSide, type Limits } from "../../src/tasks/fit.ts";

const limits = (change: Partial<Limits> = {}): Limits => ({
  across: 28,
  down: 28,
  minPixels: 3_136,
  maxPixels: 401_408,
  fit: "crop",
  ...change,
});

describe("fitSides", () => {
  it.each([
    // COCO's usual sides, and what is cut off them.
    [640, 480, limits(), { width: 616, height: 476, scale: 1 }],
    [500, 375, limits(), { width: 476, height: 364, scale: 1 }],
    [500, 375, limits({ across: 84, down: 84 }), { width: 420, height: 336, scale: 1 }],
    [
      500,
      375,
      limits({ across: 84, down: 84, fit: "resize" }),
      { width: 504, height: 336, scale: 504 / 500 },
    ],
    [56, 56, limits(), { width: 56, height: 56, scale: 1 }],
    [56, 56, limits({ fit: "resize" }), { width: 56, height: 56, scale: 1 }],
    // Above the limit, but not once it is cut: nothing is scaled for it.
    [640, 640, limits(), { width: 616, height: 616, scale: 1 }],
    // 644 x 644 would be above the limit.
    [650, 650, limits(), { width: 616, height: 616, scale: Math.sqrt(401_408 / (650 * 650)) }],
    [55, 55, limits({ fit: "resize" }), { width: 56, height: 56, scale: 56 / 55 }],
  ])("%d x %d %o", (width, height, given, expected) => {
    expect(fitSides(width, height, given)).toEqual(expected);
  });

  it.each([
    [
      55,
      500,
      limits({ minPixels: 65_536 }),
      /55 x 500 pixels hold no multiple of 28 x 28 with 65536 to 401408 pixels/,
    ],
    [27, 4_000, limits(), /27 x 4000/],
    [48, 48, limits({ fit: "resize" }), /48 x 48/],
    [55, 55, limits(), /55 x 55/],
  ])("%d x %d can't be shown", (width, height, given, reason) => {
    const fit = fitSides(width, height, given);
    expect("unusable" in fit && fit.detail).toMatch(reason);
  });

  it("keeps every promise, for any photo and any limits", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5_000 }),
        fc.integer({ min: 1, max: 5_000 }),
        fc.integer({ min: 1, max: 128 }),
        fc.integer({ min: 1, max: 128 }),
        fc.constantFrom(0, 784, 3_136, 65_536),
        fc.constantFrom(100_352, 401_408, 1_003_520),
        fc.constantFrom("crop" as const, "resize" as const),
        (width, height, across, down, minPixels, maxPixels, fit) => {
          const given = { across, down, minPixels, maxPixels, fit };
          const got = fitSides(width, height, given);
          const most =
            Math.min(1, Math.sqrt(maxPixels / width / height)) * (fit === "crop" ? 1 : 1.15);
          if ("unusable" in got) {
            // Honest only if the plain cut really breaks a limit.
            const cut = Math.floor(width / across) * across * Math.floor(height / down) * down;
            expect(cut === 0 || cut < minPixels || cut > maxPixels).toBe(true);
            return;
          }
          expect(got.width % across).toBe(0);
          expect(got.height % down).toBe(0);
          const pixels = got.width * got.height;
          expect(pixels).toBeGreaterThanOrEqual(Math.max(1, minPixels));
          expect(pixels).toBeLessThanOrEqual(maxPixels);
          if (got.scale !== 1) expect(got.scale).toBeLessThanOrEqual(most + 1e-9);
          if (got.scale !== 1)
            expect(got.scale).toBeGreaterThanOrEqual((most / 1.15) * 0.85 - 1e-9);
          // Never more than the photo has.
          expect(got.width).toBeLessThanOrEqual(width * got.scale + 1e-5);
          expect(got.height).toBeLessThanOrEqual(height * got.scale + 1e-5);
          // Cropping loses less than one multiple a side.
          if (fit === "crop") expect(got.width + across).toBeGreaterThan(width * got.scale - 1e-5);
          if (fit === "crop") expect(got.height + down).toBeGreaterThan(height * got.scale - 1e-5);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe("squareSide", () => {
  it.each([
    [224, 28, 3_136, 224],
    [224, 32, 3_136, 224],
    [224, 32, 65_536, 256],
    [225, 28, 3_136, 224],
    [30, 28, 3_136, 56],
    [1_000, 28, 3_136, 616],
  ])("%d with factor %d and at least %d pixels", (side, factor, minPixels, expected) => {
    expect(squareSide(side, { factor, minPixels, maxPixels: 401_408, fit: "crop" })).toBe(expected);
  });

  it("says where there is none", () => {
    expect(
      squareSide(224, { factor: 700, minPixels: 3_136, maxPixels: 401_408, fit: "crop" }),
    ).toEqual({
      unusable: "no such square",
      detail: "no square of multiples of 700 has 3136 to 401408 pixels",
    });
  });
});
