import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { derive } from "../../src/random/random.ts";
import {
  overlap,
  similarity,
  type SimilarityOptions,
} from "../../src/tasks/similarity/similarity.ts";
import { drawCrop, drawView } from "../../src/tasks/similarity/view.ts";
import { chanceBound } from "./attackers.ts";
import {
  createHarness,
  paintedPhoto,
  samplePhotos,
  sizes28,
  sizes32,
  type MakeRequest,
  type Photo,
} from "./harness.ts";

const harness = createHarness();
const photos = samplePhotos(20).filter(
  (photo, i, all) => all.findIndex((other) => other.group === photo.group) === i,
);
const [first, ...rest] = photos as [Photo, ...Photo[]];
const options = (given: object = {}, preset: "robust" | "paper" = "robust"): SimilarityOptions =>
  similarity.options({ ...given }, preset);
const plain = (name: string, r: number, g: number, b: number, width = 300, height = 240): Photo =>
  paintedPhoto(name, width, height, () => [r, g, b]);

interface CandidateRecipe {
  readonly place: string;
  readonly crop: readonly [number, number, number, number];
  readonly flip: boolean;
  readonly key?: string;
}

async function puzzle(photo: Photo, given: SimilarityOptions, request: MakeRequest) {
  const { made, images, unusable, rejects } = await harness.make(similarity, given, photo, request);
  if (made === undefined || images === undefined) throw new Error(unusable);
  const [reference, ...candidates] = images as [Photo, ...Photo[]];
  return {
    made,
    reference,
    candidates,
    rejects,
    right: candidates["ABCD".indexOf(made.answer)]!,
    recipes: made.recipe["candidates"] as unknown as readonly CandidateRecipe[],
  };
}

describe("options", () => {
  it("are SimCLR's", () => {
    expect(options()).toEqual({
      level: "strong",
      size: 224,
      scale: [0.08, 1],
      flip: 0.5,
      jitter: 0.8,
      grayscale: 0.2,
      blur: 0.5,
      brightness: 0.8,
      contrast: 0.8,
      saturation: 0.8,
      hue: 0.2,
      minDeviation: 8,
      minOverlap: 0,
    });
    const weak = { scale: [0.5, 1], flip: 0.5, jitter: 0, grayscale: 0, blur: 0 };
    expect(options({ level: "weak" })).toMatchObject({ ...weak, minDeviation: 8 });
    expect(options({ level: "weak" }, "paper")).toMatchObject({ ...weak, minDeviation: 0 });
    expect(options({ blur: 0.1, size: 112 }, "paper")).toMatchObject({ blur: 0.1, size: 112 });
  });

  it.each([
    { size: 0 },
    { size: 100.5 },
    { scale: [0.5, 0.4] },
    { scale: [0, 1] },
    { scale: 0.5 },
    { flip: 1.1 },
    { hue: 0.6 },
    { minOverlap: 1 },
    { minDeviation: -1 },
    { minOverlaps: 0 },
  ])("refuse %j by name", (wrong) => {
    expect(() => options(wrong)).toThrow(Object.keys(wrong)[0]);
  });
});

describe("RandomResizedCrop", () => {
  it("stays inside, within the bounds of area and ratio, or takes the middle", () => {
    const side = fc.integer({ min: 1, max: 1_200 });
    const share = fc.double({ min: 0.01, max: 1, noNaN: true });
    fc.assert(
      fc.property(side, side, share, share, fc.nat(), (width, height, one, other, seed) => {
        const scale = [Math.min(one, other), Math.max(one, other)] as const;
        const box = drawCrop(derive(seed, "crop"), width, height, scale);
        expect(box.x).toBeGreaterThanOrEqual(0);
        expect(box.y).toBeGreaterThanOrEqual(0);
        expect(box.width).toBeGreaterThanOrEqual(1);
        expect(box.height).toBeGreaterThanOrEqual(1);
        expect(box.x + box.width).toBeLessThanOrEqual(width);
        expect(box.y + box.height).toBeLessThanOrEqual(height);
        // Rounding moves a side by half a pixel at most.
        const most = (box.width + 0.5) / Math.max(0.5, box.height - 0.5);
        const least = (box.width - 0.5) / (box.height + 0.5);
        expect(most).toBeGreaterThanOrEqual(3 / 4 - 1e-9);
        expect(least).toBeLessThanOrEqual(4 / 3 + 1e-9);
        const fallback =
          box.x === (width - box.width) >> 1 &&
          box.y === (height - box.height) >> 1 &&
          (box.width === width || box.height === height);
        const area = width * height;
        if (!fallback)
          expect((box.width + 0.5) * (box.height + 0.5)).toBeGreaterThanOrEqual(scale[0] * area);
        if (!fallback)
          expect((box.width - 0.5) * (box.height - 0.5)).toBeLessThanOrEqual(scale[1] * area);
      }),
      { numRuns: 1_000 },
    );
  });

  // What torchvision's RandomResizedCrop.make_params returns where no draw can fit.
  it.each([
    [1_000, 100, { x: 433, y: 0, width: 133, height: 100 }],
    [100, 1_000, { x: 0, y: 433, width: 100, height: 133 }],
  ])("falls back to the middle of %d x %d", (width, height, expected) => {
    for (let seed = 0; seed < 20; seed++)
      expect(drawCrop(derive(seed, "crop"), width, height, [0.5, 1])).toEqual(expected);
  });
});

