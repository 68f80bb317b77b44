import { z } from "zod";
import { resolveOptions, type Defaults } from "../options.ts";
import type { Preset } from "../task.ts";

export interface CorrespondenceOptions {
  readonly level: "6" | "4";
  /** Numbered points, 2 .. 9: a marker has one digit. */
  readonly points: number;
  /** wide: any rotation, scale 0.7 to 1.1, shift up to 5 %; mild: up to 30 degrees, scale 0.8 to 1.2, shift up to 10 %; both: slant up to 10 degrees. */
  readonly motion: "wide" | "mild";
}

const schema = z.strictObject({
  level: z.enum(["6", "4"]),
  points: z.int().min(2).max(9),
  motion: z.enum(["wide", "mild"]),
});

const defaults: Defaults = {
  levels: { 6: { points: 6 }, 4: { points: 4 } },
  presets: { robust: { motion: "wide" }, paper: { motion: "mild" } },
};

export const correspondenceSchema: z.ZodType = schema;

/** The default first, which keys that look like numbers can't say. */
export const correspondenceLevels: readonly string[] = ["6", "4"];

export function correspondenceOptions(
  given: { readonly [key: string]: unknown },
  preset: Preset,
): CorrespondenceOptions {
  const { level = correspondenceLevels[0] } = given;
  // YAML reads 6 as a number.
  const name = typeof level === "number" ? String(level) : level;
  return resolveOptions(schema, defaults, { ...given, level: name }, preset);
}
