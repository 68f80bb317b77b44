import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createArena, createMemory } from "../../src/images/arena.ts";
import { createDraw } from "../../src/images/draw.ts";
import { FULL, STAMP_REACH, stampOf } from "../../src/images/marker.ts";
import type { Rgb } from "../../src/images/picture.ts";
import { at, flat, plain, type Plain } from "./reference.ts";

const arena = createArena(createMemory(), 0);
const draw = createDraw(arena);
const digits = Array.from({ length: 10 }, (_, digit) => digit);
const sum = (values: Iterable<number>): number => Array.from(values).reduce((a, b) => a + b, 0);

/** In pixels. */
const area = (...parts: Uint8Array[]): number =>
  sum(parts.flatMap((part) => Array.from(part))) / FULL;

/** `under` with one marker. */
function marked(under: Plain, x: number, y: number, digit: number, colour: Rgb): Plain {
  const mark = arena.mark();
  const picture = arena.picture(under.width, under.height);
  const spare = arena.bytes(picture.at, under.data.length + 16);
  spare.set(under.data);
  spare.fill(77, under.data.length);
  draw.marker(picture, x, y, digit, colour);
  expect(Array.from(spare.slice(under.data.length)), "bytes beyond the picture").toEqual(
    Array.from({ length: 16 }, () => 77),
  );
  const data = arena.bytes(picture.at, under.data.length).slice();
  arena.release(mark);
  return { ...under, data };
}

describe("stamps", () => {
  test.each(digits)("%i: parts of a pixel, areas of disc and rings", (digit) => {
    const { side, black, white, coloured } = stampOf(digit);
    black.forEach((part, i) => expect(part + white[i]! + coloured[i]!).toBeLessThanOrEqual(FULL));
    expect(Math.abs(area(black, white, coloured) - Math.PI * 14 ** 2)).toBeLessThan(1);
    expect(Math.abs(area(white, coloured) - Math.PI * 12.5 ** 2)).toBeLessThan(1);
    const ring = Math.PI * (12.5 ** 2 - 11 ** 2);
    // a digit that can be read covers between a fifteenth and a quarter of the disc
    const digitArea = area(white) - ring;
    expect(digitArea).toBeGreaterThan((Math.PI * 11 ** 2) / 15);
    expect(digitArea).toBeLessThan((Math.PI * 11 ** 2) / 4);
    // the rings show no direction
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const here = black[y * side + x];
        expect([here, black[y * side + side - 1 - x], black[x * side + y]]).toEqual([
          here,
          here,
          here,
        ]);
      }
    }
  });

  test("no two digits look alike, even when 6 is turned to 9 or a marker is shifted by a pixel", () => {
    for (const one of digits) {
      for (const other of digits.filter((digit) => digit > one)) {
        const a = stampOf(one);
        const b = stampOf(other);
        for (const shift of [0, 1, -1, a.side, -a.side]) {
          const apart =
            sum(a.white.map((part, i) => Math.abs(part - (b.white[i + shift] ?? 0)))) / FULL;
          expect(apart, `${one} and ${other}`).toBeGreaterThan(8);
        }
      }
    }
  });
});

test("the marker's middle is the pixel of (x, y); white digit, then the colour, a white ring, a black ring, nothing", () => {
  const colour: Rgb = [20, 90, 220];
  const under = flat(61, 51, [90, 100, 110]);
  for (const [x, y] of [
    [30.5, 25.5],
    [30, 25],
    [30.99, 25.99],
  ] as const) {
    const result = marked(under, x, y, 0, colour);
    const row = (to: number): number[] =>
      [0, 1, 2].map((channel) => at(result, 30 + to, 25, channel));
    expect(row(0)).toEqual(colour);
    expect(row(3)).toEqual([255, 255, 255]);
    expect(row(-3)).toEqual([255, 255, 255]);
    expect(row(7)).toEqual(colour);
    expect(row(-12)).toEqual([255, 255, 255]);
    expect(row(13)).toEqual([0, 0, 0]);
    expect(row(15)).toEqual([90, 100, 110]);
  }
});

const value = (x: number, y: number, channel: number): number =>
  (x * 5 + y * 11 + channel * 70) & 255;

test("at the border a marker is the part of the whole one that lies inside", () => {
  const sizes = fc.integer({ min: 1, max: 60 });
  // sixteenths: a number that small makes no difference far from 0
  const places = fc.integer({ min: -640, max: 1440 }).map((sixteenths) => sixteenths / 16);
  fc.assert(
    fc.property(sizes, sizes, places, places, fc.nat(9), (width, height, x, y, digit) => {
      const margin = 60;
      const small = plain(width, height, value);
      const large = plain(width + 2 * margin, height + 2 * margin, (i, j, c) =>
        value(i - margin, j - margin, c),
      );
      const clipped = marked(small, x, y, digit, [200, 30, 40]);
      const whole = marked(large, x + margin, y + margin, digit, [200, 30, 40]);
      const wrong = plain(width, height, (i, j, c) =>
        Math.abs(at(clipped, i, j, c) - at(whole, i + margin, j + margin, c)),
      );
      expect(sum(wrong.data)).toBe(0);
      const untouched = clipped.data.every((byte, k) => byte === small.data[k]);
      expect(untouched || x >= -STAMP_REACH - 1).toBe(true);
    }),
    { numRuns: 150, seed: 1 },
  );
});