describe("a drawn view", () => {
  const count = 6_000;
  const views = Array.from({ length: count }, (_, i) =>
    drawView(derive(i, "view"), 640, 480, options()),
  );
  const share = (test: (view: (typeof views)[number]) => boolean): number =>
    views.filter(test).length / count;

  it.each([
    ["mirrored", 0.5, (view) => view.flip],
    ["jittered", 0.8, (view) => view.jitter.length > 0],
    ["gray", 0.2, (view) => view.grayscale],
    ["blurred", 0.5, (view) => view.blur !== null],
    ["mirrored and gray", 0.1, (view) => view.flip && view.grayscale],
    ["blurred, not jittered", 0.1, (view) => view.blur !== null && view.jitter.length === 0],
  ] as [string, number, (view: (typeof views)[number]) => boolean][])(
    "is %s with probability %d",
    (_, probability, test) => {
      expect(share(test)).toBeLessThan(chanceBound(probability, count));
      expect(1 - share(test)).toBeLessThan(chanceBound(1 - probability, count));
    },
  );

  it("jitters in any order, within torchvision's ranges", () => {
    const jittered = views.filter((view) => view.jitter.length > 0);
    const orders = new Map<string, number>();
    for (const { jitter } of jittered) {
      const order = jitter.map(([what]) => what).join(" ");
      orders.set(order, (orders.get(order) ?? 0) + 1);
      for (const [what, amount] of jitter) {
        expect(amount).toBeGreaterThanOrEqual(what === "hue" ? -0.2 : 1 - 0.8);
        expect(amount).toBeLessThanOrEqual(what === "hue" ? 0.2 : 1.8);
      }
    }
    expect(orders.size).toBe(24);
    const expected = jittered.length / 24;
    const chi = [...orders.values()].reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    // 99 % quantile of chi-square with 23 degrees of freedom.
    expect(chi).toBeLessThan(41.64);
    for (const wanted of ["brightness", "contrast", "saturation", "hue"]) {
      const amounts = jittered.flatMap((view) =>
        view.jitter.filter(([what]) => what === wanted).map(([, amount]) => amount),
      );
      const mean = amounts.reduce((sum, amount) => sum + amount, 0) / amounts.length;
      const [middle, width] = wanted === "hue" ? [0, 0.4] : [1, 1.6];
      expect(Math.abs(mean - middle)).toBeLessThan(
        (2.576 * width) / Math.sqrt(12 * amounts.length),
      );
    }
  });

  it("has a crop whose area and ratio are spread as torchvision spreads them", () => {
    // Where no draw is refused (a tenth at most of the area) area is uniform and the logarithm of the ratio too.
    const crops = Array.from({ length: count }, (_, i) =>
      drawCrop(derive(i, "crops"), 2_000, 2_000, [0.02, 0.1]),
    );
    const quarter = (values: readonly number[], low: number, high: number): void => {
      for (const part of [0.25, 0.5, 0.75]) {
        const below = values.filter((value) => value < low + (high - low) * part).length / count;
        expect(Math.abs(below - part)).toBeLessThan(chanceBound(part, count) - part + 0.002);
      }
    };
    quarter(
      crops.map((box) => (box.width * box.height) / 4e6),
      0.02,
      0.1,
    );
    quarter(
      crops.map((box) => Math.log(box.width / box.height)),
      Math.log(3 / 4),
      Math.log(4 / 3),
    );
    quarter(
      crops.map((box) => box.x / (2_000 - box.width)),
      0,
      1,
    );
    quarter(
      crops.map((box) => box.y / (2_000 - box.height)),
      0,
      1,
    );
  });

  it("leaves out what has no strength", () => {
    const none = options({ level: "weak", jitter: 1, hue: 0.1 });
    expect(drawView(derive(1, "view"), 64, 64, none).jitter.map(([what]) => what)).toEqual(["hue"]);
    expect(drawView(derive(1, "view"), 64, 64, options({ level: "weak" }))).toMatchObject({
      jitter: [],
      grayscale: false,
      blur: null,
    });
  });
});

