import type { z } from "zod";
import type { Preset } from "./task.ts";

/** Where a task's defaults come from; what the user wrote goes over the level, the level over the preset. */
export interface Defaults {
  /** The first is the default level. */
  readonly levels: { readonly [level: string]: { readonly [option: string]: unknown } };
  readonly presets: { readonly [preset in Preset]: { readonly [option: string]: unknown } };
}

/** Checks what the user wrote and fills in the rest. Throws z.ZodError, which names an unknown option or a wrong value. */
export function resolveOptions<Schema extends z.ZodObject>(
  schema: Schema,
  defaults: Defaults,
  given: { readonly [key: string]: unknown },
  preset: Preset,
): z.output<Schema> {
  const level = given["level"] ?? Object.keys(defaults.levels)[0];
  // An unknown level has no defaults; the schema's own enumeration of levels refuses it by name.
  const ofLevel =
    typeof level === "string" && Object.hasOwn(defaults.levels, level)
      ? defaults.levels[level]
      : {};
  return schema.parse({ ...defaults.presets[preset], ...ofLevel, ...given, level });
}
