import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { derive } from "../../src/random/random.ts";
import { correspondence } from "../../src/tasks/correspondence/correspondence.ts";
import {
  apply,
  drawMotion,
  inverseMap,
  invert,
  type Motion,
  type Point,
} from "../../src/tasks/correspondence/motion.ts";
import type { CorrespondenceOptions } from "../../src/tasks/correspondence/options.ts";
import { drawPoints } from "../../src/tasks/correspondence/points.ts";
import type { Affine } from "../../src/images/picture.ts";
import { presets, type Preset } from "../../src/tasks/task.ts";
import {
  blindGuesses,
  bound,
  chiSquareBound,
  numbersOf,
  permutationStatistic,
  rightPart,
} from "./attackers-places.ts";
import {
  createHarness,
  flatPhoto,
  samplePhotos,
  sizes32,
  syntheticPhoto,
  type Outcome,
  type Photo,
} from "./harness.ts";

const harness = createHarness();
const options = (
  given: { readonly [key: string]: unknown } = {},
  preset: Preset = "robust",
): CorrespondenceOptions => correspondence.options(given, preset);

interface Recipe {
  readonly motion: Motion;
  readonly points: readonly Point[];
  readonly mapped: readonly Point[];
  readonly size: readonly [number, number];
}

const recipeOf = (outcome: Outcome): Recipe => outcome.made?.recipe as unknown as Recipe;

/** The motion in words, with the machine's own sine: turned clockwise about the centre (y points down) after slant and scale, then shifted. */
function moved(
  { rotation, scale, shear, shift }: Motion,
  [width, height]: readonly [number, number],
  [x, y]: Point,
): Point {
  const radians = (degrees: number): number => (degrees * Math.PI) / 180;
  const [dx, dy] = [x - width / 2, y - height / 2];
  const [sx, sy] = [scale * (dx + Math.tan(radians(shear)) * dy), scale * dy];
  const [c, s] = [Math.cos(radians(rotation)), Math.sin(radians(rotation))];
  return [width / 2 + shift[0] + c * sx - s * sy, height / 2 + shift[1] + s * sx + c * sy];
}

const distance = ([x, y]: Point, [otherX, otherY]: Point): number =>
  Math.hypot(x - otherX, y - otherY);

function bilinear(photo: Photo, [x, y]: Point, channel: number): number {
  const [left, top] = [Math.floor(x - 0.5), Math.floor(y - 0.5)];
  const [u, v] = [x - 0.5 - left, y - 0.5 - top];
  const at = (px: number, py: number): number =>
    photo.data[(py * photo.width + px) * 3 + channel] ?? 128;
  return (
    (at(left, top) * (1 - u) + at(left + 1, top) * u) * (1 - v) +
    (at(left, top + 1) * (1 - u) + at(left + 1, top + 1) * u) * v
  );
}

function correlation(one: readonly number[], other: readonly number[]): number {
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const [m, n] = [mean(one), mean(other)];
  let [both, first, second] = [0, 0, 0];
  for (const [k, value] of one.entries()) {
    const w = other[k] as number;
    both += (value - m) * (w - n);
    first += (value - m) * (value - m);
    second += (w - n) * (w - n);
  }
  return both / Math.sqrt(first * second + 1e-9);
}

describe("options", () => {
  test("levels and presets", () => {
    expect(correspondence.levels).toEqual(["6", "4"]);
    expect(options()).toEqual({ level: "6", points: 6, motion: "wide" });
    for (const level of ["4", 4])
      expect(options({ level })).toEqual({ level: "4", points: 4, motion: "wide" });
    expect(options({}, "paper")).toEqual({ level: "6", points: 6, motion: "mild" });
    expect(correspondence.images(options())).toBe(2);
  });

  test.each([{ level: "5" }, { points: 10 }, { points: 1 }, { motion: "any" }, { count: 3 }])(
    "%j is refused",
    (given) => {
      expect(() => options(given)).toThrow();
    },
  );
});

