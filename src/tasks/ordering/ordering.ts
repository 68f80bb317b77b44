import type { Box, Picture } from "../../images/picture.ts";
import { leastDifference } from "../alike.ts";
import { boxRecipe, fitPhoto, place, type Fit } from "../fit.ts";
import type { Made, MakeContext, Task, Unusable } from "../task.ts";
import {
  orderingLevels,
  orderingOptions,
  orderingSchema,
  type OrderingOptions,
} from "./options.ts";

/** Where to cut patches from: the photo itself where it is shown in its own size, else a scaled copy. */
function source(
  context: MakeContext,
  photo: Fit,
): { readonly picture: Picture; readonly left: number; readonly top: number } {
  const { box, width, height } = photo;
  if (box.width === width && box.height === height)
    return { picture: context.image, left: box.x, top: box.y };
  const picture = context.arena.picture(width, height);
  place(context, photo, picture);
  return { picture, left: 0, top: 0 };
}

async function make(context: MakeContext, options: OrderingOptions): Promise<Made | Unusable> {
  const { draw, sizes } = context;
  const { grid, minDifference } = options;
  const cells = grid * grid;
  const photo = fitPhoto(context, {
    columns: grid,
    rows: grid,
    minPixels: cells * sizes.minPixels,
    maxPixels: cells * sizes.maxPixels,
  });
  if ("unusable" in photo) return photo;
  const { picture, left, top } = source(context, photo);
  const width = photo.width / grid;
  const height = photo.height / grid;
  const places = Array.from({ length: cells }, (_, k): Box => {
    const column = k % grid;
    return { x: left + column * width, y: top + ((k - column) / grid) * height, width, height };
  });
  if (minDifference > 0 && leastDifference(context, picture, places) < minDifference) {
    context.reject("patches alike");
    return { unusable: "two patches look alike" };
  }

  // shown[k] is the place that patch k + 1 was cut from.
  const shown = context.random("order").shuffle(places.map((_, k) => k));
  for (const k of shown) draw.copy(picture, places[k] as Box, context.show(width, height), 0, 0);
  return {
    answer: places.map((_, k) => shown.indexOf(k) + 1).join(", "),
    labels: shown.map((_, k) => `Patch ${k + 1}`),
    values: { grid: String(grid), patches: String(cells) },
    recipe: {
      photo: boxRecipe(photo.box),
      size: [photo.width, photo.height],
      patch: [width, height],
      shown,
    },
  };
}

/** The patches of a grid, shuffled (paper, section 3.2.1, Patch Ordering). answer[p] is the number of the shown patch that belongs at place p. */
export const ordering: Task<OrderingOptions> = {
  name: "ordering",
  answerKind: "sequence",
  levels: orderingLevels,
  others: 0,
  options: orderingOptions,
  schema: orderingSchema,
  images: ({ grid }) => grid * grid,
  template: `{images}
A photo was cut into {grid} rows and {grid} columns, and the {patches} patches were shuffled (they may still be in place). Go through the places of the original photo row by row, each from left to right, starting at the top. For each place write the number of the patch that belongs there: {patches} numbers, each once, separated by commas. (With three places: patch 2 first, patch 3 second, patch 1 third is written 2, 3, 1.)

{suffix}`,
  make,
};
