import { z } from "zod";
import { resolveOptions, type Defaults } from "../options.ts";
import type { Task } from "../task.ts";
import { prepareFull, prepareSquare, prepareWarped } from "./frames.ts";

export interface RotationOptions {
  readonly level: "4x90" | "8x45";
  /** Allowed turns, evenly spread over 360 degrees from 0. */
  readonly angles: 4 | 8;
  /** A drawn square of the photo, the same in both images; or the full frame, whose shape tells 0 and 180 from 90 and 270. */
  readonly frame: "square" | "full";
  /**
   * The photo is refused where two allowed turns of its 32 x 32 thumbnail differ by less than this: mean absolute difference, 0 .. 255.
   * 0 refuses none.
   */
  readonly minDifference: number;
}

const schema = z.strictObject({
  level: z.enum(["4x90", "8x45"]),
  angles: z.literal([4, 8]),
  frame: z.enum(["square", "full"]),
  minDifference: z.number().min(0).max(255),
});

const defaults: Defaults = {
  levels: { "4x90": { angles: 4 }, "8x45": { angles: 8 } },
  presets: {
    robust: { frame: "square", minDifference: 6 },
    paper: { frame: "full", minDifference: 0 },
  },
};

const template = `{images}
Image 2 is Image 1 after a clockwise turn. By how many degrees clockwise must Image 1 be turned to look like Image 2? Choose from {angles} (0 means not turned). Answer with the number only, without a unit.

{suffix}`;

/** Image 2 is Image 1 turned clockwise by one of the allowed angles (paper, section 3.2, rotation prediction). */
export const rotation: Task<RotationOptions> = {
  name: "rotation",
  answerKind: "number",
  levels: Object.keys(defaults.levels),
  others: 0,
  schema,
  options: (given, preset) => resolveOptions(schema, defaults, given, preset),
  images: () => 2,
  template,
  // oxlint-disable-next-line require-await
  async make(context, options) {
    const { angles, frame } = options;
    const prepare = frame === "full" ? prepareFull : angles === 8 ? prepareWarped : prepareSquare;
    const frames = prepare(context, options);
    if ("unusable" in frames) return frames;
    const turns = context.random("angle").below(angles);
    const degrees = (turns * 360) / angles;
    frames.show(degrees);
    return {
      answer: String(degrees),
      labels: ["Image 1", "Image 2"],
      values: {
        angles: Array.from({ length: angles }, (_, turn) => String((turn * 360) / angles)).join(
          ", ",
        ),
      },
      recipe: { degrees, frame, ...frames.recipe },
    };
  },
};
