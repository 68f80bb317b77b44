import { z } from "zod";
import type { Box, Picture } from "../../images/picture.ts";
import type { Json } from "../../model.ts";
import type { Random } from "../../random/random.ts";
import { squareSide } from "../fit.ts";
import { resolveOptions, type Defaults } from "../options.ts";
import type { MakeContext, Task } from "../task.ts";
import { drawView, renderView, viewRecipe, type View } from "./view.ts";

export interface SimilarityOptions {
  readonly level: "strong" | "weak";
  /** Pixels a side of every shown view; brought to the nearest multiple of factor within the pixel limits. */
  readonly size: number;
  /** Bounds of a crop's share of the photo's area. */
  readonly scale: readonly [least: number, most: number];
  /** Probabilities of mirroring, of colour jitter, of grayscale and of blur. */
  readonly flip: number;
  readonly jitter: number;
  readonly grayscale: number;
  readonly blur: number;
  /** Strengths of the jitter: factors in max(0, 1 - x) .. 1 + x; hue in turns, -x .. x. 0 leaves the step out. */
  readonly brightness: number;
  readonly contrast: number;
  readonly saturation: number;
  readonly hue: number;
  /** A view whose luma has a smaller standard deviation, 0 .. 127.5, is drawn again, at most 10 times. 0 never draws again. */
  readonly minDeviation: number;
  /**
   * Least overlap of each candidate's crop with the reference's, both as shares of their photos' sides, in parts of the smaller crop.
   * Asked of the candidates from other photos too, or the crop alone would tell the right one.
   */
  readonly minOverlap: number;
}

const probability = z.number().min(0).max(1);
const strength = z.number().min(0).max(1);

const schema = z.strictObject({
  level: z.enum(["strong", "weak"]),
  size: z.int().min(28).max(1_024),
  scale: z
    .tuple([z.number().gt(0).max(1), z.number().gt(0).max(1)])
    .refine(([least, most]) => least <= most, "the first must not exceed the second"),
  flip: probability,
  jitter: probability,
  grayscale: probability,
  blur: probability,
  brightness: strength,
  contrast: strength,
  saturation: strength,
  hue: z.number().min(0).max(0.5),
  minDeviation: z.number().min(0).max(127.5),
  minOverlap: z.number().min(0).max(0.9),
});

const always = { size: 224, flip: 0.5, minOverlap: 0 };

const defaults: Defaults = {
  levels: {
    strong: {
      scale: [0.08, 1],
      jitter: 0.8,
      grayscale: 0.2,
      blur: 0.5,
      brightness: 0.8,
      contrast: 0.8,
      saturation: 0.8,
      hue: 0.2,
    },
    weak: {
      scale: [0.5, 1],
      jitter: 0,
      grayscale: 0,
      blur: 0,
      brightness: 0,
      contrast: 0,
      saturation: 0,
      hue: 0,
    },
  },
  presets: { robust: { ...always, minDeviation: 8 }, paper: { ...always, minDeviation: 0 } },
};

const template = `{images}
Exactly one candidate was cut from the same photo as the reference; the others come from different photos. The crop, mirroring, colours and sharpness may have been changed. Which one is it? Answer with one letter: {letters}.

{suffix}`;

const LETTERS = ["A", "B", "C", "D"] as const;
const REDRAWS = 10;

/** Share of the smaller box that both cover, each box taken in units of its photo's sides. */
export function overlap(one: Box, ofOne: Picture, other: Box, ofOther: Picture): number {
  const along = (
    a: number,
    aSize: number,
    aSide: number,
    b: number,
    bSize: number,
    bSide: number,
  ): number =>
    Math.max(
      0,
      Math.min((a + aSize) / aSide, (b + bSize) / bSide) - Math.max(a / aSide, b / bSide),
    );
  const shared =
    along(one.x, one.width, ofOne.width, other.x, other.width, ofOther.width) *
    along(one.y, one.height, ofOne.height, other.y, other.height, ofOther.height);
  const share = (box: Box, of: Picture): number =>
    (box.width / of.width) * (box.height / of.height);
  return shared / Math.min(share(one, ofOne), share(other, ofOther));
}

