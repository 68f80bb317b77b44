import { StreamError } from "../errors.ts";
import { contextOf, nameOf } from "./address.ts";
import { quotaAfter, retryAfter } from "./limits.ts";
import type { Answer } from "./send.ts";
import { Setback } from "./setback.ts";

/** Whether another try of the same request may fare better. */
export function isPassing(status: number): boolean {
  return (
    status === 408 ||
    status === 425 ||
    status === 429 ||
    (status >= 500 && status !== 501 && status !== 505)
  );
}

/** A passing failure, with how long the server asks to wait. */
export function passing({ status, headers, host }: Answer, wall: number): Setback {
  const limited = status === 429 || status === 503;
  const wait = limited
    ? (retryAfter(headers, wall) ?? (status === 429 ? quotaAfter(headers, wall) : undefined))
    : undefined;
  return new Setback(`${host} answered ${status}${saidIn(headers)}`, wait);
}

/** What an answer means that has not the file and never will. */
export function refused(url: URL, answer: Answer): StreamError {
  const { status, headers, host, elsewhere, trusted } = answer;
  const who = elsewhere ? ` (from ${host}, to which it redirects)` : "";
  const name = nameOf(url);
  const said = saidIn(headers);
  const details = { context: { ...contextOf(url), status } };
  if (status === 401 || status === 403)
    return new StreamError(
      "UNAUTHORIZED",
      `${name}: ${status}${who}${said}: ${
        trusted
          ? "the token gives no access to it, or it does not exist"
          : "it needs a token, and none is known for this host (HF_TOKEN for the Hugging Face Hub), or it does not exist"
      }`,
      details,
    );
  if (status >= 400 && status < 500 && status !== 407)
    return new StreamError(
      "SOURCE_NOT_FOUND",
      `${name}: ${status === 404 || status === 410 ? "does not exist" : "can't be opened"}: ${status}${who}${said}`,
      details,
    );
  return new StreamError("NETWORK", `${name}: unexpected answer: ${status}${who}${said}`, details);
}

/** The reason that the Hub gives, made harmless for a terminal. */
function saidIn(headers: ReadonlyMap<string, string>): string {
  const text = (headers.get("x-error-message") ?? "").replaceAll(/[^\x20-\x7e]/g, " ").trim();
  return text === "" ? "" : ` (${text.slice(0, 200)})`;
}
