import { asStreamError, StreamError } from "../errors.ts";
import { scoreOptions, type ScoreOptions } from "./options.ts";
import { score, type Score } from "./score.ts";

/** Sums over the lines so far; the means are these divided by `scored`. */
export interface Tally {
  scored: number;
  bad: number;
  accuracy: number;
  format: number;
  total: number;
  exact: number;
  exactString: number;
  parsed: number;
}

export function emptyTally(): Tally {
  return {
    scored: 0,
    bad: 0,
    accuracy: 0,
    format: 0,
    total: 0,
    exact: 0,
    exactString: 0,
    parsed: 0,
  };
}

export interface ScoreLinesOptions extends ScoreOptions {
  /** Counted up line by line. */
  readonly tally?: Tally;
}

const identifying = ["id", "index", "entry"] as const;

/**
 * Lines of a text that comes in pieces, without their "\n". Not node:readline, which also breaks lines at U+2028 and U+2029: both may stand
 * in a JSON string as they are.
 */
export async function* splitLines(
  chunks: AsyncIterable<string>,
): AsyncGenerator<string, void, undefined> {
  // Joined once a line: adding to one string and searching it again would take quadratic time on a long line.
  let begun: string[] = [];
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf("\n"); end >= 0; end = chunk.indexOf("\n", from)) {
      yield begun.join("") + chunk.slice(from, end);
      begun = [];
      from = end + 1;
    }
    if (from < chunk.length) begun.push(chunk.slice(from));
  }
  if (begun.length > 0) yield begun.join("");
}

interface Line {
  readonly completion: string;
  readonly answer: string;
  readonly identity: { readonly [name: string]: unknown };
}

/**
 * Scores JSON lines {"completion" or "response", "answer", optional "id", "index", "entry"}: one line out for each line in, in order;
 * {"line": n, "error": {code, message}} for one that can't be scored (n counts from 1). Blank lines are passed over, but counted in n.
 * Throws BAD_OPTION for wrong options, at the first line asked for.
 */
export async function* scoreLines(
  lines: AsyncIterable<string>,
  options: ScoreLinesOptions = {},
): AsyncGenerator<string, void, undefined> {
  const { tally = emptyTally(), ...rest } = options;
  const set = scoreOptions(rest);
  let number = 0;
  for await (const line of lines) {
    number++;
    if (line.trim() !== "") yield JSON.stringify(scored(line, number, set, tally));
  }
}

function scored(
  line: string,
  number: number,
  options: Required<ScoreOptions>,
  tally: Tally,
): object {
  try {
    const { completion, answer, identity } = parse(line);
    const result = score(completion, answer, options);
    add(tally, result);
    const { exactString, parsed, extracted, ...numbers } = result;
    return { ...identity, ...numbers, exact_string: exactString, parsed, extracted };
  } catch (error) {
    tally.bad++;
    const { code, message } = asStreamError(error);
    return { line: number, error: { code, message } };
  }
}

function parse(line: string): Line {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new StreamError("BAD_OPTION", `not JSON: ${(cause as Error).message}`, { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new StreamError("BAD_OPTION", "not a JSON object");
  const fields = value as { readonly [name: string]: unknown };
  const completion = Object.hasOwn(fields, "completion")
    ? fields["completion"]
    : fields["response"];
  if (typeof completion !== "string")
    throw new StreamError("BAD_OPTION", 'needs a string in "completion" or "response"');
  const answer = fields["answer"];
  if (typeof answer !== "string") throw new StreamError("BAD_OPTION", 'needs a string in "answer"');
  const identity = Object.fromEntries(
    identifying.filter((name) => Object.hasOwn(fields, name)).map((name) => [name, fields[name]]),
  );
  return { completion, answer, identity };
}

function add(tally: Tally, result: Score): void {
  tally.scored++;
  tally.accuracy += result.accuracy;
  tally.format += result.format;
  tally.total += result.total;
  tally.exact += Number(result.exact);
  tally.exactString += Number(result.exactString);
  tally.parsed += Number(result.parsed);
}
