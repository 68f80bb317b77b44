import { describe, expect, it } from "vitest";
import { rotation, type RotationOptions } from "../../src/tasks/rotation/rotation.ts";
import type { Sizes } from "../../src/tasks/task.ts";
import {
  createHarness,
  paintedPhoto,
  samplePhotos,
  sizes28,
  sizes32,
  syntheticPhoto,
  type MakeRequest,
  type Photo,
} from "./harness.ts";

const harness = createHarness();
const photos = samplePhotos(16);
const options = (given: object = {}, preset: "robust" | "paper" = "robust"): RotationOptions =>
  rotation.options({ ...given }, preset);

async function puzzle(
  photo: Photo,
  given: RotationOptions,
  request?: MakeRequest,
): Promise<{ degrees: number; upright: Photo; turned: Photo; recipe: { [key: string]: unknown } }> {
  const { made, images, unusable } = await harness.make(rotation, given, photo, request);
  if (made === undefined || images === undefined) throw new Error(unusable);
  const [upright, turned] = images;
  expect(images).toHaveLength(rotation.images(given));
  return { degrees: Number(made.answer), upright: upright!, turned: turned!, recipe: made.recipe };
}

/** A quarter turn clockwise, from its definition: what was at the top is at the right. */
function clockwise({ name, group, width, height, data }: Photo): Photo {
  const turned = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++)
      turned.set(
        data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
        (x * height + (height - 1 - y)) * 3,
      );
  }
  return { name, group, width: height, height: width, data: turned };
}

const pixel = ({ width, data }: Photo, x: number, y: number): readonly [number, number, number] => {
  const at = (y * width + x) * 3;
  return [data[at]!, data[at + 1]!, data[at + 2]!];
};

describe("options", () => {
  it("come from level and preset, and what the user wrote goes over both", () => {
    expect(options()).toEqual({ level: "4x90", angles: 4, frame: "square", minDifference: 6 });
    expect(options({ level: "8x45" })).toEqual({
      level: "8x45",
      angles: 8,
      frame: "square",
      minDifference: 6,
    });
    expect(options({}, "paper")).toEqual({
      level: "4x90",
      angles: 4,
      frame: "full",
      minDifference: 0,
    });
    expect(options({ minDifference: 3, frame: "full" })).toMatchObject({
      minDifference: 3,
      frame: "full",
    });
    for (const wrong of [
      { angles: 6 },
      { frame: "circle" },
      { minDifference: -1 },
      { minDifference: "6" },
      { angle: 4 },
    ]) {
      expect(() => options(wrong)).toThrow(Object.keys(wrong)[0]);
    }
  });
});

describe.each([
  ["square", "robust"],
  ["full", "paper"],
] as const)("quarter turns, %s frame", (frame, preset) => {
  it("turn every pixel clockwise and change none", async () => {
    const seen = new Set<number>();
    for (const [index, photo] of [...photos, ...photos].entries()) {
      const { degrees, upright, turned, recipe } = await puzzle(photo, options({}, preset), {
        index,
      });
      let expected = upright;
      for (let done = 0; done < degrees; done += 90) expected = clockwise(expected);
      expect([turned.width, turned.height]).toEqual([expected.width, expected.height]);
      expect(Buffer.compare(turned.data, expected.data)).toBe(0);
      // Image 1 is the box of the recipe, untouched.
      const [x = 0, y = 0, width = 0, height = 0] = recipe["box"] as number[];
      expect([width, height]).toEqual([upright.width, upright.height]);
      if (frame === "square") expect(width).toBe(height);
      for (let row = 0; row < height; row++) {
        const from = ((y + row) * photo.width + x) * 3;
        expect(
          Buffer.compare(
            photo.data.subarray(from, from + width * 3),
            upright.data.subarray(row * width * 3, (row + 1) * width * 3),
          ),
        ).toBe(0);
      }
      seen.add(degrees);
    }
    expect([...seen].toSorted((a, b) => a - b)).toEqual([0, 90, 180, 270]);
  });
});

