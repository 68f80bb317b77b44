import { derive } from "../../src/random/random.ts";
import { rotation } from "../../src/tasks/rotation/rotation.ts";
import type { Preset } from "../../src/tasks/task.ts";
import {
  attackClass,
  attackFrequency,
  blockiness,
  meanColour,
  sharpness,
  smallPhotos,
  type Attack,
  type Region,
  type Report,
  type Siege,
} from "./attackers.ts";
import { createHarness, cutPhoto, isotropicPhoto, type Photo } from "./harness.ts";

type Features = { readonly [by: string]: readonly number[] };

/** What an attacker sees who understands neither image. */
function look(one: Photo, two: Photo, region: Region): Features {
  const compare = (measure: (photo: Photo) => number): readonly number[] => {
    const after = measure(two);
    return [after - measure(one), after];
  };
  const [before, after] = [meanColour(one), meanColour(two)];
  return {
    "image sizes": [
      one.width,
      one.height,
      two.width,
      two.height,
      two.width - one.width,
      two.height - one.height,
    ],
    sharpness: compare((photo) => sharpness(photo, region)),
    // Of image 2 alone: where even turns show the same columns again, the two are as alike as the photo is with itself.
    blocks: [blockiness(two, region, [8]), blockiness(two, region, [16 / 3])],
    "mean colour": after.map((value, c) => Math.abs(value - before[c]!)),
  };
}

export function rotationSiege(level: "4x90" | "8x45", preset: Preset): Siege {
  const options = rotation.options({ level }, preset);
  const harness = createHarness();

  async function attackAll(
    photoAt: (index: number) => Photo,
    count: number,
    region: Region,
  ): Promise<readonly Attack[]> {
    const labels: number[] = [];
    const seen: { [by: string]: (readonly number[])[] } = {};
    for (let index = 0; labels.length < count; index++) {
      const { made, images } = await harness.make(rotation, options, photoAt(index), { index });
      if (made === undefined) continue;
      labels.push((Number(made.answer) * options.angles) / 360);
      const [one, two] = images as [Photo, Photo];
      const drawn = [made.recipe["box"], made.recipe["shifts"] ?? []].flat() as number[];
      for (const [by, features] of Object.entries({
        index: [index, index % 2, index % 4, index % 8],
        crop: drawn,
        ...look(one, two, region),
      })) {
        // Sums of the same pixels in another order differ in the last bits.
        (seen[by] ??= []).push(features.map((value) => Math.round(value * 1e6) / 1e6));
      }
    }
    const attack = (by: string, of: string, label: (label: number) => number, classes: number) => ({
      by,
      verdict: attackClass(
        labels.map((one, i) => ({ features: seen[of]![i]!, label: label(one) })),
        classes,
      ),
    });
    // Two classes take far fewer puzzles than eight to show a small difference.
    const odd = options.angles === 8 ? ["sharpness", "blocks"] : [];
    return [
      { by: "commonest answer", verdict: attackFrequency(labels, options.angles) },
      ...Object.keys(seen).map((by) => attack(by, by, (label) => label, options.angles)),
      ...odd.map((by) => attack(`${by}, odd or even`, by, (label) => label % 2, 2)),
    ];
  }

  return {
    name: `rotation ${level} ${preset}`,
    async run(count, part = "all"): Promise<Report> {
      const photos = smallPhotos();
      const real = (index: number): Photo =>
        photos[derive(1, "photo", index).below(photos.length)]!;
      const full = options.frame === "full";
      if (options.angles === 4) {
        const attacks = await attackAll(real, count, "all");
        // The full frame's shape tells 0 and 180 from 90 and 270: that is why it is not the default.
        const told = (by: string): boolean => full && by === "image sizes";
        return {
          leaks: attacks.filter(({ by }) => !told(by)),
          content: attacks.filter(({ by }) => told(by)),
        };
      }
      // An odd eighth of a square shows other corners, and upright things slanted, so any measure of a real photo knows odd from even. What the making
      // of the images adds to that shows on the disc that both share, in photos without a direction; a new one every time, or the attacker learns them.
      const textures = Array.from({ length: 8 }, (_, i) => isotropicPhoto(i, 900, 900));
      const texture = (index: number): Photo => {
        const random = derive(1, "texture", index);
        const [width, height] = [random.between(180, 220), random.between(180, 220)];
        const whole = textures[random.below(textures.length)]!;
        return cutPhoto(
          whole,
          random.below(900 - width),
          random.below(900 - height),
          width,
          height,
        );
      };
      const made = await attackAll(texture, count, "disc");
      const told = ({ by }: Attack): boolean =>
        by === "mean colour" || (full && /^(image sizes|sharpness|blocks)/.test(by));
      const seen = part === "all" ? await attackAll(real, count, "all") : [];
      return {
        leaks: made.filter((attack) => !told(attack)),
        content: seen.filter(({ by }) => /^(image sizes|sharpness|blocks|mean colour)/.test(by)),
      };
    },
  };
}

export const sieges: readonly Siege[] = (["robust", "paper"] as const).flatMap((preset) => [
  rotationSiege("4x90", preset),
  rotationSiege("8x45", preset),
]);
