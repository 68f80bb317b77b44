import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { derive } from "../../src/random/random.ts";
import { inpainting } from "../../src/tasks/inpainting/inpainting.ts";
import type { InpaintingOptions } from "../../src/tasks/inpainting/options.ts";
import { drawPlaces, largestOverlap, overlap, sizes } from "../../src/tasks/inpainting/places.ts";
import type { Box } from "../../src/images/picture.ts";
import { presets, type Preset } from "../../src/tasks/task.ts";
import {
  bound,
  candidateFeatures,
  imageFeatures,
  largest,
  smallest,
  type Feature,
} from "./attackers-places.ts";
import { attackChoice, smallPhotos } from "./attackers.ts";
import {
  createHarness,
  flatPhoto,
  sizes28,
  sizes32,
  syntheticPhoto,
  type Outcome,
  type Photo,
} from "./harness.ts";

const harness = createHarness();
const options = (
  given: { readonly [key: string]: unknown } = {},
  preset: Preset = "robust",
): InpaintingOptions => inpainting.options(given, preset);

function boxOf(value: unknown): Box {
  const [x, y, width, height] = value as [number, number, number, number];
  return { x, y, width, height };
}

function placesOf(outcome: Outcome): readonly Box[] {
  return (outcome.made!.recipe["places"] as readonly unknown[]).map(boxOf);
}

function cut(photo: Photo, box: Box): Uint8Array {
  const bytes = new Uint8Array(box.width * box.height * 3);
  for (let y = 0; y < box.height; y++) {
    const from = ((box.y + y) * photo.width + box.x) * 3;
    bytes.set(photo.data.subarray(from, from + box.width * 3), y * box.width * 3);
  }
  return bytes;
}

describe("options", () => {
  test("the levels are half and a quarter of the area", () => {
    expect(inpainting.levels).toEqual(["50", "25"]);
    expect(options().ratio).toBe(0.5);
    for (const level of ["50", "50%", 50]) expect(options({ level }).ratio).toBe(0.5);
    for (const level of ["25", "25%", 25]) expect(options({ level }).ratio).toBe(0.25);
    expect(options({ level: "25", ratio: 0.4 }).ratio).toBe(0.4);
  });

  test("the presets differ in area, places and rejection", () => {
    expect(options()).toEqual({
      level: "50",
      ratio: 0.5,
      area: "exact",
      places: "spread",
      maxOverlap: 0.9,
      minDifference: 6,
      gap: 0,
    });
    expect(options({}, "paper")).toEqual({
      level: "50",
      ratio: 0.5,
      area: "atMost",
      places: "free",
      maxOverlap: 0.9,
      minDifference: 0,
      gap: 0,
    });
  });

  test.each([
    { level: "30" },
    { ratio: 0 },
    { ratio: 0.9 },
    { gap: -1 },
    { gap: 1.5 },
    { area: "some" },
    { mask: 1 },
  ])("%j is refused", (given) => {
    expect(() => options(given)).toThrow();
  });
});

describe("sizes", () => {
  const grid = fc.record({
    columns: fc.integer({ min: 1, max: 30 }),
    rows: fc.integer({ min: 1, max: 30 }),
    least: fc.integer({ min: 4, max: 64 }),
    ratio: fc.double({ min: 0.05, max: 0.6, noNaN: true }),
  });

  test("exact: every height for which a width fits, with the widest", () => {
    fc.assert(
      fc.property(grid, ({ columns, rows, least, ratio }) => {
        const most = ratio * columns * rows;
        const expected = [];
        for (let h = 1; h <= rows; h++) {
          const widths = Array.from({ length: columns + 1 }, (_, w) => w).filter(
            (w) => w * h <= most && w * h >= 0.8 * most && w * h >= least,
          );
          const widest = Math.max(...widths);
          // Where a wider one would fit but for the image's width, the height is no exact one.
          if (widths.length > 0 && (widest + 1) * h > most)
            expected.push({ columns: widest, rows: h });
        }
        expect(sizes(columns, rows, least, { ...options(), ratio })).toEqual(expected);
      }),
    );
  });

  test("at most: every pair within the area", () => {
    fc.assert(
      fc.property(grid, ({ columns, rows, least, ratio }) => {
        const found = sizes(columns, rows, least, { ...options({}, "paper"), ratio });
        const expected = [];
        for (let h = 1; h <= rows; h++) {
          for (let w = 1; w <= columns; w++)
            if (w * h <= ratio * columns * rows && w * h >= least)
              expected.push({ columns: w, rows: h });
        }
        expect(found).toEqual(expected);
      }),
    );
  });
});

