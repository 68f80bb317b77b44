import { describe, expect, test } from "vitest";
import { expandBraces, fixedPart, glob, isPattern } from "../../src/sources/pattern.ts";
import { output, temporaryFolder } from "../fixtures/files.ts";

describe("braces", () => {
  const patterns = [
    "a",
    "{0..3}",
    "x-{08..11}.tar",
    "x-{8..11}.tar",
    "x-{000000..000002}.tar",
    "{a,b}{1..2}",
    "{a,b,}x",
    "a{1..1}b",
    "{99..101}",
    "{009..11}",
    "p/{a,b/c}/d",
  ];

  test.each(patterns)("%s as the shell expands it", (pattern) => {
    expect(expandBraces(pattern)).toEqual(
      output("bash", ["-c", `printf '%s\\n' ${pattern}`])
        .trimEnd()
        .split("\n"),
    );
  });

  test.each(["{3..1}", "{a}", "{}", "{1..}", "{a..c}", "{0..1000000}", "{0..2000}{0..2000}"])(
    "%s is refused",
    (pattern) => {
      expect(() => expandBraces(pattern)).toThrow(
        expect.objectContaining({ code: "BAD_OPTION", message: expect.stringContaining(pattern) }),
      );
    },
  );
});

describe("wildcards", () => {
  const names = [
    "a.tar",
    "b.tar",
    "ab.tar",
    "A.tar",
    "a.tar.gz",
    ".hidden.tar",
    "d/a.tar",
    "d/e/a.tar",
    ".d/a.tar",
    "é.tar",
    "10.tar",
    "1.tar",
    "x/y.tar/z.tar",
  ];

  test.each([
    "*.tar",
    "?.tar",
    "[ab].tar",
    "[!ab].tar",
    "[a-b]*.tar",
    "*/*.tar",
    "*b*.tar",
    "**/a.tar",
    "d/**/*.tar",
    ".*.tar",
    "*",
    "nothing*",
    "*.t[a]r",
    "**/z.tar",
  ])("%s as bash matches it, sorted by bytes", async (pattern) => {
    const folder = temporaryFolder(Object.fromEntries(names.map((name) => [name, "x"])));
    const program = `shopt -s globstar nullglob; cd "$1"; for f in ${pattern}; do [ -f "$f" ] && printf '%s\\n' "$f"; done; true`;
    const theirs = output("bash", ["-c", program, "bash", folder])
      .split("\n")
      .filter((name) => name !== "");
    const ours = (await glob(`${folder}/${pattern}`)).map((path) => path.slice(folder.length + 1));
    expect(ours).toEqual(theirs.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
  });

  test("a pattern that makes a naive matcher run for ever", async () => {
    const folder = temporaryFolder({ [`${"a".repeat(200)}.tar`]: "x" });
    expect(await glob(`${folder}/${"*a".repeat(60)}*b`)).toEqual([]);
  });
});

test("what is a pattern, and the folder before it", () => {
  expect(["a.tar", "a/b-0.tar", "{a,b}", "*.tar", "a?", "[a]"].map(isPattern)).toEqual([
    false,
    false,
    true,
    true,
    true,
    true,
  ]);
  expect(["*.tar", "a/b*.tar", "/x/y/{1,2}/z.tar", "a/b/c-[0-9].tar"].map(fixedPart)).toEqual([
    "",
    "a/",
    "/x/y/",
    "a/b/",
  ]);
});
