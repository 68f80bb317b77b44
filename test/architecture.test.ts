import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const src = join(root, "src");

interface Source {
  /** Below src, with "/". */
  readonly name: string;
  readonly lines: readonly string[];
  /** What it imports, as written. */
  readonly imports: readonly string[];
}

/** Comments go: they may speak of what the code must not do. */
function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/(^|\s)\/\/.*$/gm, "$1");
}

const sources: readonly Source[] = readdirSync(src, { recursive: true, encoding: "utf8" })
  .map((name) => name.split(sep).join("/"))
  .filter(
    (name) =>
      name.endsWith(".ts") && !name.endsWith(".d.ts") && !name.startsWith("images/assembly/"),
  )
  .sort()
  .map((name) => {
    const text = readFileSync(join(src, name), "utf8");
    const code = withoutComments(text);
    const imports = [
      ...code.matchAll(/^(?:import|export)\s[^;]*?from\s*"([^"]+)"/gm),
      ...code.matchAll(/\bimport\s*\(\s*"([^"]+)"/g),
      ...code.matchAll(/^import\s+"([^"]+)"/gm),
      // A CommonJS addon: createRequire(import.meta.url)("name").
      ...code.matchAll(/createRequire\(import\.meta\.url\)\(\s*"([^"]+)"/g),
    ].map(([, from]) => from!);
    return { name, lines: code.split("\n"), imports: [...new Set(imports)] };
  });

/** The folder that stands for a file in the picture of the layers; files directly in src are the loader, but for the nouns and errors. */
function part(name: string): string {
  if (/^(model|errors|abort|notice)\.ts$/.test(name)) return "model";
  if (name === "index.ts") return "index";
  return name.includes("/") ? name.slice(0, name.indexOf("/")) : "loader";
}

/** Imports go from an earlier line to a later one; within a line only without a circle. */
const layers = [
  ["index", "cli"], // the package for programs and for people
  ["ops"],
  ["transport"],
  ["loader"],
  ["plan", "sources", "workers"],
  ["tasks", "shards", "images", "random", "rewards", "net", "cache"],
  ["model"],
] as const;
const levelOf = new Map<string, number>(
  layers.flatMap((parts, level) => parts.map((one) => [one, level] as const)),
);

const edges = sources.flatMap(({ name, imports }) =>
  imports
    .filter((from) => from.startsWith("."))
    .map((from) => {
      const to = relative(src, join(src, dirname(name), from))
        .split(sep)
        .join("/");
      return { name, to, from: part(name), into: part(to) };
    }),
);

