import { readFileSync } from "node:fs";
import { Option, type Command } from "commander";
import { parse as parseYaml } from "yaml";
import { StreamError } from "../errors.ts";
import { optionNames, sourceOptionNames, type StreamOptions } from "../options.ts";

/** What the flag takes and what it means; ranges and defaults are checked where all options are. `source` is the command's argument. */
const flags: {
  readonly [Name in Exclude<keyof StreamOptions, "source">]-?: readonly [
    takes: string,
    meaning: string,
  ];
} = {
  seed: ["number", "everything random follows from it"],
  weights: ["numbers", "shares of the sources in a mix, comma-separated"],
  batch: ["number", "puzzles in a batch"],
  partitions: ["number", "fixed lanes of the stream, a divisor of batch"],
  entries: ["list", "the mix: task[:level][*weight], comma-separated (more in a config file)"],
  preset: ["name", "defaults of the tasks: robust or paper"],
  order: ["name", "way through the images: independent, or shared by all entries"],
  window: ["number", "rows shuffled among themselves"],
  deal: ["name", "how shards come to partitions: rows or shards"],
  passes: ["number", "end after so many passes over the data"],
  factor: ["pixels", "sides of shown images are multiples of it"],
  minPixels: ["pixels", "least area of a shown image"],
  maxPixels: ["pixels", "greatest area of a shown image"],
  fit: ["name", "how photos come to a multiple of factor: crop or resize"],
  templates: ["file", "prompt texts, YAML or JSON"],
  groupField: ["name", "field of a sample's json, or column, that names its photo"],
  imageField: [
    "name",
    "extension, or column, that is the image (default: the first that looks like one)",
  ],
  cache: ["folder", "where fetched data is kept; --no-cache keeps it in memory"],
  cacheSize: ["bytes", "most that the cache may hold, like 100GB"],
  memoryLimit: ["bytes", "most kept in memory without a cache, like 1GiB"],
  whenFull: ["name", "disk full: error, or go on in memory"],
  requests: ["number", "requests to servers at once"],
  retryFor: ["seconds", "how long a failing server is tried again"],
  prefetch: ["number", "shards opened ahead of their use"],
  counts: [
    "file",
    "counts of shards, from ssl-r1 index --out; or tcp://... of a loader that has counted them",
  ],
  maxInputPixels: ["pixels", "larger images are refused before they are decoded"],
  maxSkips: ["number", "fail when more images are unusable"],
  maxSkipShare: ["share", "fail when more of the images are unusable, 0 to 1"],
  workers: ["number", "worker threads"],
  node: ["i/N", "this is loader i of N, 0 <= i < N: prefers its share of the partitions"],
};

const numeric: ReadonlySet<string> = new Set(["number", "pixels", "share", "seconds"]);

/** Adds the argument, a flag for every option of a stream, and --config. */
export function withStreamOptions(command: Command): Command {
  return withOptions(command, optionNames);
}

/** As withStreamOptions, for those options that concern the source alone. */
export function withSourceOptions(command: Command): Command {
  return withOptions(command, sourceOptionNames);
}

function withOptions(command: Command, names: readonly string[]): Command {
  command.argument(
    "[source...]",
    "folder, tars, Parquet files, a pattern of these, https://... or hf://datasets/OWNER/NAME",
  );
  command.addOption(new Option("--config <file>", "options from a YAML file; flags go over it"));
  for (const name of names) {
    if (name === "source") continue;
    const [takes, meaning] = flags[name as keyof typeof flags];
    command.addOption(new Option(`--${kebab(name)} <${takes}>`, meaning));
    if (name === "cache") command.addOption(new Option("--no-cache").hideHelp());
  }
  return command;
}

/** The stream options of a command line. BAD_OPTION names the flag or the file. */
export function streamOptions(
  source: readonly string[] | undefined,
  given: { readonly [name: string]: unknown },
): StreamOptions {
  const options: { [name: string]: unknown } = {};
  if (typeof given["config"] === "string") Object.assign(options, readYaml(given["config"]));
  if (source?.length) options["source"] = source.length === 1 ? source[0] : source;
  if (given["cache"] === false) options["cache"] = "none";
  for (const name of optionNames) {
    const value = given[name];
    if (typeof value !== "string") continue;
    const [takes] = flags[name as keyof typeof flags];
    if (numeric.has(takes)) options[name] = numberOf(name, value);
    else if (takes === "list") options[name] = value.split(",").map((item) => item.trim());
    else if (takes === "numbers")
      options[name] = value.split(",").map((item) => numberOf(name, item));
    else if (name === "templates") options[name] = readYaml(value);
    else options[name] = value;
  }
  if (options["source"] === undefined)
    throw new StreamError(
      "BAD_OPTION",
      "source: give a folder, tars, Parquet files, https://... or hf://datasets/OWNER/NAME",
    );
  return options as unknown as StreamOptions;
}

/** The text of the option, not its rounded number: 1e3 and 0x10 are numbers to a shell user as well. */
function numberOf(name: string, text: string): number {
  const number = text.trim() === "" ? Number.NaN : Number(text);
  if (Number.isNaN(number))
    throw new StreamError(
      "BAD_OPTION",
      `--${kebab(name)}: got ${JSON.stringify(text)}; expected a number`,
    );
  return number;
}

function readYaml(file: string): { [name: string]: unknown } {
  let parsed: unknown;
  try {
    parsed = parseYaml(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new StreamError("BAD_OPTION", `${file}: ${(cause as Error).message}`, { cause });
  }
  if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed))
    throw new StreamError("BAD_OPTION", `${file}: expected names and values`);
  return parsed as { [name: string]: unknown };
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** A whole number from a command line. */
export function wholeNumber(name: string, text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(number))
    throw new StreamError(
      "BAD_OPTION",
      `--${name}: got ${JSON.stringify(text)}; expected a whole number from 0`,
    );
  return number;
}

/** `4`, `0..9` (both included), `9..0` and lists of these. */
export function stepList(text: string): readonly number[] {
  return text.split(",").flatMap((part) => {
    const [first = "", last = first, ...more] = part.trim().split("..");
    const from = wholeNumber("steps", first);
    const to = wholeNumber("steps", last);
    if (more.length > 0 || Math.abs(to - from) > 10_000_000)
      throw new StreamError("BAD_OPTION", `--steps: got ${JSON.stringify(part)}; write 0..9`);
    const length = Math.abs(to - from) + 1;
    return Array.from({ length }, (_, at) => (to >= from ? from + at : from - at));
  });
}
