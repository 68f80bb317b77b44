/**
 * The fixed table of docs/rewards-rules.md, section 3, on UTF-16 code units. A table of our own, because NFKC, `\s` and `\d` differ
 * between languages and their versions.
 */
export function folded(code: number): number {
  if (code >= 0xff01 && code <= 0xff5e) return code - 0xfee0;
  if (code === 0x3001) return 0x2c;
  if (code === 0x3000 || code === 0xa0 || code === 0x0a) return 0x20;
  return code;
}

/** String.fromCharCode takes its units as arguments, which the stack bounds. */
const CHUNK = 8192;

/** The text with every character folded. */
export function fold(text: string): string {
  let same = 0;
  while (same < text.length && folded(text.charCodeAt(same)) === text.charCodeAt(same)) same++;
  if (same === text.length) return text;
  const parts = [text.slice(0, same)];
  for (let from = same; from < text.length; from += CHUNK) {
    const units: number[] = [];
    for (let at = from; at < Math.min(from + CHUNK, text.length); at++)
      units.push(folded(text.charCodeAt(at)));
    parts.push(String.fromCharCode(...units));
  }
  return parts.join("");
}
