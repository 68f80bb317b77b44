import { pino } from "pino";
import { StreamError } from "../errors.ts";

export const logFormats = ["json", "text"] as const;
export type LogFormat = (typeof logFormats)[number];
export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

type Fields = { readonly [name: string]: unknown };

/** Events of a loader, on standard error: standard output has the one line that says where it listens. Fields never hold tokens. */
export interface Log {
  debug(event: string, fields?: Fields): void;
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  error(event: string, fields?: Fields): void;
  /** A sentence for people: a line of its own in text. */
  note(message: string): void;
  readonly format: LogFormat;
}

export interface LogOptions {
  readonly format: LogFormat;
  readonly level: LogLevel;
  /** Takes a line without its end; standard error. */
  readonly write?: (line: string) => void;
  /** Milliseconds. */
  readonly clock?: () => number;
}

/** Lines of one event that are written within WINDOW milliseconds; who floods a loader must not fill its disk. */
const MOST = 50;
const WINDOW = 10_000;

/**
 * `{"level":"info","time":"...","event":"client joined",...}` or `info client joined name="trainer"`. Of an event that comes too often a part is left out, and
 * the next that is written says how many.
 */
export function createLog({
  format,
  level,
  write = (line) => void process.stderr.write(`${line}\n`),
  clock = () => performance.now(),
}: LogOptions): Log {
  const json = pino(
    {
      base: null,
      level,
      messageKey: "event",
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string) => write(line.trimEnd()) },
  );
  const windows = new Map<string, { began: number; written: number; left: number }>();

  function limited(event: string): number | undefined {
    const now = clock();
    let one = windows.get(event);
    let left = 0;
    if (!one || now - one.began >= WINDOW) {
      left = one?.left ?? 0;
      one = { began: now, written: 0, left: 0 };
      windows.set(event, one);
    }
    if (one.written >= MOST) {
      one.left++;
      return undefined;
    }
    one.written++;
    return left;
  }

  const say =
    (own: Exclude<LogLevel, "silent">) =>
    (event: string, fields: Fields = {}): void => {
      if (!json.isLevelEnabled(own)) return;
      const left = limited(event);
      if (left === undefined) return;
      const all = { ...fields, ...(left > 0 && { left_out: left }) };
      if (format === "json") json[own](all, event);
      else write(asText(own, event, all));
    };
  return {
    debug: say("debug"),
    info: say("info"),
    warn: say("warn"),
    error: say("error"),
    note(message) {
      if (format === "json") say("warn")("note", { message });
      else if (json.isLevelEnabled("warn")) write(message);
    },
    format,
  };
}

function asText(level: string, event: string, fields: Fields): string {
  const shown = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(
      ([name, value]) =>
        `${name}=${typeof value === "string" ? quoted(value) : JSON.stringify(value)}`,
    );
  return [level, event, ...shown].join(" ");
}

/** What a client calls itself must not be able to write to a terminal. */
function quoted(text: string): string {
  return /^[\w.:/@+-]+$/.test(text)
    ? text
    : JSON.stringify(text).replaceAll(/[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, "?");
}

/** An option of a command line. BAD_OPTION. */
export function choice<T extends string>(name: string, given: string, of: readonly T[]): T {
  const found = of.find((one) => one === given);
  if (found === undefined)
    throw new StreamError(
      "BAD_OPTION",
      `--${name}: got ${JSON.stringify(given)}; there are ${of.join(", ")}`,
    );
  return found;
}
