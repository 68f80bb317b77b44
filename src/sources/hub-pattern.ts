import { matches } from "./pattern.ts";

/**
 * Whether a path matches a pattern of * ? [abc] [a-z] within a component and ** for any number of folders, as `glob` does for local files; a ** at the end
 * stands for every file below. By the two-pointer method, as within a component.
 */
export function matcher(pattern: string): (path: string) => boolean {
  const wanted = pattern.split("/");
  if (wanted.at(-1) === "**") wanted.push("*");
  return (path) => {
    const parts = path.split("/");
    let w = 0;
    let p = 0;
    let star = -1;
    let from = 0;
    while (p < parts.length) {
      const one = wanted[w];
      if (one === "**") {
        star = w++;
        from = p;
      } else if (one !== undefined && matches(one, parts[p] as string)) {
        w++;
        p++;
      } else {
        // a ** goes through no hidden folder, so that it can't take this one either
        if (star < 0 || parts[from]?.startsWith(".")) return false;
        w = star + 1;
        p = ++from;
      }
    }
    while (wanted[w] === "**") w++;
    return w === wanted.length;
  };
}

/** What every match begins with. */
export function prefixOf(pattern: string): string {
  return /^[^*?[]*/.exec(pattern)?.[0] ?? "";
}

/** The order of UTF-8 bytes, which is that of code points. That of UTF-16, which JavaScript compares, differs where there are surrogates. */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Surrogates stand for code points above all others. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10_000 : unit;
}
