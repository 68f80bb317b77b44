import { readdir } from "node:fs/promises";
import { StreamError } from "../errors.ts";
import { sortUtf8 } from "./folder.ts";

const MOST_NAMES = 1_000_000;

/** Whether an address names several files. */
export function isPattern(address: string): boolean {
  return /[{*?[]/.test(address);
}

/** "a-{08..10}.{tar,tgz}" is the six names in that order, as in the shell: a zero in front fixes the width. Throws BAD_OPTION. */
export function expandBraces(pattern: string): string[] {
  const match = /\{([^{}]*)\}/.exec(pattern);
  if (!match) return [pattern];
  const [whole, inside = ""] = match;
  const names = alternatives(inside, pattern).flatMap((one) =>
    expandBraces(pattern.slice(0, match.index) + one + pattern.slice(match.index + whole.length)),
  );
  if (names.length > MOST_NAMES) throw tooMany(pattern);
  return names;
}

function alternatives(inside: string, pattern: string): string[] {
  const range = /^(\d{1,15})\.\.(\d{1,15})$/.exec(inside);
  if (!range) {
    if (!inside.includes(","))
      throw new StreamError(
        "BAD_OPTION",
        `${pattern}: {${inside}} is neither a range {0..9} nor a list {a,b}`,
      );
    return inside.split(",");
  }
  const [, low = "", high = ""] = range;
  const [from, to] = [Number(low), Number(high)];
  if (to < from) throw new StreamError("BAD_OPTION", `${pattern}: {${inside}} runs backwards`);
  if (to - from >= MOST_NAMES) throw tooMany(pattern);
  const padded = /^0\d/.test(low) || /^0\d/.test(high);
  const width = padded ? Math.max(low.length, high.length) : 0;
  return Array.from({ length: to - from + 1 }, (_, i) => String(from + i).padStart(width, "0"));
}

function tooMany(pattern: string): StreamError {
  return new StreamError("BAD_OPTION", `${pattern}: stands for more than ${MOST_NAMES} names`);
}

/** The folder in front of the first wildcard or brace, with its "/"; "" where there is none. */
export function fixedPart(pattern: string): string {
  const before = pattern.slice(0, pattern.search(/[{*?[]/));
  return before.slice(0, before.lastIndexOf("/") + 1);
}

/**
 * Files that match a pattern of * ? [abc] [a-z] within a component and ** for any number of folders, in the order of their UTF-8 bytes. As in
 * the shell, a wildcard matches no leading dot. Links to folders are not followed by **.
 */
export async function glob(pattern: string): Promise<string[]> {
  const base = fixedPart(pattern);
  const found = new Set<string>();
  await descend(base, pattern.slice(base.length).split("/"), found);
  return sortUtf8([...found]);
}

async function descend(
  folder: string,
  [component = "", ...rest]: readonly string[],
  found: Set<string>,
): Promise<void> {
  const entries = await readdir(folder === "" ? "." : folder, { withFileTypes: true }).catch(
    () => [],
  );
  if (component === "**") {
    await descend(folder, rest, found);
    for (const entry of entries)
      if (entry.isDirectory() && !entry.name.startsWith("."))
        await descend(`${folder}${entry.name}/`, [component, ...rest], found);
    return;
  }
  for (const entry of entries) {
    if (!matches(component, entry.name)) continue;
    if (rest.length > 0) await descend(`${folder}${entry.name}/`, rest, found);
    else if (entry.isFile() || entry.isSymbolicLink()) found.add(folder + entry.name);
  }
}

/** One component of a path against one of a pattern, by the two-pointer method: linear in practice, never exponential. */
export function matches(pattern: string, name: string): boolean {
  if (name.startsWith(".") && !pattern.startsWith(".")) return false;
  const parts = pattern.match(/\[[^\]]+\]|[^]/gu) ?? [];
  const letters = Array.from(name);
  let p = 0;
  let n = 0;
  let star = -1;
  let from = 0;
  while (n < letters.length) {
    const part = parts[p];
    if (part === "*") {
      star = p++;
      from = n;
    } else if (part !== undefined && fits(part, letters[n] as string)) {
      p++;
      n++;
    } else if (star >= 0) {
      p = star + 1;
      n = ++from;
    } else return false;
  }
  while (parts[p] === "*") p++;
  return p === parts.length;
}

function fits(part: string, letter: string): boolean {
  if (part === "?") return true;
  if (part.length < 3 || !part.startsWith("[")) return part === letter;
  const negated = part[1] === "!" || part[1] === "^";
  const set = Array.from(part.slice(negated ? 2 : 1, -1));
  const inside = set.some((one, i) =>
    set[i + 1] === "-" && i + 2 < set.length
      ? one <= letter && letter <= (set[i + 2] as string)
      : one === letter,
  );
  return inside !== negated;
}
