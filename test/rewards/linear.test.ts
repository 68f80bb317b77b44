import { afterEach, describe, expect, it } from "vitest";
import { score } from "../../src/rewards/score.ts";
import { hostile } from "./hostile.ts";

const answers = ["A", "90", "3, 1, 2"];
const methods = [
  "charCodeAt",
  "charAt",
  "indexOf",
  "lastIndexOf",
  "includes",
  "startsWith",
  "endsWith",
  "slice",
] as const;
/** Descriptors, not the methods themselves: these are called on other strings. */
const originals = Object.getOwnPropertyDescriptors(String.prototype) as unknown as {
  readonly [name in (typeof methods)[number]]: { readonly value: string[name] };
};

function restore(): void {
  for (const name of methods) Object.defineProperty(String.prototype, name, originals[name]);
}

/** Characters that every look into a string had to compare. Slices count as whole, though the engine only makes a view. */
function work(call: () => void): number {
  let steps = 0;
  const patched: { [name in (typeof methods)[number]]: unknown } = {
    charCodeAt(this: string, at: number) {
      steps++;
      return originals.charCodeAt.value.call(this, at);
    },
    charAt(this: string, at: number) {
      steps++;
      return originals.charAt.value.call(this, at);
    },
    indexOf(this: string, tag: string, from = 0) {
      const at = originals.indexOf.value.call(this, tag, from);
      steps += (at < 0 ? this.length : at + tag.length) - from;
      return at;
    },
    lastIndexOf(this: string, tag: string) {
      const at = originals.lastIndexOf.value.call(this, tag);
      steps += this.length - Math.max(at, 0);
      return at;
    },
    includes(this: string, tag: string) {
      const at = originals.indexOf.value.call(this, tag);
      steps += at < 0 ? this.length : at + tag.length;
      return at >= 0;
    },
    startsWith(this: string, tag: string, at?: number) {
      steps += tag.length;
      return originals.startsWith.value.call(this, tag, at);
    },
    endsWith(this: string, tag: string) {
      steps += tag.length;
      return originals.endsWith.value.call(this, tag);
    },
    slice(this: string, from?: number, to?: number) {
      const part = originals.slice.value.call(this, from, to);
      steps += part.length;
      return part;
    },
  };
  for (const name of methods)
    Object.defineProperty(String.prototype, name, { ...originals[name], value: patched[name] });
  try {
    call();
  } finally {
    restore();
  }
  return steps;
}

afterEach(restore);

const MB = 1_000_000;

describe("work on hostile completions", () => {
  it.each(Object.keys(hostile))("%s: grows as the length does", (name) => {
    const make = hostile[name];
    if (make === undefined) expect.fail(name);
    for (const answer of answers) {
      const options = { minThink: 5, thinkOpened: false };
      const of = (length: number) => {
        const completion = make(length);
        return work(() => score(completion, answer, options)) / completion.length;
      };
      const [small, large] = [of(MB / 20), of(MB / 2)];
      // A quadratic step would make this ten times as much.
      expect(large / small).toBeLessThan(1.02);
      expect(large).toBeLessThan(16);
    }
  });

  it("sees a quadratic scan, were there one", () => {
    const scan = (text: string) => {
      for (let at = 0; at < text.length; at++) text.indexOf("}", at);
    };
    expect(work(() => scan("{".repeat(2000))) / work(() => scan("{".repeat(1000)))).toBeGreaterThan(
      3.9,
    );
  });

  it.each(Object.keys(hostile))("%s: ten million characters are scored", (name) => {
    const completion = hostile[name]?.(10 * MB) ?? "";
    expect(completion.length).toBeGreaterThan(9.9 * MB);
    expect(score(completion, "3, 1, 2", { minThink: 5 }).exact).toBe(false);
  });

  it("finds the answer behind ten million boxes", () => {
    const flood = "\\boxed{".repeat(1.5 * MB);
    expect(score(`<think>r</think>${flood}\\boxed{A}`, "A")).toMatchObject({
      accuracy: 1,
      format: 0,
      extracted: "A",
    });
    expect(score(`<think>r</think>\\boxed{A}${flood}`, "A")).toMatchObject({
      accuracy: 1,
      format: 0,
      extracted: "A",
    });
  });
});