describe("motion", () => {
  const seed = fc.integer({ min: 0, max: 1e9 });

  test("the map is the motion's, computed another way", () => {
    fc.assert(
      fc.property(
        seed,
        fc.double({ min: 0, max: 640, noNaN: true }),
        fc.double({ min: 0, max: 480, noNaN: true }),
        (key, x, y) => {
          const motion = drawMotion("wide", 640, 480, derive(key, "motion"));
          const inverse = inverseMap(motion, 640, 480);
          const there = moved(motion, [640, 480], [x, y]);
          expect(distance(apply(inverse, there), [x, y])).toBeLessThan(1e-6);
          expect(distance(apply(invert(inverse), [x, y]), there)).toBeLessThan(1e-6);
        },
      ),
    );
  });

  test("ranges", () => {
    const draws = (kind: "wide" | "mild"): Motion[] =>
      Array.from({ length: 2_000 }, (_, k) => drawMotion(kind, 400, 300, derive(k, kind)));
    const range = (motions: Motion[], value: (motion: Motion) => number): [number, number] => {
      const values = motions.map(value);
      return [Math.min(...values), Math.max(...values)];
    };
    const close = ([low, high]: [number, number], from: number, to: number): void => {
      expect(low).toBeGreaterThanOrEqual(from);
      expect(high).toBeLessThanOrEqual(to);
      expect(high - low).toBeGreaterThan(0.98 * (to - from));
    };
    const [wide, mild] = [draws("wide"), draws("mild")];
    close(
      range(wide, ({ rotation }) => rotation),
      0,
      360,
    );
    close(
      range(wide, ({ scale }) => scale),
      0.7,
      1.1,
    );
    close(
      range(wide, ({ shear }) => shear),
      -10,
      10,
    );
    close(
      range(wide, ({ shift }) => shift[0]),
      -20,
      20,
    );
    close(
      range(wide, ({ shift }) => shift[1]),
      -15,
      15,
    );
    close(
      range(mild, ({ rotation }) => rotation),
      -30,
      30,
    );
    close(
      range(mild, ({ scale }) => scale),
      0.8,
      1.2,
    );
    close(
      range(mild, ({ shift }) => shift[0]),
      -40,
      40,
    );
  });
});

describe("points", () => {
  test("apart and inside in both views", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e9 }),
        fc.constantFrom("wide" as const, "mild" as const),
        (key, kind) => {
          const random = derive(key, "points");
          const forward = invert(inverseMap(drawMotion(kind, 336, 252, random), 336, 252));
          const points = drawPoints(6, 336, 252, forward, random);
          if (points === undefined) return;
          expect(points).toHaveLength(6);
          const mapped = points.map((point) => apply(forward, point));
          for (const [x, y] of [...points, ...mapped])
            expect(Math.min(x, y, 336 - x, 252 - y)).toBeGreaterThanOrEqual(14);
          for (let k = 0; k < 6; k++) {
            for (let j = 0; j < k; j++) {
              expect(distance(points[j] as Point, points[k] as Point)).toBeGreaterThanOrEqual(40);
              expect(distance(mapped[j] as Point, mapped[k] as Point)).toBeGreaterThanOrEqual(32);
            }
          }
        },
      ),
    );
  });

  test("a small image has no room", () => {
    const identity: Affine = [1, 0, 0, 0, 1, 0];
    for (const side of [1, 28, 56])
      expect(drawPoints(6, side, side, identity, derive(1, "points"))).toBeUndefined();
  });
});