describe("places", () => {
  test("overlap is the shared area over that of both, counted by pixel", () => {
    const side = fc.integer({ min: 1, max: 9 });
    const at = fc.integer({ min: 0, max: 12 });
    const box = fc.record({ x: at, y: at, width: side, height: side });
    fc.assert(
      fc.property(box, box, (one, other) => {
        const pixels = (b: Box): Set<number> =>
          new Set(
            Array.from(
              { length: b.width * b.height },
              (_, k) => (b.y + Math.floor(k / b.width)) * 100 + b.x + (k % b.width),
            ),
          );
        const [first, second] = [pixels(one), pixels(other)];
        const both = [...first].filter((pixel) => second.has(pixel)).length;
        expect(overlap(one, other)).toBeCloseTo(both / (first.size + second.size - both), 12);
      }),
    );
  });

  test.each(presets)("%s: within the image, of one size, not too much overlap", (preset) => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e6 }),
        fc.integer({ min: 1, max: 300 }),
        fc.integer({ min: 1, max: 300 }),
        (seed, width, height) => {
          const places = drawPlaces(
            { width: 300, height: 300 },
            width,
            height,
            derive(seed, "places"),
            options({}, preset),
          );
          if (places === undefined) return;
          expect(places).toHaveLength(4);
          expect(largestOverlap(places)).toBeLessThanOrEqual(0.9);
          for (const place of places) {
            expect(place).toMatchObject({ width, height });
            expect(
              Math.min(place.x, place.y, 300 - place.x - width, 300 - place.y - height),
            ).toBeGreaterThanOrEqual(0);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test("spread places overlap far less than free ones", () => {
    const typical = (preset: Preset): number => {
      const overlaps = Array.from({ length: 101 }, (_, seed) =>
        largestOverlap(
          drawPlaces(
            { width: 480, height: 360 },
            336,
            252,
            derive(seed, "places"),
            options({}, preset),
          ) ?? [],
        ),
      );
      return overlaps.toSorted((one, other) => one - other)[50] as number;
    };
    expect(typical("robust")).toBeLessThan(0.5);
    expect(typical("paper")).toBeGreaterThan(0.55);
  });

  test("parts as large as the image have no four places", () => {
    for (const preset of presets)
      expect(
        drawPlaces({ width: 84, height: 84 }, 84, 84, derive(1, "places"), options({}, preset)),
      ).toBeUndefined();
  });
});

describe("make", () => {
  const photos = [syntheticPhoto(1), syntheticPhoto(2, 401, 230), syntheticPhoto(3, 640, 480)];
  const cases = presets.flatMap((preset) => inpainting.levels.map((level) => ({ preset, level })));

  test.each(cases)(
    "$preset $level: the right candidate put into the masked image gives the photo back, bit by bit",
    async ({ preset, level }) => {
      for (const [index, photo] of [...photos, ...photos, ...photos].entries()) {
        const outcome = await harness.make(inpainting, options({ level }, preset), photo, {
          index,
        });
        const { made, images } = outcome;
        if (made === undefined || images === undefined) throw new Error(outcome.unusable);
        const [image, ...candidates] = images as [Photo, ...Photo[]];
        const whole = boxOf(made.recipe["photo"]);
        const original: Photo = { ...image, data: cut(photo, whole) };
        const places = placesOf(outcome);
        const truth = "ABCD".indexOf(made.answer);
        const place = places[truth] as Box;

        const restored = new Uint8Array(image.data);
        for (let y = 0; y < place.height; y++) {
          const row = candidates[truth]!.data.subarray(
            y * place.width * 3,
            (y + 1) * place.width * 3,
          );
          restored.set(row, ((place.y + y) * image.width + place.x) * 3);
        }
        expect(Buffer.compare(restored, original.data)).toBe(0);
        expect(cut(image, place).every((value) => value === 128)).toBe(true);
        for (const [k, candidate] of candidates.entries())
          expect(Buffer.compare(candidate.data, cut(original, places[k] as Box))).toBe(0);

        expect(made.labels).toEqual(["Image", "A", "B", "C", "D"]);
        expect(images).toHaveLength(inpainting.images(options()));
        for (const { width, height } of images) {
          expect([width % 28, height % 28]).toEqual([0, 0]);
          expect(width * height).toBeGreaterThanOrEqual(3_136);
          expect(width * height).toBeLessThanOrEqual(401_408);
        }
        const part = (place.width * place.height) / (image.width * image.height);
        expect(part).toBeLessThanOrEqual(Number(level) / 100);
        if (preset === "robust") expect(part).toBeGreaterThanOrEqual((0.8 * Number(level)) / 100);
      }
    },
  );

  test("multiples of 32, at least 65,536 pixels for the candidates too, and scaled photos", async () => {
    for (const fit of ["crop", "resize"] as const) {
      const { images, made } = await harness.make(inpainting, options(), photos[2] as Photo, {
        sizes: { ...sizes32, fit },
      });
      for (const { width, height } of images ?? []) {
        expect([width % 32, height % 32]).toEqual([0, 0]);
        expect(width * height).toBeGreaterThanOrEqual(65_536);
      }
      const [image, ...candidates] = images as [Photo, ...Photo[]];
      const places = (made!.recipe["places"] as readonly unknown[]).map(boxOf);
      const hidden = places["ABCD".indexOf(made!.answer)] as Box;
      for (const [k, candidate] of candidates.entries()) {
        const place = places[k] as Box;
        const shown = cut(image, place);
        const visible = (at: number): boolean => {
          const [x, y] = [place.x + (at % place.width), place.y + Math.floor(at / place.width)];
          return (
            x < hidden.x ||
            y < hidden.y ||
            x >= hidden.x + hidden.width ||
            y >= hidden.y + hidden.height
          );
        };
        const differing = shown.filter(
          (value, at) => value !== candidate.data[at] && visible(Math.floor(at / 3)),
        );
        expect(differing).toHaveLength(0);
      }
    }
  });

  test("a gap widens the gray, not the candidates", async () => {
    const [photo] = photos as [Photo];
    const plain = await harness.make(inpainting, options(), photo);
    const wide = await harness.make(inpainting, options({ gap: 14 }), photo);
    expect(wide.made?.answer).toBe(plain.made?.answer);
    expect(wide.images?.slice(1)).toEqual(plain.images?.slice(1));
    const [image] = wide.images as [Photo];
    const place = placesOf(wide)["ABCD".indexOf(wide.made?.answer as string)] as Box;
    const [left, top] = [Math.max(0, place.x - 14), Math.max(0, place.y - 14)];
    const [right, bottom] = [
      Math.min(image.width, place.x + place.width + 14),
      Math.min(image.height, place.y + place.height + 14),
    ];
    expect(
      cut(image, { x: left, y: top, width: right - left, height: bottom - top }).every(
        (value) => value === 128,
      ),
    ).toBe(true);
    expect(wide.made?.values["around"]).toContain("14 pixels");
    expect(plain.made?.values["around"]).toBe("");
  });

  test("the same puzzle twice, another one for another index", async () => {
    const [photo] = photos as [Photo];
    const once = await harness.make(inpainting, options(), photo, { index: 7 });
    expect(await harness.make(inpainting, options(), photo, { index: 7 })).toEqual(once);
    expect(
      (await harness.make(inpainting, options(), photo, { index: 8 })).made?.recipe,
    ).not.toEqual(once.made?.recipe);
  });

  test("what nobody could solve is refused and counted", async () => {
    const plain = await harness.make(inpainting, options(), flatPhoto(300, 280));
    expect(plain).toEqual({
      unusable: expect.stringContaining("alike"),
      rejects: { "candidates alike": 8 },
    });
    expect(
      (await harness.make(inpainting, options({}, "paper"), flatPhoto(300, 280))).made,
    ).toBeDefined();
    for (const photo of [flatPhoto(27, 300), flatPhoto(60, 60), flatPhoto(1000, 60)]) {
      expect((await harness.make(inpainting, options(), photo)).unusable).toBeDefined();
    }
  });
});

describe("leaks", () => {
  const COUNT = 4_200;
  const photos = smallPhotos();
  const cases = [
    { preset: "robust", level: "50" },
    { preset: "robust", level: "25" },
    { preset: "paper", level: "50" },
  ] as const;

  test.each(cases)(
    "$preset $level: nothing but the mask tells the truth",
    async ({ preset, level }) => {
      const given = options({ level }, preset);
      const letters = [0, 0, 0, 0];
      const hits = new Map<string, number>();
      const count = (name: string, guess: number, truth: number): void => {
        hits.set(name, (hits.get(name) ?? 0) + (guess === truth ? 1 : 0));
      };
      const puzzles: { candidates: number[][]; truth: number }[] = [];
      let made = 0;
      for (let index = 0; made < COUNT; index++) {
        const outcome = await harness.make(
          inpainting,
          given,
          photos[index % photos.length] as Photo,
          { index, seed: 5, sizes: sizes28 },
        );
        if (outcome.images === undefined || outcome.made === undefined) continue;
        made++;
        const [image, ...candidates] = outcome.images as [Photo, ...Photo[]];
        const boxes = placesOf(outcome);
        const truth = "ABCD".indexOf(outcome.made.answer);
        letters[truth]! += 1;
        expect(new Set(candidates.map(({ width, height }) => `${width} x ${height}`)).size).toBe(1);
        count("index", index % 4, truth);
        const features: { readonly [name: string]: Feature } = {
          ...candidateFeatures,
          ...imageFeatures(image.width, image.height),
        };
        const learnt: number[][] = [[], [], [], []];
        for (const [name, feature] of Object.entries(features)) {
          const values = feature(candidates, boxes);
          count(`most ${name}`, largest(values), truth);
          count(`least ${name}`, smallest(values), truth);
          for (const [k, value] of values.entries()) learnt[k]!.push(value);
        }
        puzzles.push({ candidates: learnt, truth });
      }
      const { accuracy, bound: most } = attackChoice(puzzles);
      expect(accuracy, "learnt from all features").toBeLessThan(most);
      for (const [letter, n] of letters.entries()) hits.set(`always ${"ABCD"[letter]}`, n);
      const limit = bound(hits.size) * Math.sqrt((0.25 * 0.75) / COUNT);
      for (const [name, n] of hits) expect(Math.abs(n / COUNT - 0.25), name).toBeLessThan(limit);
    },
  );
});
