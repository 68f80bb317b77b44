/** Finding the answer and checking the format: docs/rewards-rules.md, sections 1, 2 and 5. Every scan goes over the text once. */
import { folded } from "./fold.ts";
import type { ScoreOptions } from "./options.ts";

const THINK = "<think>";
const END_THINK = "</think>";
const BOX = "\\boxed{";
const SPACE = 0x20;
const OPEN = 0x7b;
const CLOSE = 0x7d;

/** What the last `\boxed{` with balanced braces holds, word for word; null without one. Looks after the last `</think>`, else everywhere. */
export function extract(text: string): string | null {
  const think = text.lastIndexOf(END_THINK);
  const start = think < 0 ? 0 : think + END_THINK.length;
  // From the right, an opening brace is balanced exactly where a closing one is still unused. No stack: ten million braces cost one counter.
  let unused = 0;
  for (let at = text.length - 1; at >= start; at--) {
    const code = text.charCodeAt(at);
    if (code === CLOSE) unused++;
    else if (code === OPEN && unused > 0) {
      unused--;
      const box = at + 1 - BOX.length;
      if (box >= start && text.startsWith(BOX, box))
        return text.slice(at + 1, closing(text, at + 1));
    }
  }
  return null;
}

/** Where the group that starts at `from`, after its opening brace, is closed. There must be such a place. */
function closing(text: string, from: number): number {
  let depth = 1;
  let at = from;
  for (; ; at++) {
    const code = text.charCodeAt(at);
    if (code === OPEN) depth++;
    else if (code === CLOSE && --depth === 0) return at;
  }
}

/** Whether the text is one `<think>`, one `</think>` and one balanced box, in that order. `extracted` is what extract found in it. */
export function wellFormed(
  text: string,
  extracted: string | null,
  options: Required<ScoreOptions>,
): boolean {
  const end = once(text, END_THINK);
  const box = once(text, BOX);
  if (end < 0 || box < end || extracted === null) return false;
  let from = 0;
  if (options.thinkOpened) {
    if (text.includes(THINK)) return false;
  } else {
    const think = once(text, THINK);
    if (think < 0 || think > end) return false;
    from = think + THINK.length;
  }
  return hasCharacters(text, from, end, options.minThink);
}

/** The place of the only occurrence, -1 where there are none or more. */
function once(text: string, tag: string): number {
  const at = text.indexOf(tag);
  return at >= 0 && text.indexOf(tag, at + tag.length) < 0 ? at : -1;
}

/** Low surrogates are not counted, so that both languages count a character beyond U+FFFF once. */
function hasCharacters(text: string, from: number, to: number, wanted: number): boolean {
  let missing = wanted;
  for (let at = from; at < to && missing > 0; at++) {
    const code = folded(text.charCodeAt(at));
    if (code !== SPACE && (code < 0xdc00 || code > 0xdfff)) missing--;
  }
  return missing === 0;
}
