import { StreamError } from "../errors.ts";
import type { Choice } from "./hub-choice.ts";
import { matcher } from "./hub-pattern.ts";

/** A part of a data set, as its README declares it (https://huggingface.co/docs/hub/datasets-manual-configuration). */
interface Config {
  readonly name: string;
  readonly isDefault: boolean;
  /** Patterns of files by split. */
  readonly splits: ReadonlyMap<string, readonly string[]>;
}

/**
 * The files of the default configuration, and of its splits the one for training. Undefined where the README declares none, or none of these files: then the
 * names decide. Throws BAD_OPTION where there are several configurations and no default, or several splits and none for training.
 */
export function chooseConfigured(
  choice: Choice,
  configs: unknown,
  address: string,
): Choice | undefined {
  const all = configsOf(configs);
  const [first] = all;
  if (!first) return undefined;
  const config = all.length === 1 ? first : all.find(({ isDefault }) => isDefault);
  if (!config) {
    if (!all.some(({ splits }) => filesOf(choice, [...splits.values()].flat()).length > 0))
      return undefined;
    throw new StreamError(
      "BAD_OPTION",
      `${address}: has the configurations ${all.map(({ name }) => name).join(", ")}; name the files of one by a pattern; those of ${first.name} are ${[...first.splits.values()].flat().join(", ")}`,
    );
  }
  const { splits } = config;
  if (filesOf(choice, [...splits.values()].flat()).length === 0) return undefined;
  const names = [...splits.keys()];
  const split = names.length === 1 ? names[0] : names.find((name) => name === "train");
  const patterns = split === undefined ? undefined : splits.get(split);
  if (!patterns)
    throw new StreamError(
      "BAD_OPTION",
      `${address}: has the splits ${names.join(", ")}; name the files of one by a pattern; those of ${names[0]} are ${splits.get(names[0] as string)?.join(", ")}`,
    );
  const entries = filesOf(choice, patterns);
  if (entries.length === 0) return undefined;
  const notes = [...choice.notes];
  if (all.length > 1)
    notes.push(
      `configuration ${config.name} is taken of ${all.map(({ name }) => name).join(", ")}`,
    );
  const others = names.filter((name) => name !== split);
  if (others.length > 0) notes.push(`split ${split} is taken; other splits: ${others.join(", ")}`);
  return { kind: choice.kind, entries, notes };
}

function filesOf({ entries }: Choice, patterns: readonly string[]): Choice["entries"] {
  const matchers = patterns.map(matcher);
  return entries.filter(({ path }) => matchers.some((matches) => matches(path)));
}

/** What can be understood of it; the README is anybody's. */
function configsOf(configs: unknown): Config[] {
  if (!Array.isArray(configs)) return [];
  return configs.flatMap((config: unknown): Config[] => {
    const { config_name: name, data_files: files, default: isDefault } = fieldsOf(config);
    const splits = splitsOf(files);
    if (typeof name !== "string" || splits.size === 0) return [];
    return [{ name, isDefault: isDefault === true || name === "default", splits }];
  });
}

/** A pattern, several, or a list of {split, path}. */
function splitsOf(files: unknown): Map<string, string[]> {
  const splits = new Map<string, string[]>();
  for (const one of Array.isArray(files) ? (files as unknown[]) : [files]) {
    const { split = "train", path = one } = fieldsOf(one);
    const paths = (Array.isArray(path) ? (path as unknown[]) : [path]).filter(
      (pattern) => typeof pattern === "string",
    );
    if (typeof split === "string" && paths.length > 0)
      splits.set(split, [...(splits.get(split) ?? []), ...paths]);
  }
  return splits;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
