import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ordering } from "../../src/tasks/ordering/ordering.ts";
import type { OrderingOptions } from "../../src/tasks/ordering/options.ts";
import { presets, type Preset } from "../../src/tasks/task.ts";
import {
  bound,
  chiSquareBound,
  numbersOf,
  permutationStatistic,
  rightPart,
} from "./attackers-places.ts";
import {
  createHarness,
  flatPhoto,
  sizes28,
  sizes32,
  syntheticPhoto,
  type Photo,
} from "./harness.ts";

const harness = createHarness();
const options = (
  given: { readonly [key: string]: unknown } = {},
  preset: Preset = "robust",
): OrderingOptions => ordering.options(given, preset);

describe("options", () => {
  test("levels and presets", () => {
    expect(ordering.levels).toEqual(["3x3", "2x2"]);
    expect(options()).toEqual({ level: "3x3", grid: 3, minDifference: 5 });
    expect(options({ level: "2x2" })).toEqual({ level: "2x2", grid: 2, minDifference: 5 });
    expect(options({ level: "3x3" }, "paper")).toEqual({ level: "3x3", grid: 3, minDifference: 0 });
    expect(ordering.images(options())).toBe(9);
    expect(ordering.images(options({ level: "2x2" }))).toBe(4);
  });

  test.each([{ level: "5x5" }, { grid: 1 }, { grid: 2.5 }, { minDifference: -1 }, { rows: 3 }])(
    "%j is refused",
    (given) => {
      expect(() => options(given)).toThrow();
    },
  );
});

/** Puts the patches where the answer says: the photo's crop, if answer and patches are right. */
function reassemble(patches: readonly Photo[], answer: readonly number[]): Photo {
  const grid = Math.sqrt(patches.length);
  const { width, height } = patches[0] as Photo;
  const data = new Uint8Array(width * height * 3 * patches.length);
  for (const [place, number] of answer.entries()) {
    const patch = patches[number - 1] as Photo;
    const left = (place % grid) * width;
    const top = Math.floor(place / grid) * height;
    for (let y = 0; y < height; y++)
      data.set(
        patch.data.subarray(y * width * 3, (y + 1) * width * 3),
        ((top + y) * width * grid + left) * 3,
      );
  }
  return { name: "reassembled", group: "", width: width * grid, height: height * grid, data };
}

describe("make", () => {
  const photos = [syntheticPhoto(1), syntheticPhoto(2, 401, 230), syntheticPhoto(3, 640, 480)];

  test.each(["3x3", "2x2"])(
    "%s: the patches in the answer's order are the photo's crop, bit by bit",
    async (level) => {
      for (const preset of presets) {
        for (const [index, photo] of [...photos, ...photos].entries()) {
          const {
            made,
            images = [],
            unusable,
          } = await harness.make(ordering, options({ level }, preset), photo, { index });
          if (made === undefined) throw new Error(unusable);
          const grid = Number(level[0]);
          expect(images).toHaveLength(grid * grid);
          expect(made.labels).toEqual(images.map((_, k) => `Patch ${k + 1}`));
          expect(made.values).toEqual({ grid: level[0], patches: String(grid * grid) });
          expect(made.answer).toMatch(/^\d(, \d)*$/);
          const whole = reassemble(images, numbersOf(made.answer));
          const [x, y, width, height] = made.recipe["photo"] as [number, number, number, number];
          expect([whole.width, whole.height]).toEqual([width, height]);
          for (let row = 0; row < height; row++) {
            const expected = photo.data.subarray(
              ((y + row) * photo.width + x) * 3,
              ((y + row) * photo.width + x + width) * 3,
            );
            expect(
              Buffer.compare(whole.data.subarray(row * width * 3, (row + 1) * width * 3), expected),
            ).toBe(0);
          }
          for (const patch of images) expect([patch.width % 28, patch.height % 28]).toEqual([0, 0]);
        }
      }
    },
  );

  test("a scaled photo keeps seams that only the right order has", async () => {
    const { made, images = [] } = await harness.make(ordering, options(), photos[2] as Photo, {
      sizes: { ...sizes28, fit: "resize" },
    });
    const whole = reassemble(images, numbersOf(made?.answer as string));
    expect([whole.width, whole.height]).toEqual(made?.recipe["size"]);
    const seam = (image: Photo, x: number): number => {
      let sum = 0;
      for (let y = 0; y < image.height; y++) {
        for (let c = 0; c < 3; c++)
          sum += Math.abs(
            image.data[(y * image.width + x - 1) * 3 + c]! -
              image.data[(y * image.width + x) * 3 + c]!,
          );
      }
      return sum;
    };
    const side = whole.width / 3;
    expect(seam(whole, side)).toBeLessThan(1.5 * seam(whole, side - 9));
    const wrong = reassemble(images, numbersOf(made?.answer as string).toReversed());
    expect(seam(wrong, side)).toBeGreaterThan(1.5 * seam(whole, side));
  });

  test("every patch has the sizes the model takes, whatever the photo's size", async () => {
    const large = syntheticPhoto(9, 1100, 900);
    for (const sizes of [
      sizes28,
      sizes32,
      { ...sizes32, fit: "resize" as const },
      { ...sizes28, maxPixels: 20_000 },
    ]) {
      for (const level of ordering.levels) {
        const { images, unusable } = await harness.make(ordering, options({ level }), large, {
          sizes,
        });
        expect(unusable).toBeUndefined();
        for (const { width, height } of images ?? []) {
          expect([width % sizes.factor, height % sizes.factor]).toEqual([0, 0]);
          expect(width * height).toBeGreaterThanOrEqual(sizes.minPixels);
          expect(width * height).toBeLessThanOrEqual(sizes.maxPixels);
        }
      }
    }
  });

  test("patches that look alike are refused and counted; the paper's preset takes them", async () => {
    expect(await harness.make(ordering, options(), flatPhoto(300, 280))).toEqual({
      unusable: expect.stringContaining("alike"),
      rejects: { "patches alike": 1 },
    });
    expect(
      (await harness.make(ordering, options({}, "paper"), flatPhoto(300, 280))).made,
    ).toBeDefined();
    const half = syntheticPhoto(4, 336, 336);
    // The two lower patches of the left column are made the same.
    for (let y = 224; y < 336; y++)
      half.data.copyWithin(y * 336 * 3, (y - 112) * 336 * 3, (y - 112) * 336 * 3 + 112 * 3);
    expect((await harness.make(ordering, options(), half)).unusable).toContain("alike");
    expect((await harness.make(ordering, options({ level: "2x2" }), half)).made).toBeDefined();
  });

  test("a photo without room for the grid is refused", async () => {
    for (const photo of [syntheticPhoto(1, 83, 300), syntheticPhoto(1, 160, 160)]) {
      expect((await harness.make(ordering, options(), photo)).unusable).toBeDefined();
    }
  });

  test("the same puzzle twice", async () => {
    const once = await harness.make(ordering, options(), photos[0] as Photo, { index: 3 });
    expect(await harness.make(ordering, options(), photos[0] as Photo, { index: 3 })).toEqual(once);
  });
});

