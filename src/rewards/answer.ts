/** Reading answers: docs/rewards-rules.md, sections 3 and 4. Numbers stay strings, so no answer is too long to compare. */
import { StreamError } from "../errors.ts";
import type { AnswerKind } from "../tasks/task.ts";
import { fold } from "./fold.ts";

/** What the box should hold: one value, or one number a place. */
export interface Canonical {
  readonly kind: AnswerKind;
  readonly values: readonly string[];
}

const LETTERS = "ABCD";
const UNITS: readonly string[] = ["", "°", "degrees", "^\\circ"];
const WRAPPERS: readonly string[] = ["\\text{", "\\mathrm{", "\\mathbf{", "\\textbf{"];

/** The kind follows from the form: "90", "C", or a permutation such as "2, 3, 1". Throws BAD_OPTION for anything else. */
export function canonical(answer: string): Canonical {
  if (typeof answer === "string") {
    if (answer.length === 1 && LETTERS.includes(answer))
      return { kind: "letter", values: [answer] };
    if (isNumeral(answer)) return { kind: "number", values: [answer] };
    const values = answer.split(", ");
    const set = new Set(values);
    if (values.every((_, place) => set.has(String(place + 1)))) return { kind: "sequence", values };
  }
  const shown = typeof answer === "string" ? JSON.stringify(answer.slice(0, 60)) : typeof answer;
  throw new StreamError(
    "BAD_OPTION",
    `answer must be like "90", "C" or "2, 3, 1" (a permutation), got ${shown}`,
  );
}

/** The values that the text of a box states, as many as `wanted` has; null where it can't be read as an answer of that kind. */
export function read(extracted: string, wanted: Canonical): readonly string[] | null {
  const body = normalise(extracted);
  switch (wanted.kind) {
    case "number":
      return readNumber(body);
    case "letter":
      return readLetter(body);
    case "sequence":
      return readSequence(body, wanted.values.length);
  }
}

function normalise(text: string): string {
  const body = strip(fold(text));
  const wrapper = WRAPPERS.find((start) => body.startsWith(start));
  // That the last brace belongs to the wrapper needs no check: with a brace left inside, nothing reads as an answer.
  return wrapper !== undefined && body.endsWith("}") ? strip(body.slice(wrapper.length, -1)) : body;
}

/** Without spaces and dollar signs at both ends. */
function strip(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isPadding(text.charCodeAt(from))) from++;
  while (from < to && isPadding(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function isPadding(code: number): boolean {
  return code === 0x20 || code === 0x24;
}

function readNumber(body: string): readonly string[] | null {
  const end = afterDigits(body, 0, body.length);
  const value = body.slice(0, end);
  return isNumeral(value) && UNITS.includes(body.slice(afterSpaces(body, end, body.length)))
    ? [value]
    : null;
}

function readLetter(body: string): readonly string[] | null {
  // Before toUpperCase, which works through all of a text: no accepted form is longer.
  if (body.length > 3) return null;
  const letter = body.charAt(body.length === 3 ? 1 : 0);
  const value = letter >= "a" && letter <= "d" ? letter.toUpperCase() : letter;
  const forms = [letter, `${letter}.`, `${letter})`, `(${letter})`];
  return value !== "" && LETTERS.includes(value) && forms.includes(body) ? [value] : null;
}

function readSequence(body: string, count: number): readonly string[] | null {
  const first = body.charAt(0);
  const last = body.charAt(body.length - 1);
  const bracketed = (first === "[" && last === "]") || (first === "(" && last === ")");
  const end = bracketed ? body.length - 1 : body.length;
  const values: string[] = [];
  let at = afterSpaces(body, bracketed ? 1 : 0, end);
  for (;;) {
    const digits = afterDigits(body, at, end);
    const value = body.slice(at, digits);
    if (values.length === count || !isNumeral(value)) return null;
    values.push(value);
    at = afterSpaces(body, digits, end);
    if (at === end) return values.length === count ? values : null;
    if (body.charAt(at) === ",") at = afterSpaces(body, at + 1, end);
    else if (at === digits) return null;
  }
}

/** ASCII digits only, without a leading zero. */
function isNumeral(text: string): boolean {
  return (
    text !== "" &&
    afterDigits(text, 0, text.length) === text.length &&
    (text === "0" || text.charAt(0) !== "0")
  );
}

function afterDigits(text: string, from: number, end: number): number {
  let at = from;
  while (at < end && isDigit(text.charCodeAt(at))) at++;
  return at;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function afterSpaces(text: string, from: number, end: number): number {
  let at = from;
  while (at < end && text.charCodeAt(at) === 0x20) at++;
  return at;
}
