import fc from "fast-check";
import { expect, test } from "vitest";
import { isLoopback, parseUrl, redirectTarget } from "../../src/net/address.ts";
import { parseContentRange, parseUnsatisfied, strongEtag } from "../../src/net/facts.ts";
import { quotaAfter, retryAfter } from "../../src/net/limits.ts";

const parts = [
  "0",
  "1",
  "30",
  "99999999999999999999",
  "-5",
  "1.5",
  "r=0",
  "t=30",
  "w=60",
  "q=5",
  '"api"',
  ";",
  ",",
  "=",
  " ",
  "remaining=0",
  "reset=9",
  "limit=1",
  "bytes",
  "bytes 5-9/20",
  "*/",
  "/",
  "-",
  "W/",
  "soon",
  "Tue, 03 Mar 2026 10:00:00 GMT",
  "é",
  "\t",
];
const text = fc.oneof(
  fc.array(fc.constantFrom(...parts), { maxLength: 12 }).map((some) => some.join("")),
  fc.string(),
);
const names = [
  "retry-after",
  "date",
  "ratelimit",
  "ratelimit-policy",
  "ratelimit-remaining",
  "ratelimit-reset",
  "x-ratelimit-remaining",
  "x-ratelimit-reset",
];

test("whatever a server writes, a wait is no time or a time from now on", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...names), text), (headers) => {
      const given = new Map(Object.entries(headers));
      for (const wait of [retryAfter(given, 1e12), quotaAfter(given, 1e12)])
        expect(wait === undefined || wait >= 0).toBe(true);
    }),
    { numRuns: 3000 },
  );
});

test("a content range is whole or none", () => {
  expect(parseContentRange("bytes 5-9/20")).toEqual({ from: 5, to: 10, total: 20 });
  expect(parseContentRange(" BYTES 0-0/* ")).toEqual({ from: 0, to: 1, total: undefined });
  for (const wrong of [
    undefined,
    "",
    "bytes 9-5/20",
    "bytes */20",
    "bytes 5-9",
    "items 5-9/20",
    "bytes 5-9/20, 1",
  ])
    expect(parseContentRange(wrong)).toBeUndefined();
  expect(parseUnsatisfied("bytes */20")).toBe(20);
  expect(parseUnsatisfied("bytes 5-9/20")).toBeUndefined();
  expect(['W/"a"', '"a"', "", undefined].map(strongEtag)).toEqual([
    undefined,
    '"a"',
    undefined,
    undefined,
  ]);
  fc.assert(
    fc.property(text, (written) => {
      const part = parseContentRange(written);
      expect(part === undefined || part.to > part.from).toBe(true);
    }),
  );
});

test("a redirect never leaves https but for loopback, and brings no password", () => {
  const from = parseUrl("https://hub.example/file");
  const to = (location: string): string => redirectTarget(from, location, "file").href;
  expect(to("/other?a=b")).toBe("https://hub.example/other?a=b");
  expect(to("//cdn.example/x")).toBe("https://cdn.example/x");
  expect(to("https://you:word@cdn.example/x")).toBe("https://cdn.example/x");
  for (const host of ["localhost:1", "127.0.0.1:1", "[::1]:1", "127.9.9.9", "a.localhost"])
    expect(to(`http://${host}/x`)).toBe(`http://${host}/x`);
  for (const location of [
    "http://hub.example/",
    "http://127.0.0.1.example/",
    "http://10.0.0.1/",
    "http://localhost.example/",
  ])
    expect(() => to(location)).toThrow(/from https to http at/);
  expect(isLoopback(new URL("http://128.0.0.1"))).toBe(false);
  // other ways to write the same address are the same address
  expect(isLoopback(new URL("http://0x7f.1"))).toBe(true);
});