describe("eighth turns", () => {
  /** Red grows to the right, green downwards, slowly enough that interpolation reproduces them. */
  const ramp = paintedPhoto("ramp", 400, 330, (x, y) => [x / 2, y / 2, 90]);

  it("show, at every pixel, the place that the recipe and the angle say", async () => {
    const seen = new Set<number>();
    for (let index = 0; index < 60; index++) {
      const { degrees, upright, turned, recipe } = await puzzle(
        ramp,
        options({ level: "8x45", minDifference: 0 }),
        { index },
      );
      seen.add(degrees);
      const [left = 0, top = 0, outer = 0] = recipe["box"] as number[];
      const shifts = recipe["shifts"] as number[];
      const side = upright.width;
      expect([side, upright.height, turned.width, turned.height]).toEqual([side, side, side, side]);
      for (const [image, angle, shiftX, shiftY] of [
        [upright, 0, shifts[0]!, shifts[1]!],
        [turned, degrees, shifts[2]!, shifts[3]!],
      ] as const) {
        const cos = Math.cos((angle * Math.PI) / 180);
        const sin = Math.sin((angle * Math.PI) / 180);
        for (const [x, y] of [
          [0, 0],
          [side - 1, 0],
          [0, side - 1],
          [side - 1, side - 1],
          [side >> 1, side >> 2],
        ] as const) {
          // A clockwise turn moves what lies (u, v) from the centre to (u cos - v sin, u sin + v cos), v downwards; this is its inverse.
          const dx = 1.5 * (x + 0.5 - side / 2);
          const dy = 1.5 * (y + 0.5 - side / 2);
          const sourceX = left + outer / 2 + shiftX + dx * cos + dy * sin;
          const sourceY = top + outer / 2 + shiftY - dx * sin + dy * cos;
          // The ramp is stored in whole levels, two pixels a level.
          expect(Math.abs(pixel(image, x, y)[0] - sourceX / 2)).toBeLessThan(1.2);
          expect(Math.abs(pixel(image, x, y)[1] - sourceY / 2)).toBeLessThan(1.2);
          expect(pixel(image, x, y)[2]).toBe(90);
        }
      }
    }
    expect([...seen].toSorted((a, b) => a - b)).toEqual([0, 45, 90, 135, 180, 225, 270, 315]);
  });

  it("never show what lies outside of the photo, at any size", async () => {
    for (const [index, [width, height]] of (
      [
        [125, 125],
        [180, 130],
        [257, 400],
        [639, 480],
        [1_500, 1_400],
      ] as const
    ).entries()) {
      const white = paintedPhoto(`white-${width}`, width, height, () => [255, 255, 255]);
      for (let turn = 0; turn < 6; turn++) {
        const { turned, upright } = await puzzle(
          white,
          options({ level: "8x45", minDifference: 0 }),
          { index: index * 10 + turn },
        );
        expect(Math.min(...new Set(turned.data), ...new Set(upright.data))).toBe(255);
      }
    }
  });

  it("of the paper show the full frame, or the square inscribed in it", async () => {
    const seen = new Set<number>();
    for (let index = 0; index < 40; index++) {
      const { degrees, upright, turned } = await puzzle(ramp, options({ level: "8x45" }, "paper"), {
        index,
      });
      seen.add(degrees % 180);
      expect([upright.width, upright.height]).toEqual([392, 308]);
      // 308 / sqrt 2 = 217.8
      const expected =
        degrees % 90 === 45 ? [196, 196] : degrees % 180 === 90 ? [308, 392] : [392, 308];
      expect([turned.width, turned.height]).toEqual(expected);
      if (degrees === 45) {
        const [red, green] = pixel(upright, 196, 154);
        // The middle stays, and what is right of it in the turned image was above right before.
        expect(Math.abs(pixel(turned, 98, 98)[0] - red)).toBeLessThanOrEqual(1);
        expect(pixel(turned, 180, 98)[0]).toBeGreaterThan(red + 20);
        expect(pixel(turned, 180, 98)[1]).toBeLessThan(green - 20);
      }
    }
    expect(seen).toEqual(new Set([0, 45, 90, 135]));
  });
});