describe("a puzzle", () => {
  const colours = [
    plain("red", 200, 20, 20),
    plain("green", 20, 200, 20),
    plain("blue", 20, 20, 200),
    plain("white", 230, 230, 230),
    plain("yellow", 220, 220, 0),
  ] as const;

  it("has the reference's photo at its answer and the others' elsewhere, as the recipe says", async () => {
    const given = options({ level: "weak" }, "paper");
    const seen = new Set<string>();
    for (let index = 0; index < 60; index++) {
      const [one, ...others] = derive(index, "colours").shuffle([...colours]) as [
        Photo,
        ...Photo[],
      ];
      const { made, reference, candidates, recipes } = await puzzle(one, given, { index, others });
      seen.add(made.answer);
      expect(made.labels).toEqual(["Reference", "A", "B", "C", "D"]);
      expect([...reference.data.subarray(0, 3)]).toEqual([...one.data.subarray(0, 3)]);
      expect(recipes.map(({ place }) => place).toSorted()).toEqual(["A", "B", "C", "D"]);
      expect(recipes[0]).not.toHaveProperty("key");
      for (const [k, { place, key }] of recipes.entries()) {
        expect(key).toBe(k === 0 ? undefined : others[k - 1]!.name);
        const shown = k === 0 ? one : others[k - 1]!;
        const image = candidates["ABCD".indexOf(place)]!;
        expect([...image.data.subarray(-3)]).toEqual([...shown.data.subarray(-3)]);
      }
      expect(recipes[0]!.place).toBe(made.answer);
    }
    expect(seen.size).toBe(4);
  });

  it("weak: every view is nothing but its crop, scaled, and mirrored or not", async () => {
    for (let index = 0; index < 12; index++) {
      const others = rest.slice(index % 5);
      const given = options({ level: "weak" });
      const { reference, candidates, recipes, made } = await puzzle(first, given, {
        index,
        others,
      });
      const { context } = harness.context(first);
      const check = (photo: Photo, image: Photo, recipe: Omit<CandidateRecipe, "place">): void => {
        const [x, y, width, height] = recipe.crop;
        const dst = context.show(224, 224);
        context.draw.resize(harness.load(photo), { x, y, width, height }, dst);
        if (recipe.flip) context.draw.flip(dst);
        expect(Buffer.compare(harness.read(dst).data, image.data)).toBe(0);
      };
      check(first, reference, made.recipe["reference"] as unknown as CandidateRecipe);
      for (const recipe of recipes) {
        const photo = others.find(({ name }) => name === recipe.key) ?? first;
        check(photo, candidates["ABCD".indexOf(recipe.place)]!, recipe);
      }
    }
  });

  it("is a function of photos, options, seed and index, and leaves the photos alone", async () => {
    const request = { index: 9, others: rest };
    const once = await harness.make(similarity, options(), first, request);
    await harness.make(similarity, options(), rest[2]!, {
      index: 10,
      others: [first, ...rest.slice(3)],
    });
    expect(await createHarness().make(similarity, options(), first, request)).toEqual(once);
    expect(JSON.parse(JSON.stringify(once.made!.recipe))).toEqual(once.made!.recipe);
    for (const photo of [first, rest[0]!, rest[1]!])
      expect(Buffer.compare(harness.read(harness.load(photo)).data, photo.data)).toBe(0);
  });

  it("draws each view by itself: another option, photo or stranger moves no other view", async () => {
    const request = { index: 3, others: rest };
    const usual = await puzzle(first, options(), request);
    const others = [rest[5]!, ...rest.slice(1, 5)];
    const swapped = await puzzle(first, options(), { index: 3, others });
    expect(swapped.made.answer).toBe(usual.made.answer);
    expect(swapped.made.recipe["reference"]).toEqual(usual.made.recipe["reference"]);
    expect(swapped.recipes[0]).toEqual(usual.recipes[0]);
    expect(swapped.recipes.slice(2)).toEqual(usual.recipes.slice(2));
  });
});