describe("make", () => {
  const photos = [syntheticPhoto(1), syntheticPhoto(2, 401, 230), syntheticPhoto(3, 640, 480)];
  const cases = presets.flatMap((preset) =>
    correspondence.levels.map((level) => ({ preset, level })),
  );

  const real = samplePhotos(6);

  test.each(cases)("$preset $level: points follow the pixels", async ({ preset, level }) => {
    const right: number[] = [];
    const wrong: number[] = [];
    for (let index = 0; index < 12; index++) {
      const outcome = await harness.make(
        correspondence,
        options({ level }, preset),
        real[index % real.length] as Photo,
        { index },
      );
      const { made, images = [] } = outcome;
      if (made === undefined) throw new Error(outcome.unusable);
      const [one, two] = images as [Photo, Photo];
      const { motion, points, mapped, size } = recipeOf(outcome);
      expect([one.width, one.height, two.width, two.height]).toEqual([...size, ...size]);
      expect([one.width % 28, one.height % 28]).toEqual([0, 0]);
      expect(made.labels).toEqual(["Image 1", "Image 2"]);
      expect(made.values).toEqual({ points: level });
      expect(numbersOf(made.answer).toSorted((one, other) => one - other)).toEqual(
        points.map((_, k) => k + 1),
      );
      for (const [k, point] of points.entries()) {
        expect(distance(mapped[k] as Point, moved(motion, size, point))).toBeLessThan(1);
        // A disc around the marker, in image 1 and where the float map puts it in image 2; the markers themselves left out.
        const clear = (p: Point, markers: readonly Point[]): boolean =>
          Math.min(p[0], p[1], size[0] - p[0], size[1] - p[1]) > 1 &&
          markers.every((marker) => distance(marker, p) > 16);
        const disc = Array.from({ length: 400 }, (_, j): Point => {
          const radius = 16 + (j % 32);
          return [point[0] + radius * Math.cos(j), point[1] + radius * Math.sin(j)];
        }).filter((p) => clear(p, points) && clear(moved(motion, size, p), mapped));
        const compare = (dx: number, dy: number): number => {
          const pairs = disc
            .map((p): [Point, Point] => {
              const [x, y] = moved(motion, size, p);
              return [p, [x + dx, y + dy]];
            })
            .filter(([, there]) => clear(there, mapped));
          return correlation(
            pairs.map(([p]) => bilinear(one, p, 1)),
            pairs.map(([, there]) => bilinear(two, there, 1)),
          );
        };
        right.push(compare(0, 0));
        wrong.push(compare(37, -41));
      }
    }
    const median = (values: number[]): number =>
      values.toSorted((a, b) => a - b)[values.length >> 1] as number;
    expect(median(right)).toBeGreaterThan(0.9);
    expect(median(wrong)).toBeLessThan(0.5);
  });

  test("the answer's k-th number is the digit drawn on the same spot of image 2", async () => {
    for (let index = 0; index < 10; index++) {
      const outcome = await harness.make(correspondence, options(), photos[index % 3] as Photo, {
        index,
      });
      const [one, two] = outcome.images as [Photo, Photo];
      const { points, mapped } = recipeOf(outcome);
      const answer = numbersOf(outcome.made?.answer as string);
      expect(points.map((point) => digitAt(one, point))).toEqual([1, 2, 3, 4, 5, 6]);
      expect(mapped.map((point) => digitAt(two, point))).toEqual(answer);
    }
  });

  /** The digit whose marker, drawn on black by itself, looks most like what is there. */
  function digitAt(image: Photo, point: Point): number {
    const { context } = harness.context(flatPhoto(28, 28));
    const errors = Array.from({ length: 9 }, (_, k) => {
      const alone = context.arena.picture(image.width, image.height);
      context.draw.fill(alone, { x: 0, y: 0, width: image.width, height: image.height }, [0, 0, 0]);
      context.draw.marker(alone, point[0], point[1], k + 1, [200, 0, 60]);
      const drawn = context.arena.bytes(alone.at, image.width * image.height * 3);
      let error = 0;
      for (let y = Math.floor(point[1]) - 5; y <= point[1] + 5; y++) {
        for (let x = Math.floor(point[0]) - 5; x <= point[0] + 5; x++) {
          for (let c = 0; c < 3; c++)
            error += Math.abs(
              drawn[(y * image.width + x) * 3 + c]! - image.data[(y * image.width + x) * 3 + c]!,
            );
        }
      }
      context.arena.release(alone.at);
      return error;
    });
    expect(Math.min(...errors)).toBe(0);
    return errors.indexOf(0) + 1;
  }

  test("outside of the photo image 2 is gray", async () => {
    const outcome = await harness.make(correspondence, options(), flatPhoto(300, 280, 10), {
      index: 1,
    });
    const two = (outcome.images as [Photo, Photo])[1];
    const { motion, size } = recipeOf(outcome);
    const inverse = inverseMap(motion, size[0], size[1]);
    for (const corner of [
      [2, 2],
      [two.width - 2, 2],
      [2, two.height - 2],
      [two.width - 2, two.height - 2],
    ] as const) {
      const [x, y] = apply(inverse, corner);
      if (x > -2 && y > -2 && x < size[0] + 2 && y < size[1] + 2) continue;
      const at = (Math.floor(corner[1]) * two.width + Math.floor(corner[0])) * 3;
      expect([...two.data.subarray(at, at + 3)]).toEqual([128, 128, 128]);
    }
  });

  test("other sizes, scaled photos, the same puzzle twice", async () => {
    for (const fit of ["crop", "resize"] as const) {
      const request = { index: 4, sizes: { ...sizes32, fit } };
      const once = await harness.make(correspondence, options(), photos[2] as Photo, request);
      expect(await harness.make(correspondence, options(), photos[2] as Photo, request)).toEqual(
        once,
      );
      for (const { width, height } of once.images ?? [])
        expect([width % 32, height % 32]).toEqual([0, 0]);
    }
  });

  test("a photo without room for the points is refused and its tries are counted", async () => {
    const outcome = await harness.make(correspondence, options(), syntheticPhoto(1, 90, 90));
    expect(outcome).toEqual({
      unusable: expect.any(String),
      rejects: { "too few points in both views": 8 },
    });
  });
});