/** One of four candidates is another view of the reference's photo, the others are views of other photos (paper, section 3.2, visual similarity). */
export const similarity: Task<SimilarityOptions> = {
  name: "similarity",
  answerKind: "letter",
  levels: Object.keys(defaults.levels),
  others: LETTERS.length - 1,
  schema,
  options: (given, preset) => resolveOptions(schema, defaults, given, preset),
  images: () => 1 + LETTERS.length,
  template,
  async make(context, options) {
    const { image } = context;
    const side = squareSide(options.size, context.sizes);
    if (typeof side !== "number") return side;
    if (tooSmall(context, image))
      return {
        unusable: "too small",
        detail: `${image.width} x ${image.height} pixels are fewer than ${context.sizes.minPixels}`,
      };

    const reference = context.show(side, side);
    const shown = LETTERS.map(() => context.show(side, side));
    const places = context.random("order").shuffle(LETTERS.map((_, place) => place));
    const randoms = LETTERS.map((_, candidate) => context.random(`candidate ${candidate}`));
    const recipes: { readonly [key: string]: Json }[] = [];

    const base = makeView(context, image, reference, context.random("reference"), options);
    if (base === undefined)
      return { unusable: `no view in ${1 + REDRAWS} draws is fit to be the reference` };
    // Candidate 0 is the right one; all go the same way, each with its own generator and to its own drawn place.
    const makeCandidate = (picture: Picture, candidate: number): boolean => {
      const dst = shown[places[candidate] ?? 0] ?? reference;
      const view = makeView(
        context,
        picture,
        dst,
        randoms[candidate] ?? context.random("none"),
        options,
        base.crop,
      );
      if (view === undefined) return false;
      recipes[candidate] = { place: LETTERS[places[candidate] ?? 0] ?? "", ...viewRecipe(view) };
      return true;
    };
    if (!makeCandidate(image, 0))
      return { unusable: `no view in ${1 + REDRAWS} draws is fit to be a candidate` };
    const others = await context.others(
      LETTERS.length - 1,
      (picture, accepted) => !tooSmall(context, picture) && makeCandidate(picture, accepted + 1),
    );
    if (others === undefined)
      return { unusable: `fewer than ${LETTERS.length - 1} other photos are fit to be candidates` };
    return {
      answer: LETTERS[places[0] ?? 0] ?? "",
      labels: ["Reference", ...LETTERS],
      values: { letters: "A, B, C or D" },
      recipe: {
        side,
        reference: viewRecipe(base),
        candidates: recipes.map((recipe, i) => {
          const other = others[i - 1];
          return other === undefined ? recipe : { ...recipe, shard: other.shard, key: other.key };
        }),
      },
    };
  },
};

function tooSmall(context: MakeContext, picture: Picture): boolean {
  return picture.width * picture.height < context.sizes.minPixels;
}

/** Draws and renders views until one is fit to be shown; undefined after 10 redraws. */
function makeView(
  context: MakeContext,
  photo: Picture,
  dst: Picture,
  random: Random,
  options: SimilarityOptions,
  reference?: Box,
): View | undefined {
  for (let attempt = 0; attempt <= REDRAWS; attempt++) {
    const view = drawView(random, photo.width, photo.height, options);
    if (
      reference !== undefined &&
      options.minOverlap > 0 &&
      overlap(reference, context.image, view.crop, photo) < options.minOverlap
    ) {
      context.reject("crops apart");
      continue;
    }
    renderView(context.draw, photo, view, dst);
    if (options.minDeviation === 0 || context.draw.grayDeviation(dst) >= options.minDeviation)
      return view;
    context.reject("flat view");
  }
  return undefined;
}