describe("imports", () => {
  test("there are sources, and every folder has its place", () => {
    expect(sources.length).toBeGreaterThan(60);
    expect(edges.length).toBeGreaterThan(150);
    const parts = new Set(sources.map(({ name }) => part(name)));
    expect([...parts].filter((one) => !levelOf.has(one))).toEqual([]);
    expect([...levelOf.keys()].filter((one) => !parts.has(one))).toEqual([]);
  });

  test("they go one way", () => {
    const wrong = edges.filter(({ from, into }) => levelOf.get(into)! < levelOf.get(from)!);
    expect(wrong.map(({ name, to }) => `${name} -> ${to}`)).toEqual([]);
  });

  test("folders of one layer do not go in circles", () => {
    const next = new Map<string, Set<string>>();
    for (const { from, into } of edges)
      if (from !== into) next.set(from, (next.get(from) ?? new Set()).add(into));
    const reaches = (from: string, goal: string, seen = new Set<string>()): boolean =>
      [...(next.get(from) ?? [])].some(
        (one) => one === goal || (!seen.has(one) && reaches(one, goal, seen.add(one))),
      );
    expect([...levelOf.keys()].filter((one) => reaches(one, one))).toEqual([]);
  });

  test("a task knows no other task", () => {
    const wrong = edges.filter(({ name, to }) => {
      const [, own] = /^tasks\/(\w+)\//.exec(name) ?? [];
      const [, other] = /^tasks\/(\w+)\//.exec(to) ?? [];
      return own !== undefined && other !== undefined && own !== other;
    });
    expect(wrong.map(({ name, to }) => `${name} -> ${to}`)).toEqual([]);
  });

  test("shared code never asks which task it is", () => {
    const names = /["'`](rotation|similarity|inpainting|ordering|correspondence)["'`]/;
    const wrong = sources.filter(
      ({ name, lines }) =>
        // The default mix and what the command line shows of a batch name them.
        !/^(tasks\/|options\.ts$|cli\/)/.test(name) && lines.some((line) => names.test(line)),
    );
    expect(wrong.map(({ name }) => name)).toEqual([]);
  });
});

describe("libraries", () => {
  /** The one folder that knows each; zod is the language in which options are written down. */
  const homes: Readonly<Record<string, readonly string[]>> = {
    "@huggingface/hub": ["sources"],
    "@julusian/jpeg-turbo": ["images"],
    commander: ["cli"],
    "it-pipe": ["loader"],
    msgpackr: ["transport"],
    pino: ["ops"],
    piscina: ["workers"],
    "prom-client": ["ops"],
    sharp: ["images"],
    undici: ["net"],
    yaml: ["cli"],
    zod: ["loader", "tasks"],
  };
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  const used = new Map<string, Set<string>>();
  for (const { name, imports } of sources)
    for (const from of imports) {
      if (from.startsWith(".") || from.startsWith("node:")) continue;
      const library = from.split("/", from.startsWith("@") ? 2 : 1).join("/");
      used.set(library, (used.get(library) ?? new Set()).add(part(name)));
    }

  test("each is imported in its own folder only", () => {
    const found = Object.fromEntries([...used].map(([name, parts]) => [name, [...parts].sort()]));
    expect(found).toEqual(homes);
  });

  test("no native code sees what clients send", () => {
    expect(sources.filter(({ imports }) => imports.includes("msgpackr"))).toEqual([]);
  });

  test("all that are imported are dependencies, at one version each", () => {
    expect([...used.keys()].filter((name) => !(name in manifest.dependencies))).toEqual([]);
    for (const version of Object.values(manifest.dependencies)) expect(version).toMatch(/^\d/);
  });

  test("jpeg-turbo is known to one file", () => {
    const files = sources.filter(({ imports }) => imports.includes("@julusian/jpeg-turbo"));
    expect(files.map(({ name }) => name)).toEqual(["images/jpeg.ts"]);
  });
});

describe("what reaches a batch", () => {
  const uses = (pattern: RegExp): string[] =>
    sources.filter(({ lines }) => lines.some((line) => pattern.test(line))).map(({ name }) => name);

  test("no chance but ours, no function that differs between engines, no date, no locale", () => {
    const unsteady =
      /Math\.(random|sin|cos|tan|asin|acos|atan2?|sinh|cosh|tanh|exp|expm1|pow|log|log2|log10|log1p|cbrt|hypot)\b/;
    // When bytes come may depend on both: pauses between tries, a server's dates, temporary names, a cache's locks.
    const apart = (name: string): boolean => !/^(net|cache|ops)\//.test(name);
    expect(uses(unsteady).filter(apart)).toEqual([]);
    // A number for an error, a key under which tokens are compared.
    expect(uses(/\bDate\b|\brandomUUID\b|\brandomBytes\b|\brandomInt\b/).filter(apart)).toEqual([
      "transport/tokens.ts",
      "transport/told.ts",
    ]);
    expect(
      uses(/localeCompare|toLocale|\bIntl\b/).filter((name) => !name.startsWith("cli/")),
    ).toEqual([]);
  });

  test("the clock is for statistics and deadlines", () => {
    const clock = uses(/performance\.|\bhrtime\b/).filter(
      (name) => !/^(cli|ops|net|cache)\//.test(name),
    );
    expect(clock).toEqual([
      "cells.ts",
      "shards/pace.ts",
      "transport/server.ts",
      "transport/tally.ts",
      "workers/cell.ts",
      "workers/pool.ts",
    ]);
  });

  test("powers are of whole numbers", () => {
    const wrong = sources.flatMap(({ name, lines }) =>
      lines
        // a power of two is exact, whatever whole number it is raised to
        .filter((line) => /\*\*(?!")/.test(line) && !/\b(\d+ \*\* -?\d+\b|2 \*\* [\w(])/.test(line))
        .map((line) => `${name}: ${line.trim()}`),
    );
    expect(wrong).toEqual([]);
  });
});

test("no file is longer than a reader can hold", () => {
  const long = sources.filter(
    ({ name }) => readFileSync(join(src, name), "utf8").split("\n").length > 400,
  );
  expect(long.map(({ name }) => name)).toEqual([]);
});
