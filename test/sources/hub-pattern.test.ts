import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareUtf8, matcher, prefixOf } from "../../src/sources/hub-pattern.ts";

/** The definition itself: slow, without cleverness. */
function slow(pattern: readonly string[], path: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return path.length === 0;
  const [name, ...others] = path;
  if (first === "**") {
    if (rest.length === 0) return path.length > 0 && path.every((one) => !one.startsWith("."));
    return (
      slow(rest, path) || (name !== undefined && !name.startsWith(".") && slow(pattern, others))
    );
  }
  if (name === undefined || (name.startsWith(".") && !first.startsWith("."))) return false;
  const body = first.replaceAll(/[.]/g, "\\.").replaceAll("*", ".*").replaceAll("?", ".");
  return new RegExp(`^${body}$`).test(name) && slow(rest, others);
}

describe("patterns over paths", () => {
  test("match what their definition matches", () => {
    const component = fc.stringMatching(/^\.?[ab]{1,3}$/);
    const wildcard = fc.oneof(
      fc.constantFrom("**", "*", "**", ".*", "a*", "*b", "?", ".?"),
      component,
    );
    fc.assert(
      fc.property(
        fc.array(wildcard, { minLength: 1, maxLength: 5 }),
        fc.array(component, { minLength: 1, maxLength: 5 }),
        (pattern, path) => {
          expect(matcher(pattern.join("/"))(path.join("/"))).toBe(slow(pattern, path));
        },
      ),
      { numRuns: 5000 },
    );
  });

  test.each([
    ["data/*.tar", "data/a.tar", true],
    ["data/*.tar", "data/b/a.tar", false],
    ["data/**/*.tar", "data/a.tar", true],
    ["data/**/*.tar", "data/b/c/a.tar", true],
    ["data/**", "data/b/c/a.tar", true],
    ["data/**", "data", false],
    ["**", "a.tar", true],
    ["**", ".git/a.tar", false],
    ["*-0[0-3].tar", "x-02.tar", true],
    ["*-0[!0-3].tar", "x-02.tar", false],
    ["**/**/**/**/**/**/**/**/**/**/z", "a/".repeat(300) + "y", false],
  ])("%s on %s: %s", (pattern, path, expected) => {
    expect(matcher(pattern)(path)).toBe(expected);
  });

  test("every match begins with the prefix", () => {
    expect(prefixOf("a/b-*.tar")).toBe("a/b-");
    expect(prefixOf("a/b.tar")).toBe("a/b.tar");
    expect(prefixOf("[ab]")).toBe("");
  });
});

test("paths are in the order of their UTF-8 bytes", () => {
  const text = fc.string({
    unit: fc.constantFrom("a", "/", "-", "é", "\uffee", "\u{10000}", "\u{1f600}"),
    maxLength: 6,
  });
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(Math.sign(compareUtf8(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
    { numRuns: 2000 },
  );
});
