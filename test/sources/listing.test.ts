import fc from "fast-check";
import { expect, test } from "vitest";
import {
  findText,
  hashColumn,
  joinLists,
  listOf,
  mapList,
  numberColumn,
  textColumn,
} from "../../src/sources/listing.ts";

/** Any text at all: halves of surrogate pairs come in listings of file systems that are not UTF-8. */
const texts = fc.array(
  fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: "grapheme" }), fc.constant("\ud800")),
  { maxLength: 200 },
);
const hashes = fc.array(
  fc.oneof(
    fc.constant(undefined),
    fc.constant(""),
    fc.uint8Array({ maxLength: 32 }).map((bytes) => `sha256:${Buffer.from(bytes).toString("hex")}`),
    fc
      .tuple(fc.string({ maxLength: 5 }), fc.uint8Array({ maxLength: 4 }))
      .map(([word, bytes]) => `${word}:${Buffer.from(bytes).toString("hex")}`),
    fc.string({ unit: "binary" }),
    fc.constantFrom('etag:"abc"', "etag:W/00", "sha256:ABCD", "sha256:abc", "sha256:", "a:b:00"),
  ),
  { maxLength: 400 },
);

test("columns give back what they were given, in any order and again", () => {
  fc.assert(
    fc.property(texts, hashes, fc.array(fc.double()), (names, sums, numbers) => {
      const [name, sum, number] = [textColumn(), hashColumn(), numberColumn()];
      for (const one of names) name.push(one);
      for (const one of sums) sum.push(one);
      for (const one of numbers) number.push(one);
      for (let times = 0; times < 2; times++) {
        expect(names.map((_, at) => name.at(at))).toEqual(names);
        expect(sums.map((_, at) => sum.at(at))).toEqual(sums);
      }
      expect(numbers.map((_, at) => number.at(at))).toEqual(numbers);
    }),
  );
});

test("more words than a byte can number", () => {
  const column = hashColumn();
  const all = Array.from({ length: 600 }, (_, at) => `w${at}:${at % 2 === 0 ? "00ff" : "aa"}`);
  for (const one of all) column.push(one);
  expect(all.map((_, at) => column.at(at))).toEqual(all);
});

test("a text is found at its last place, and another is not", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ maxLength: 2 })),
      fc.string({ maxLength: 2 }),
      (all, other) => {
        const find = findText(all);
        for (const one of [...all, other]) {
          const last = all.lastIndexOf(one);
          expect(find(one)).toBe(last < 0 ? undefined : last);
        }
      },
    ),
  );
  // one CRC-32
  const twins = ["plumless", "buckeroo"];
  expect(twins.map(findText(twins))).toEqual([0, 1]);
  expect(findText(["plumless"])("buckeroo")).toBeUndefined();
});

test("lists are what arrays of the same would be", () => {
  const square = listOf(5, (at) => at * at);
  const joined = joinLists<number | string>([square, [], ["a", "b"], listOf(1, () => "c")]);
  const plain = [0, 1, 4, 9, 16, "a", "b", "c"];
  expect([...joined]).toEqual(plain);
  expect(joined.length).toBe(8);
  expect(plain.map((_, at) => joined.at(at))).toEqual(plain);
  for (const nowhere of [-1, 8, 1.5, NaN]) expect(joined.at(nowhere)).toBeUndefined();
  expect([...mapList(square, (value, at) => value - at)]).toEqual([0, 0, 2, 6, 12]);
});