describe("views that show nothing", () => {
  const others = rest.slice(0, 5);

  it("are drawn again ten times, then the photo is unusable", async () => {
    const flat = plain("flat", 90, 90, 90);
    const outcome = await harness.make(similarity, options(), flat, { others });
    expect(outcome.unusable).toMatch(/no view in 11 draws is fit to be the reference/);
    expect(outcome.rejects).toEqual({ "flat view": 11 });
    const paper = await harness.make(similarity, options({}, "paper"), flat, { others });
    expect(paper.made?.answer).toMatch(/^[A-D]$/);
  });

  it("are never shown, and a flat stranger is passed over", async () => {
    const dull = plain("dull", 90, 90, 90);
    // Most crops of it are flat.
    const corner = paintedPhoto("corner", 400, 400, (x, y) =>
      x < 90 && y < 90 ? [(x * 40) % 256, (y * 40) % 256, 0] : [120, 120, 120],
    );
    let redrawn = 0;
    for (let index = 0; index < 10; index++) {
      const request = { index, others: [dull, ...others] };
      const { made, images, rejects } = await harness.make(similarity, options(), corner, request);
      if (made === undefined || images === undefined) continue;
      redrawn += rejects["flat view"] ?? 0;
      const recipes = made.recipe["candidates"] as unknown as CandidateRecipe[];
      expect(recipes.map(({ key }) => key)).not.toContain("dull");
      for (const image of images) {
        const { context } = harness.context(image);
        expect(context.draw.grayDeviation(context.image)).toBeGreaterThanOrEqual(8);
      }
    }
    expect(redrawn).toBeGreaterThan(100);
  });

  it("leave too few strangers: unusable", async () => {
    const few = { others: [...others.slice(0, 2), plain("f1", 1, 1, 1), plain("f2", 9, 9, 9)] };
    const outcome = await harness.make(similarity, options(), first, few);
    expect(outcome.unusable).toMatch(/fewer than 3 other photos/);
  });
});

describe("minOverlap", () => {
  it("measures shares of the smaller box, each in its photo's own units", () => {
    const size = { at: 0, width: 100, height: 50 };
    const twice = { at: 0, width: 200, height: 100 };
    const box = (x: number, y: number, width: number, height: number) => ({ x, y, width, height });
    expect(overlap(box(0, 0, 50, 50), size, box(0, 0, 100, 100), twice)).toBeCloseTo(1);
    expect(overlap(box(0, 0, 50, 50), size, box(50, 0, 50, 50), twice)).toBeCloseTo(1);
    expect(overlap(box(0, 0, 50, 50), size, box(100, 0, 50, 50), twice)).toBe(0);
    expect(overlap(box(0, 0, 50, 50), size, box(25, 0, 75, 50), size)).toBeCloseTo(0.5);
  });

  it("holds for every candidate", async () => {
    const given = options({ level: "weak", minOverlap: 0.7 });
    let apart = 0;
    for (let index = 0; index < 20; index++) {
      const { made, recipes, rejects } = await puzzle(first, given, { index, others: rest });
      apart += rejects["crops apart"] ?? 0;
      const reference = made.recipe["reference"] as unknown as CandidateRecipe;
      for (const { crop, key } of recipes) {
        const photo = rest.find(({ name }) => name === key) ?? first;
        const [one, other] = [reference.crop, crop].map(([x, y, width, height]) => ({
          x,
          y,
          width,
          height,
        }));
        const of = (photoOf: Photo) => ({ at: 0, width: photoOf.width, height: photoOf.height });
        expect(overlap(one!, of(first), other!, of(photo))).toBeGreaterThanOrEqual(0.7);
      }
    }
    expect(apart).toBeGreaterThan(0);
  });
});

describe("sizes", () => {
  it.each([
    [sizes28, 224, 224],
    [sizes32, 224, 256],
    [sizes28, 112, 112],
    [{ ...sizes28, maxPixels: 40_000 }, 224, 196],
  ])("%o, size %d: %d pixels a side", async (sizes, size, side) => {
    const { reference, candidates } = await puzzle(first, options({ size }), {
      sizes,
      others: rest,
    });
    for (const image of [reference, ...candidates])
      expect([image.width, image.height]).toEqual([side, side]);
  });

  it("refuse photos with fewer pixels than the model needs, as reference and as stranger", async () => {
    const tiny = paintedPhoto("tiny", 50, 50, (x, y) => [x * 5, y * 5, 0]);
    expect((await harness.make(similarity, options(), tiny, { others: rest })).unusable).toMatch(
      /50 x 50 pixels are fewer than 3136/,
    );
    const { recipes } = await puzzle(first, options(), { others: [tiny, ...rest] });
    expect(recipes.map(({ key }) => key)).not.toContain("tiny");
  });
});
