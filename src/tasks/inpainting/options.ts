import { z } from "zod";
import { resolveOptions, type Defaults } from "../options.ts";
import type { Preset } from "../task.ts";

export interface InpaintingOptions {
  readonly level: "50" | "25";
  /** Area of the hidden part over that of the image, 0.05 .. 0.6. */
  readonly ratio: number;
  /** exact: as near below the ratio as whole cells allow, never under 0.8 of it; atMost: any height and width whose area does not exceed it. */
  readonly area: "exact" | "atMost";
  /** spread: the four places overlap as little as 128 draws allow; free: uniform and independent. */
  readonly places: "spread" | "free";
  /** Four places are drawn anew where two of them have a larger intersection over union, 0.1 .. 1. */
  readonly maxOverlap: number;
  /** All is drawn anew where two candidates' 16 x 16 thumbnails differ by less: mean absolute difference, 0 .. 255. 0 rejects none. */
  readonly minDifference: number;
  /** Pixels around the hidden part that are gray as well, so that no seam can be compared, 0 .. 64. */
  readonly gap: number;
}

const schema = z.strictObject({
  level: z.enum(["50", "25"]),
  ratio: z.number().min(0.05).max(0.6),
  area: z.enum(["exact", "atMost"]),
  places: z.enum(["spread", "free"]),
  maxOverlap: z.number().min(0.1).max(1),
  minDifference: z.number().min(0).max(255),
  gap: z.int().min(0).max(64),
});

const defaults: Defaults = {
  levels: { 50: { ratio: 0.5 }, 25: { ratio: 0.25 } },
  presets: {
    robust: { area: "exact", places: "spread", maxOverlap: 0.9, minDifference: 6, gap: 0 },
    paper: { area: "atMost", places: "free", maxOverlap: 0.9, minDifference: 0, gap: 0 },
  },
};

export const inpaintingSchema: z.ZodType = schema;

/** The default first, which keys that look like numbers can't say. */
export const inpaintingLevels: readonly string[] = ["50", "25"];

export function inpaintingOptions(
  given: { readonly [key: string]: unknown },
  preset: Preset,
): InpaintingOptions {
  const { level = inpaintingLevels[0] } = given;
  // YAML reads 50 as a number, and 50% is how people write it.
  const name =
    typeof level === "number" || typeof level === "string" ? String(level).replace("%", "") : level;
  return resolveOptions(schema, defaults, { ...given, level: name }, preset);
}
