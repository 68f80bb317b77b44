/**
 * A parser of Prometheus' text format, version 0.0.4, written from its page (Exposition formats, "Text format details"), stricter than a scraper: whatever it
 * would let pass with a guess is an error here.
 */

interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly samples: readonly Sample[];
}

interface Sample {
  readonly labels: { readonly [name: string]: string };
  readonly value: number;
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

export function parseExposition(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const families = new Map<string, Family & { samples: Sample[] }>();
  let help: { name: string; text: string } | undefined;
  let family: (Family & { samples: Sample[] }) | undefined;
  for (const line of text.slice(0, -1).split("\n")) {
    if (line === "") continue;
    const [, word, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (word === "HELP") {
      if (help || families.has(name) || !NAME.test(name)) throw new Error(`unexpected: ${line}`);
      help = { name, text: rest };
    } else if (word === "TYPE") {
      if (help?.name !== name || !["counter", "gauge"].includes(rest))
        throw new Error(`unexpected: ${line}`);
      family = { name, help: help.text, type: rest, samples: [] };
      families.set(name, family);
      help = undefined;
    } else if (line.startsWith("#")) throw new Error(`unexpected comment: ${line}`);
    else {
      if (help || !family) throw new Error(`a sample without a type: ${line}`);
      family.samples.push(parseSample(line, family.name));
    }
  }
  for (const { name, samples } of families.values()) {
    const keys = samples.map(({ labels }) =>
      JSON.stringify(Object.entries(labels).sort(([one], [other]) => (one < other ? -1 : 1))),
    );
    if (new Set(keys).size < keys.length) throw new Error(`${name}: a sample twice`);
  }
  return families;
}

function parseSample(line: string, family: string): Sample {
  if (!line.startsWith(family)) throw new Error(`not of ${family}: ${line}`);
  let at = family.length;
  const labels: Record<string, string> = {};
  if (line[at] === "{") {
    at++;
    while (line[at] !== "}") {
      const [whole, name = "", quoted = ""] =
        /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\[\\"n])*)"(?:,(?!\})|(?=\}))/.exec(
          line.slice(at),
        ) ?? [];
      if (whole === undefined || name in labels) throw new Error(`bad label at ${at}: ${line}`);
      labels[name] = quoted.replaceAll(/\\(.)/g, (_, letter: string) =>
        letter === "n" ? "\n" : letter,
      );
      at += whole.length;
    }
    at++;
  }
  const [, number] =
    /^ (-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?)|NaN|[+-]Inf)$/.exec(line.slice(at)) ?? [];
  if (number === undefined) throw new Error(`bad value: ${line}`);
  return { labels, value: Number(number.replace("Inf", "Infinity")) };
}

/** The sum of the samples whose labels are those given, among others; undefined where there is none. */
export function valueOf(
  families: ReadonlyMap<string, Family>,
  name: string,
  labels: { readonly [name: string]: string } = {},
): number | undefined {
  const found = (families.get(name)?.samples ?? []).filter((sample) =>
    Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
  );
  return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0);
}
