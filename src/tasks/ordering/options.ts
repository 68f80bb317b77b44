import { z } from "zod";
import { resolveOptions, type Defaults } from "../options.ts";
import type { Preset } from "../task.ts";

export interface OrderingOptions {
  readonly level: "3x3" | "2x2";
  /** Rows, and as many columns, 2 .. 4. */
  readonly grid: number;
  /**
   * The photo is refused where the 16 x 16 thumbnails of two patches differ by less: mean absolute difference, 0 .. 255. Nobody could tell which goes
   * where. 0 refuses none.
   */
  readonly minDifference: number;
}

const schema = z.strictObject({
  level: z.enum(["3x3", "2x2"]),
  grid: z.int().min(2).max(4),
  minDifference: z.number().min(0).max(255),
});

const defaults: Defaults = {
  levels: { "3x3": { grid: 3 }, "2x2": { grid: 2 } },
  presets: { robust: { minDifference: 5 }, paper: { minDifference: 0 } },
};

export const orderingSchema: z.ZodType = schema;
export const orderingLevels: readonly string[] = Object.keys(defaults.levels);

export function orderingOptions(
  given: { readonly [key: string]: unknown },
  preset: Preset,
): OrderingOptions {
  return resolveOptions(schema, defaults, given, preset);
}