describe("leaks", () => {
  const COUNT = 4_200;
  const photos = Array.from({ length: 6 }, (_, k) => syntheticPhoto(300 + k, 230, 200));

  test.each(["6", "4"])(
    "%s points: the numbers follow nothing that one view shows",
    async (level) => {
      const n = Number(level);
      const answers: (readonly number[])[] = [];
      const parts = new Map<string, number>();
      const markers = new Set<string>();
      for (let index = 0; answers.length < COUNT; index++) {
        const outcome = await harness.make(
          correspondence,
          options({ level }),
          photos[index % photos.length] as Photo,
          { index, seed: 7 },
        );
        if (outcome.made === undefined) continue;
        const answer = numbersOf(outcome.made.answer);
        answers.push(answer);
        const { points, mapped } = recipeOf(outcome);
        const numbered = answer.map((_, k) => mapped[answer.indexOf(k + 1)] as Point);
        for (const [name, guess] of Object.entries(blindGuesses(points, numbered)))
          parts.set(name, (parts.get(name) ?? 0) + rightPart(guess, answer));
        const [one] = outcome.images as [Photo];
        // Left of the digit every marker has the same pixels.
        for (const [x, y] of points)
          markers.add(
            one.data
              .subarray((Math.floor(y) * one.width + Math.floor(x) - 8) * 3)
              .subarray(0, 6)
              .join(" "),
          );
      }
      const { statistic, freedom } = permutationStatistic(answers);
      expect(statistic).toBeLessThan(chiSquareBound(freedom));
      const limit = bound(parts.size) / n / Math.sqrt(COUNT);
      for (const [name, sum] of parts)
        expect(Math.abs(sum / COUNT - 1 / n), name).toBeLessThan(limit);
      expect(markers.size).toBe(1);
    },
  );
});
