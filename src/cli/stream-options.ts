import { readFileSync } from "node:fs";
import { Option, type Command } from "commander";
import { parse as parseYaml } from "yaml";
import { StreamError } from "../errors.ts";
import { optionNames, type StreamOptions } from "../options.ts";

/** What the flag takes and what it means; ranges and defaults are checked where all options are. `source` is the command's argument. */
const flags: {
  readonly [Name in Exclude<keyof StreamOptions, "source">]-?: readonly [
    takes: string,
    meaning: string,
  ];
} = {
  seed: ["number", "everything random follows from it"],
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
  groupField: ["name", "member of a sample's json that names its photo"],
  maxInputPixels: ["pixels", "larger images are refused before they are decoded"],
  maxSkipShare: ["share", "fail when more of the images are unusable, 0 to 1"],
  workers: ["number", "worker threads"],
};

const numeric: ReadonlySet<string> = new Set(["number", "pixels", "share"]);

/** Adds the argument, a flag for every option of a stream, and --config. */
export function withStreamOptions(command: Command): Command {
  command.argument("[source]", "folder of images, folder of tars, tar, or a pattern of tars");
  command.addOption(new Option("--config <file>", "options from a YAML file; flags go over it"));
  for (const name of optionNames) {
    if (name === "source") continue;
    const [takes, meaning] = flags[name as keyof typeof flags];
    command.addOption(new Option(`--${kebab(name)} <${takes}>`, meaning));
  }
  return command;
}

/** The stream options of a command line. BAD_OPTION names the flag or the file. */
export function streamOptions(
  source: string | undefined,
  given: { readonly [name: string]: unknown },
): StreamOptions {
  const options: { [name: string]: unknown } = {};
  if (typeof given["config"] === "string") Object.assign(options, readYaml(given["config"]));
  if (source !== undefined) options["source"] = source;
  for (const name of optionNames) {
    const value = given[name];
    if (typeof value !== "string") continue;
    const [takes] = flags[name as keyof typeof flags];
    if (numeric.has(takes)) options[name] = numberOf(name, value);
    else if (takes === "list") options[name] = value.split(",").map((item) => item.trim());
    else if (takes === "file") options[name] = readYaml(value);
    else options[name] = value;
  }
  if (options["source"] === undefined)
    throw new StreamError("BAD_OPTION", "source: give a folder, a tar or a pattern of tars");
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
