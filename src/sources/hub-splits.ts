/** By which parts of a path a split is known, and whether it ends in one of the letters between words. */
const words: readonly (readonly [split: string, word: string])[] = [
  ["train", "train(?:ing)?"],
  ["validation", "validation|valid|val|dev"],
  ["test", "test(?:ing)?|eval(?:uation)?"],
];
const between = "[-._ 0-9]";
const inFolder = words.map(
  ([split, word]) => [split, new RegExp(`(?:^|${between})(?:${word})(?:${between}|$)`)] as const,
);
const inName = words.map(
  ([split, word]) => [split, new RegExp(`(?:^|${between})(?:${word})${between}`)] as const,
);

/**
 * The split of a file by its path, as `datasets` tells it (https://huggingface.co/docs/hub/datasets-file-names-and-splits): by "data/SPLIT-00000-of-00001.…"
 * where one file is named so; else by the first folder that is called like a split; else by the file's name. Whichever of these three rules knows one file
 * holds for all of them; undefined for a file that it does not know.
 */
export function splitRule(paths: readonly string[]): (path: string) => string | undefined {
  const rules = [bySharding, byFolder, byName];
  return rules.find((rule) => paths.some((path) => rule(path) !== undefined)) ?? (() => undefined);
}

function bySharding(path: string): string | undefined {
  return /^data\/(\w+(?:\.\w+)*)-\d{5}-of-\d{5}[^/]*\.[^/]*$/.exec(path)?.[1];
}

function byFolder(path: string): string | undefined {
  const folders = path.split("/").slice(0, -1);
  for (const folder of folders) {
    const known = inFolder.find(([, word]) => word.test(folder));
    if (known) return known[0];
  }
  return undefined;
}

function byName(path: string): string | undefined {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return inName.find(([, word]) => word.test(name))?.[0];
}
