import { derive } from "../../src/random/random.ts";
import { similarity } from "../../src/tasks/similarity/similarity.ts";
import type { Preset } from "../../src/tasks/task.ts";
import {
  attackChoice,
  attackClass,
  attackFrequency,
  blockiness,
  deviation,
  meanColour,
  sharpness,
  smallPhotos,
  type Report,
  type Siege,
} from "./attackers.ts";
import { createHarness, type Photo } from "./harness.ts";

interface ViewRecipe {
  readonly crop: readonly [number, number, number, number];
  readonly flip: boolean;
  readonly jitter: readonly (readonly [string, number])[];
  readonly grayscale: boolean;
  readonly blur: number | null;
  readonly place: string;
}

/** What a candidate shows of itself, whatever the reference shows. */
function alone(image: Photo) {
  return {
    "image sizes": [image.width, image.height],
    sharpness: [sharpness(image)],
    blocks: [blockiness(image, "all", [8])],
    "own colour": [...meanColour(image), deviation(image)],
  };
}

/** How a candidate was drawn: nobody sees these numbers, but what they do to the pixels might be seen. */
function drawn(view: ViewRecipe, photo: Photo) {
  const [x, y, width, height] = view.crop;
  const amount = (what: string): number => view.jitter.find(([one]) => one === what)?.[1] ?? -1;
  return {
    crop: [
      (width * height) / (photo.width * photo.height),
      width / height,
      (x + width / 2) / photo.width,
      (y + height / 2) / photo.height,
    ],
    drawn: [
      Number(view.flip),
      Number(view.grayscale),
      view.blur ?? 0,
      view.jitter.length,
      amount("brightness"),
      amount("contrast"),
      amount("saturation"),
      amount("hue"),
    ],
  };
}

export function similaritySiege(
  level: "strong" | "weak",
  preset: Preset,
  given: object = {},
): Siege {
  // A sixteenth of the area: the draws are the same, the kernels have less to do.
  const options = similarity.options({ level, size: 56, ...given }, preset);
  const harness = createHarness();
  return {
    name: `similarity ${level} ${preset}`,
    async run(count): Promise<Report> {
      const photos = smallPhotos();
      const byName = new Map(photos.map((photo) => [photo.name, photo]));
      const truths: number[] = [];
      const seen: { [by: string]: (readonly number[])[][] } = {};
      const compared: { [by: string]: number[][][] } = {};
      const whole: number[][] = [];
      for (let index = 0; truths.length < count; index++) {
        const [photo, ...others] = derive(1, "photos", index).shuffle([...photos]) as [
          Photo,
          ...Photo[],
        ];
        const { made, images } = await harness.make(similarity, options, photo, { index, others });
        if (made === undefined) continue;
        const [reference, ...candidates] = images as [Photo, ...Photo[]];
        truths.push("ABCD".indexOf(made.answer));
        whole.push([index, index % 2, index % 4, ...alone(reference).sharpness]);

        const recipes = made.recipe["candidates"] as unknown as (ViewRecipe & { key?: string })[];
        const features = candidates.map((candidate, i) => {
          const recipe = recipes.find(({ place }) => place === "ABCD"[i])!;
          return { ...alone(candidate), ...drawn(recipe, byName.get(recipe.key ?? photo.name)!) };
        });
        const names = Object.keys(features[0]!) as (keyof (typeof features)[number])[];
        for (const by of names) (seen[by] ??= []).push(features.map((one) => one[by]));

        const colour = meanColour(reference);
        const sharp = sharpness(reference);
        (compared["mean colour"] ??= []).push(
          candidates.map((candidate) => [
            Math.hypot(...meanColour(candidate).map((value, c) => value - colour[c]!)),
          ]),
        );
        (compared["sharpness compared"] ??= []).push(
          candidates.map((candidate) => [Math.abs(sharpness(candidate) - sharp)]),
        );
      }
      const choose = (by: string, candidates: readonly (readonly (readonly number[])[])[]) => ({
        by,
        verdict: attackChoice(truths.map((truth, i) => ({ truth, candidates: candidates[i]! }))),
      });
      return {
        leaks: [
          { by: "commonest answer", verdict: attackFrequency(truths, 4) },
          {
            by: "index and reference",
            verdict: attackClass(
              truths.map((label, i) => ({ label, features: whole[i]! })),
              4,
            ),
          },
          ...Object.entries(seen).map(([by, candidates]) => choose(by, candidates)),
        ],
        content: Object.entries(compared).map(([by, candidates]) => choose(by, candidates)),
      };
    },
  };
}

export const sieges: readonly Siege[] = (["robust", "paper"] as const).flatMap((preset) => [
  similaritySiege("strong", preset),
  similaritySiege("weak", preset),
]);