describe("leaks", () => {
  const COUNT = 4_200;
  const photos = Array.from({ length: 6 }, (_, k) => syntheticPhoto(200 + k, 180, 180));

  test.each(["3x3", "2x2"])(
    "%s: every order is as likely as any other, and all patches are of one size",
    async (level) => {
      const n = Number(level[0]) ** 2;
      const answers: (readonly number[])[] = [];
      const parts = new Map<string, number>();
      for (let index = 0; answers.length < COUNT; index++) {
        const { made, images = [] } = await harness.make(
          ordering,
          options({ level }),
          photos[index % photos.length] as Photo,
          { index, seed: 6 },
        );
        if (made === undefined) continue;
        const answer = numbersOf(made.answer);
        answers.push(answer);
        expect(new Set(images.map(({ width, height }) => `${width} x ${height}`)).size).toBe(1);
        const identity = answer.map((_, k) => k + 1);
        const guesses = {
          identity,
          reversed: identity.toReversed(),
          index: identity.map((k) => ((k + index) % n) + 1),
          "last answer": answers.at(-2) ?? identity,
        };
        for (const [name, guess] of Object.entries(guesses))
          parts.set(name, (parts.get(name) ?? 0) + rightPart(guess, answer));
      }
      const { statistic, freedom } = permutationStatistic(answers);
      expect(statistic).toBeLessThan(chiSquareBound(freedom));
      // One place in n is right, with variance 1: the fixed points of a uniform permutation.
      const limit = bound(parts.size) / n / Math.sqrt(COUNT);
      for (const [name, sum] of parts)
        expect(Math.abs(sum / COUNT - 1 / n), name).toBeLessThan(limit);
      const identities = answers.filter((answer) =>
        answer.every((value, k) => value === k + 1),
      ).length;
      if (n === 4)
        expect(Math.abs(identities / COUNT - 1 / 24)).toBeLessThan(
          bound(1) * Math.sqrt(23 / 24 / 24 / COUNT),
        );
    },
  );

  test("the statistic finds a shuffle that is never the identity", () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.constantFrom([2, 3, 1], [3, 1, 2], [2, 1, 3])), (stream) => {
        const answers = [...stream.take(900)];
        const { statistic, freedom } = permutationStatistic(answers);
        expect(statistic).toBeGreaterThan(chiSquareBound(freedom));
      }),
      { numRuns: 5 },
    );
  });
});