describe("photos that can't be asked about", () => {
  type Paint = (x: number, y: number) => readonly [number, number, number];
  const [red, blue] = [[220, 40, 40] as const, [30, 30, 160] as const];

  // x and y from the middle. The sides leave a crop no choice, so that the middle is the middle of what is shown.
  it.each<[string, Paint]>([
    ["flat", () => blue],
    ["the same after every turn", (x, y) => (x * x + y * y < 4_000 ? red : blue)],
    ["the same after half a turn", (x, y) => (x - y > 0 === x + y > 0 ? red : blue)],
    [
      "the same after a quarter turn",
      (x, y) => (x * y > 0 === Math.abs(x) > Math.abs(y) ? red : blue),
    ],
  ])("%s", async (name, paint) => {
    for (const [level, side] of [
      ["4x90", 280],
      ["8x45", 242],
    ] as const) {
      const photo = paintedPhoto(`${name} ${side}`, side, side, (x, y) =>
        paint(x - side / 2, y - side / 2),
      );
      const outcome = await harness.make(rotation, options({ level }), photo);
      expect(outcome.unusable).toMatch(/two of the [48] turns look alike/);
      expect(outcome.rejects).toEqual({ "turns look alike": 1 });
      const asked = await harness.make(rotation, options({ level, minDifference: 0 }), photo);
      expect(asked.made?.answer).toMatch(/^\d+$/);
    }
  });

  it("are none of the sample photos", async () => {
    for (const level of ["4x90", "8x45"])
      for (const photo of photos)
        expect((await harness.make(rotation, options({ level }), photo)).unusable).toBeUndefined();
  });

  it.each([
    [1, 1, "4x90", "robust", /1 x 1 pixels hold no multiple/],
    [
      55,
      300,
      "4x90",
      "robust",
      /55 x 55 pixels hold no multiple of 28 x 28 with 3136 to 401408 pixels/,
    ],
    [2, 2, "8x45", "robust", /too small to be turned by 45/],
    [
      120,
      120,
      "8x45",
      "robust",
      /within a square that can be turned by 45 degrees, 54 x 54 pixels hold no multiple/,
    ],
    [560, 60, "4x90", "paper", /560 x 60 pixels are more elongated than 8 to 1/],
    [300, 78, "8x45", "paper", /the square within 280 x 56 pixels turned by 45 degrees/],
  ] as const)("%d x %d, %s, %s", async (width, height, level, preset, reason) => {
    const photo = syntheticPhoto(1, width, height);
    for (let index = 0; index < 8; index++)
      expect(
        (await harness.make(rotation, options({ level }, preset), photo, { index })).unusable,
      ).toMatch(reason);
  });
});

describe("sizes", () => {
  it.each([
    [sizes28, "crop"],
    [sizes28, "resize"],
    [sizes32, "crop"],
    [sizes32, "resize"],
  ] as const)("are multiples within the limits: %o, %s", async (sizes: Sizes, fit) => {
    const large = syntheticPhoto(7, 1_500, 1_100);
    for (const photo of [...photos.slice(0, 5), large]) {
      for (const [level, preset] of [
        ["4x90", "robust"],
        ["8x45", "robust"],
        ["4x90", "paper"],
        ["8x45", "paper"],
      ] as const) {
        for (let index = 0; index < 3; index++) {
          const outcome = await harness.make(rotation, options({ level }, preset), photo, {
            index,
            sizes: { ...sizes, fit },
          });
          for (const { width, height } of outcome.images ?? []) {
            expect([width % sizes.factor, height % sizes.factor]).toEqual([0, 0]);
            expect(width * height).toBeGreaterThanOrEqual(sizes.minPixels);
            expect(width * height).toBeLessThanOrEqual(sizes.maxPixels);
          }
          if (outcome.unusable !== undefined)
            expect(outcome.unusable).toMatch(/turned by 45 degrees/);
          if (photo === large && preset === "robust")
            expect(outcome.images?.[0]?.width).toBe(
              level === "4x90"
                ? Math.floor(633 / sizes.factor) * sizes.factor
                : Math.floor(516 / sizes.factor) * sizes.factor,
            );
        }
      }
    }
  });
});

describe("a puzzle", () => {
  it("is a function of photo, options, seed and index, and leaves the photo alone", async () => {
    for (const level of ["4x90", "8x45"]) {
      for (const photo of photos.slice(0, 3)) {
        const first = await harness.make(rotation, options({ level }), photo, { index: 5 });
        await harness.make(rotation, options({ level }), photos[4]!, { index: 6 });
        expect(await harness.make(rotation, options({ level }), photo, { index: 5 })).toEqual(
          first,
        );
        expect(
          await createHarness().make(rotation, options({ level }), photo, { index: 5 }),
        ).toEqual(first);
        expect(Buffer.compare(harness.read(harness.load(photo)).data, photo.data)).toBe(0);
      }
    }
  });

  it("has a recipe of JSON values", async () => {
    for (const level of ["4x90", "8x45"]) {
      const { made } = await harness.make(rotation, options({ level }), photos[0]!);
      expect(JSON.parse(JSON.stringify(made!.recipe))).toEqual(made!.recipe);
    }
  });
});
