import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { extract } from "../../src/rewards/extract.ts";
import { fold } from "../../src/rewards/fold.ts";

/** The rule, word for word and quadratic: from the last box back, the first whose braces balance. */
function slowExtract(text: string): string | null {
  const scope = text.split("</think>").at(-1) ?? "";
  for (let box = scope.length - 1; box >= 0; box--) {
    if (!scope.startsWith("\\boxed{", box)) continue;
    const start = box + "\\boxed{".length;
    let depth = 1;
    for (let end = start; end < scope.length; end++) {
      if (scope[end] === "{") depth++;
      if (scope[end] === "}" && --depth === 0) return scope.slice(start, end);
    }
  }
  return null;
}

describe("extract", () => {
  it("finds what the plain reading of the rule finds", () => {
    const pieces = fc.constantFrom(
      "\\boxed{",
      "{",
      "}",
      "}",
      "</think>",
      "<think>",
      "boxed{",
      "\\",
      "x",
      "\\{",
      "\\}",
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 30 }), (parts) => {
        const text = parts.join("");
        expect(extract(text)).toBe(slowExtract(text));
      }),
      { numRuns: 20_000 },
    );
  });
});

describe("fold", () => {
  it("changes the characters of the table and no other", () => {
    const table = new Map([
      ["\n", " "],
      ["\u00a0", " "],
      ["\u3000", " "],
      ["\u3001", ","],
    ]);
    for (let code = 0x21; code <= 0x7e; code++)
      table.set(String.fromCharCode(code + 0xfee0), String.fromCharCode(code));
    expect(table.size).toBe(98);
    for (let code = 0; code <= 0xffff; code++) {
      const character = String.fromCharCode(code);
      if (fold(character) !== (table.get(character) ?? character))
        expect.fail(`U+${code.toString(16)}`);
    }
  });

  it("keeps the length and the rest of long texts", () => {
    for (const length of [8190, 8191, 8192, 8193, 16_385]) {
      expect(fold(`${"a".repeat(length)}１`)).toBe(`${"a".repeat(length)}1`);
      expect(fold(`１${"a".repeat(length)}１`)).toBe(`1${"a".repeat(length)}1`);
    }
  });
});
