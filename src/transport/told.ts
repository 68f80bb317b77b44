import { randomBytes } from "node:crypto";
import { homedir, tmpdir } from "node:os";
import { asStreamError, StreamError } from "../errors.ts";

/** A failure as a client is told it, without anything of this machine. A bug of ours gets a number, under which `report` is given the rest, for the log. */
export function tell(thrown: unknown, report: (bug: StreamError) => void): StreamError {
  const error = asStreamError(thrown);
  if (error.code !== "INTERNAL")
    return new StreamError(error.code, withoutPaths(error.message), { cause: thrown });
  const number = randomBytes(4).toString("hex");
  report(new StreamError("INTERNAL", `${number}: ${error.message}`, { cause: thrown }));
  const message = `internal error ${number}; the server's log has more under this number`;
  return new StreamError("INTERNAL", message, { cause: thrown });
}

/** The same failure for the log of the server: with its paths. */
export function logged(shown: StreamError): StreamError {
  return shown.code !== "INTERNAL" && shown.cause instanceof StreamError ? shown.cause : shown;
}

const quoted = /(["'`])(?:file:\/\/)?(\/[^"'`\n]*)\1/g;
const windows = /\b[A-Za-z]:\\[^\s"'`,;()]*/g;
// Not behind a colon or a letter, where it is part of a URL or of a relative path.
const begins = String.raw`(?<![\w:/.~%@-])(?:file://)?`;
const absolute = new RegExp(String.raw`${begins}/[^\s"'\x60,;:()<>[\]]+`, "g");
/** Where a name has spaces a path can't be told from the words after it: these are known. */
const known = [process.cwd(), homedir(), tmpdir()]
  .filter((place) => /\s/.test(place))
  .map((place) => place.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
  .map((place) => new RegExp(`${begins}${place}(?:/|(?![\\w-]))`, "g"));

/** The text with each path of this machine shortened to its last part. */
export function withoutPaths(text: string): string {
  let clean = text.toWellFormed();
  clean = clean.replaceAll(quoted, (_, quote: string, path: string) => quote + last(path) + quote);
  for (const place of known) clean = clean.replaceAll(place, "");
  return clean.replaceAll(windows, last).replaceAll(absolute, last);
}

function last(path: string): string {
  return path.split(/[/\\]/).findLast((part) => part !== "") ?? "";
}
