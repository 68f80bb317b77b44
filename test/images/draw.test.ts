import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createArena, createMemory } from "../../src/images/arena.ts";
import { createDraw } from "../../src/images/draw.ts";
import type { Affine, Box, Picture, Rgb } from "../../src/images/picture.ts";
import * as reference from "./reference.ts";
import { at, crop, flat, paste, plain, type Plain } from "./reference.ts";

const arena = createArena(createMemory(), 0);
const draw = createDraw(arena);
/** Larger than any alignment: a kernel that writes beyond its picture meets these bytes. */
const GUARD = 64;

const guard = (i: number): number => (i * 37 + 11) & 255;

/** A copy of `image` in the arena between guards, without the spare bytes that an arena's picture has behind it. */
function place(image: Plain): { readonly picture: Picture; read(): Plain } {
  const start = arena.alloc(image.data.length + 2 * GUARD);
  const bytes = arena.bytes(start, image.data.length + 2 * GUARD);
  bytes.forEach((_, i) => (bytes[i] = guard(i)));
  bytes.set(image.data, GUARD);
  return {
    picture: { at: start + GUARD, width: image.width, height: image.height },
    read() {
      const now = arena.bytes(start, image.data.length + 2 * GUARD);
      const spoiled = now.findIndex(
        (byte, i) => (i < GUARD || i >= GUARD + image.data.length) && byte !== guard(i),
      );
      expect(spoiled, "byte beyond the picture that was written").toBe(-1);
      return {
        width: image.width,
        height: image.height,
        data: now.slice(GUARD, GUARD + image.data.length),
      };
    },
  };
}

/** What an operation in place makes of an image. */
function changed(image: Plain, change: (picture: Picture) => void): Plain {
  const mark = arena.mark();
  const placed = place(image);
  const before = arena.mark();
  change(placed.picture);
  expect(arena.mark()).toBe(before);
  const result = placed.read();
  arena.release(mark);
  return result;
}

/** What an operation makes of a destination; the source must stay as it was. */
function made(image: Plain, under: Plain, make: (src: Picture, dst: Picture) => void): Plain {
  const mark = arena.mark();
  const src = place(image);
  const dst = place(under);
  const before = arena.mark();
  make(src.picture, dst.picture);
  expect(arena.mark()).toBe(before);
  same(src.read(), image);
  const result = dst.read();
  arena.release(mark);
  return result;
}

/** toEqual takes seconds for a picture that differs. */
function same(actual: Plain, expected: Plain): void {
  expect([actual.width, actual.height]).toEqual([expected.width, expected.height]);
  const i = actual.data.findIndex((byte, k) => byte !== expected.data[k]);
  if (i < 0) return;
  const pixel = Math.floor(i / 3);
  throw new Error(
    `channel ${i % 3} at (${pixel % actual.width}, ${Math.floor(pixel / actual.width)}) of ${actual.width} x ${actual.height}: ${actual.data[i]}, not ${expected.data[i]}`,
  );
}

/** Noise, flat areas, gradients and extremes: each by a cheap hash of the seed. */
function image(width: number, height: number, seed: number): Plain {
  const hash = (n: number): number => {
    const mixed = Math.imul((n ^ seed) + 0x9e3779b9, 0x85ebca6b);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
  const kind = seed % 4;
  return plain(width, height, (x, y, c) => {
    const noise = hash((y * width + x) * 3 + c);
    if (kind === 0) return noise & 255;
    if (kind === 1) return noise & 256 ? 255 : 0;
    if (kind === 2) return (x * 7 + y * 3 + c * 40 + seed) & 255;
    return (hash(((x >> 2) * 31 + (y >> 2)) * 3 + c) & 255) >> (noise & 1);
  });
}

const side = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 70 }));
const seeds = fc.integer({ min: 0, max: 2 ** 31 - 1 });
const images = fc
  .tuple(side, side, seeds)
  .map(([width, height, seed]) => image(width, height, seed));
const colours: fc.Arbitrary<Rgb> = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255));
const unit = fc.double({ min: 0, max: 1, noNaN: true });

/** A box inside a picture of this size. */
function boxes(width: number, height: number): fc.Arbitrary<Box> {
  return fc.tuple(unit, unit, unit, unit).map(([p, q, r, s]) => {
    const x = Math.min(width - 1, Math.floor(p * width));
    const y = Math.min(height - 1, Math.floor(q * height));
    return {
      x,
      y,
      width: 1 + Math.min(width - x - 1, Math.floor(r * (width - x))),
      height: 1 + Math.min(height - y - 1, Math.floor(s * (height - y))),
    };
  });
}

const boxed = images.chain((p) => fc.tuple(fc.constant(p), boxes(p.width, p.height)));
const runs = (numRuns: number) => ({ numRuns, seed: 1 });

describe("moving pixels", () => {
  test("copy", () => {
    fc.assert(
      fc.property(boxed, side, side, unit, unit, ([p, box], moreX, moreY, right, down) => {
        const under = image(box.width + moreX, box.height + moreY, 5);
        const x = Math.floor(right * moreX);
        const y = Math.floor(down * moreY);
        same(
          made(p, under, (src, dst) => draw.copy(src, box, dst, x, y)),
          paste(crop(p, box), under, x, y),
        );
      }),
      runs(200),
    );
  });

  test("fill", () => {
    fc.assert(
      fc.property(boxed, colours, ([p, box], colour) => {
        same(
          changed(p, (picture) => draw.fill(picture, box, colour)),
          paste(flat(box.width, box.height, colour), p, box.x, box.y),
        );
      }),
      runs(200),
    );
  });

  test("flip", () => {
    fc.assert(
      fc.property(images, (p) =>
        same(
          changed(p, (picture) => draw.flip(picture)),
          reference.flip(p),
        ),
      ),
      runs(200),
    );
  });

  test("turn", () => {
    fc.assert(
      fc.property(images, fc.constantFrom(1, 2, 3), (p, quarters) => {
        const expected = reference.turn(p, quarters);
        same(
          made(p, image(expected.width, expected.height, 2), (src, dst) =>
            draw.turn(src, dst, quarters),
          ),
          expected,
        );
      }),
      runs(300),
    );
  });
});

const checkResize = (p: Plain, box: Box, width: number, height: number): void =>
  same(
    made(p, image(width, height, 1), (src, dst) => draw.resize(src, box, dst)),
    reference.resize(crop(p, box), width, height),
  );

describe("resize", () => {
  test("any box to any size", () => {
    fc.assert(
      fc.property(boxed, side, side, ([p, box], width, height) =>
        checkResize(p, box, width, height),
      ),
      runs(400),
    );
  });

  test("by large factors", () => {
    checkResize(image(997, 3, 4), { x: 0, y: 0, width: 997, height: 3 }, 1, 1);
    checkResize(image(5, 1013, 9), { x: 1, y: 0, width: 3, height: 1013 }, 2, 3);
    checkResize(image(3, 2, 4), { x: 1, y: 1, width: 1, height: 1 }, 301, 7);
  });

  test("a flat picture stays flat, the same size stays the same", () => {
    fc.assert(
      fc.property(images, side, side, colours, (p, width, height, colour) => {
        checkResize(
          flat(p.width, p.height, colour),
          { x: 0, y: 0, width: p.width, height: p.height },
          width,
          height,
        );
        same(
          reference.resize(flat(p.width, p.height, colour), width, height),
          flat(width, height, colour),
        );
        same(reference.resize(p, p.width, p.height), p);
      }),
      runs(50),
    );
  });
});

describe("colour", () => {
  const factors = fc.oneof(
    fc.double({ min: 0, max: 3, noNaN: true }),
    fc.constantFrom(0, 1, 0.2, 1.8, 100, 1 / 3, 1.2),
  );
  const turns = fc.oneof(
    fc.double({ min: -0.5, max: 0.5, noNaN: true }),
    fc.constantFrom(0, 0.5, -0.5, 1 / 3),
  );
  const changes = [
    { name: "brightness", amounts: factors, nothing: 1 },
    { name: "contrast", amounts: factors, nothing: 1 },
    { name: "saturation", amounts: factors, nothing: 1 },
    { name: "hue", amounts: turns, nothing: 0 },
  ] as const;
  const { brightness, contrast, saturation, hue } = reference;
  const oracles = { brightness, contrast, saturation, hue };

  test.each(changes)("$name", ({ name, amounts, nothing }) => {
    const ours = (p: Plain, amount: number): Plain =>
      changed(p, (picture) => draw[name](picture, amount));
    fc.assert(
      fc.property(images, amounts, (p, amount) => same(ours(p, amount), oracles[name](p, amount))),
      runs(300),
    );
    fc.assert(
      fc.property(images, (p) => same(ours(p, nothing), p)),
      runs(30),
    );
  });

  test("a third of a turn of hue moves the channels round, half a turn twice is nothing", () => {
    fc.assert(
      fc.property(images, (p) => {
        same(
          changed(p, (picture) => draw.hue(picture, 1 / 3)),
          plain(p.width, p.height, (x, y, c) => at(p, x, y, (c + 2) % 3)),
        );
        const twice = changed(p, (picture) => {
          draw.hue(picture, 0.5);
          draw.hue(picture, -0.5);
        });
        same(twice, p);
      }),
      runs(50),
    );
  });

  test("grayscale", () => {
    fc.assert(
      fc.property(images, (p) =>
        same(
          changed(p, (picture) => draw.grayscale(picture)),
          reference.grayscale(p),
        ),
      ),
      runs(200),
    );
  });
});

describe("blur", () => {
  test("any size from 12 pixels", () => {
    const sides = fc.integer({ min: 12, max: 50 });
    fc.assert(
      fc.property(
        sides,
        sides,
        seeds,
        fc.double({ min: 0.1, max: 4, noNaN: true }),
        (width, height, seed, sigma) => {
          const p = image(width, height, seed);
          same(
            changed(p, (picture) => draw.blur(picture, sigma)),
            reference.blur(p, sigma),
          );
        },
      ),
      runs(80),
    );
  });

  test("a flat picture stays flat, and almost no sigma changes nothing", () => {
    const white = flat(13, 12, [255, 0, 77]);
    same(
      changed(white, (picture) => draw.blur(picture, 1.7)),
      white,
    );
    const noise = image(13, 29, 4);
    same(
      changed(noise, (picture) => draw.blur(picture, 1e-200)),
      noise,
    );
  });
});

function checkWarp(p: Plain, width: number, height: number, inverse: Affine, fill: Rgb): void {
  let used: Affine | undefined;
  const result = made(p, image(width, height, 3), (src, dst) => {
    used = draw.warp(src, dst, inverse, fill);
  });
  used!.forEach((value, i) => expect(Math.abs(value - inverse[i]!)).toBeLessThan(2 ** -15));
  same(result, reference.warp(p, width, height, used!, fill));
}

describe("warp", () => {
  const scales = fc.double({ min: -3, max: 3, noNaN: true });
  const shifts = fc.double({ min: -80, max: 80, noNaN: true });

  test("any map", () => {
    fc.assert(
      fc.property(
        images,
        side,
        side,
        fc.tuple(scales, scales, shifts, scales, scales, shifts),
        colours,
        checkWarp,
      ),
      runs(600),
    );
  });

  test("near the identity", () => {
    const almost = fc.double({ min: -0.02, max: 0.02, noNaN: true });
    fc.assert(
      fc.property(
        images,
        fc.tuple(almost, almost, almost, almost, almost, almost),
        (p, [a, b, c, d, e, f]) =>
          checkWarp(p, p.width, p.height, [1 + a, b, c * 99, d, 1 + e, f * 99], [1, 2, 3]),
      ),
      runs(300),
    );
  });

  test("enormous and vanishing coefficients", () => {
    const p = image(33, 21, 4);
    for (const size of [1e-9, 40, 3e4, 7e5, 1e8, 8e8]) {
      for (const [i, j] of [
        [1, 1],
        [-1, 1],
        [1, -1],
      ] as const) {
        checkWarp(
          p,
          37,
          29,
          [size * i, 0.3, -size * 5 * i, 0.2, size * j, -3 * size * j],
          [9, 8, 7],
        );
        checkWarp(p, 37, 29, [0.5, size * j, 0, size * i, 0.1, 4], [9, 8, 7]);
        checkWarp(p, 37, 29, [1, 0, size * i, 0, 1, size * j], [9, 8, 7]);
      }
    }
  });

  test("a large picture, its far corner", () => {
    const mark = arena.mark();
    const src = arena.picture(4096, 4096);
    const dst = arena.picture(16, 16);
    draw.fill(src, { x: 0, y: 0, width: 4096, height: 4096 }, [0, 0, 0]);
    draw.fill(src, { x: 4088, y: 4088, width: 8, height: 8 }, [200, 100, 50]);
    draw.warp(src, dst, [1, 0, 4080, 0, 1, 4080], [255, 255, 255]);
    const expected = plain(16, 16, (x, y, c) => (x >= 8 && y >= 8 ? [200, 100, 50][c]! : 0));
    same({ width: 16, height: 16, data: arena.bytes(dst.at, 16 * 16 * 3).slice() }, expected);
    arena.release(mark);
  });

  test("identity, mirroring and quarter turns are exact up to the last row and column", () => {
    fc.assert(
      fc.property(images, (p) => {
        const go = (width: number, height: number, inverse: Affine): Plain =>
          made(p, image(width, height, 3), (src, dst) => {
            expect(draw.warp(src, dst, inverse, [1, 2, 3])).toEqual(inverse);
          });
        same(go(p.width, p.height, [1, 0, 0, 0, 1, 0]), p);
        same(go(p.width, p.height, [-1, 0, p.width, 0, 1, 0]), reference.flip(p));
        same(go(p.height, p.width, [0, 1, 0, -1, 0, p.height]), reference.turn(p, 1));
        same(go(p.width, p.height, [-1, 0, p.width, 0, -1, p.height]), reference.turn(p, 2));
      }),
      runs(100),
    );
  });
});

describe("measures", () => {
  test("grayDeviation", () => {
    fc.assert(
      fc.property(images, (p) => {
        const mark = arena.mark();
        expect(draw.grayDeviation(place(p).picture)).toBeCloseTo(reference.grayDeviation(p), 9);
        arena.release(mark);
      }),
      runs(200),
    );
  });

  test("difference", () => {
    fc.assert(
      fc.property(images, seeds, (p, seed) => {
        const mark = arena.mark();
        const other = image(p.width, p.height, seed);
        expect(draw.difference(place(p).picture, place(other).picture)).toBe(
          reference.difference(p, other),
        );
        arena.release(mark);
      }),
      runs(200),
    );
  });

  test("sums of large pictures do not overflow", () => {
    const mark = arena.mark();
    const [one, other] = [arena.picture(4096, 3000), arena.picture(4096, 3000)];
    draw.fill(one, { x: 0, y: 0, width: 4096, height: 3000 }, [255, 255, 255]);
    draw.fill(other, { x: 0, y: 0, width: 4096, height: 3000 }, [0, 0, 0]);
    expect(draw.difference(one, other)).toBe(255);
    expect(draw.grayDeviation(one)).toBe(0);
    draw.fill(one, { x: 0, y: 0, width: 2048, height: 3000 }, [0, 0, 0]);
    expect(draw.grayDeviation(one)).toBe(127.5);
    arena.release(mark);
  });
});

test("pictures of a photo's size, odd in both directions", () => {
  const p = image(643, 479, 3);
  same(
    made(p, image(224, 224, 1), (src, dst) =>
      draw.resize(src, { x: 70, y: 60, width: 401, height: 299 }, dst),
    ),
    reference.resize(crop(p, { x: 70, y: 60, width: 401, height: 299 }), 224, 224),
  );
  same(
    changed(p, (picture) => draw.blur(picture, 2)),
    reference.blur(p, 2),
  );
  for (const quarters of [1, 2, 3]) {
    const expected = reference.turn(p, quarters);
    same(
      made(p, image(expected.width, expected.height, 2), (src, dst) =>
        draw.turn(src, dst, quarters),
      ),
      expected,
    );
  }
  const inverse: Affine = [0.889, 0.189, 2.3, -0.189, 0.889, 66];
  let used = inverse;
  const warped = made(p, image(640, 480, 2), (src, dst) => {
    used = draw.warp(src, dst, inverse, [1, 2, 3]);
  });
  same(warped, reference.warp(p, 640, 480, used, [1, 2, 3]));
});

test("no operation reads more than 15 bytes beyond a picture", () => {
  // scratch in the lower half; the picture ends 15 bytes before the memory does, where one byte more is a trap
  const memory = createMemory();
  const scratch = createArena(memory, 0, memory.buffer.byteLength / 2);
  const lower = createDraw(scratch);
  const { byteLength } = memory.buffer;
  fc.assert(
    fc.property(images, side, side, (p, width, height) => {
      const mark = scratch.mark();
      const src = { ...scratch.picture(p.width, p.height), at: byteLength - 15 - p.data.length };
      scratch.bytes(src.at, p.data.length).set(p.data);
      const dst = scratch.picture(width, height);
      const turned = scratch.picture(p.height, p.width);
      const equal = scratch.picture(p.width, p.height);
      const whole: Box = { x: 0, y: 0, width: p.width, height: p.height };
      lower.copy(src, whole, equal, 0, 0);
      lower.resize(src, whole, dst);
      lower.resize(src, { ...whole, x: p.width - 1, width: 1 }, dst);
      lower.turn(src, turned, 1);
      lower.turn(src, equal, 2);
      lower.turn(src, turned, 3);
      lower.warp(src, dst, [p.width / width, 0, 0, 0, p.height / height, 0], [0, 0, 0]);
      lower.warp(src, equal, [1, 0, 0, 0, 1, 0], [0, 0, 0]);
      lower.grayDeviation(src);
      lower.difference(src, equal);
      lower.difference(equal, src);
      lower.flip(src);
      lower.brightness(src, 1.5);
      lower.contrast(src, 1.5);
      lower.saturation(src, 1.5);
      lower.hue(src, 0.2);
      if (p.width >= 12 && p.height >= 12) lower.blur(src, 2);
      lower.grayscale(src);
      lower.fill(src, whole, [1, 2, 3]);
      lower.marker(src, p.width, p.height, 3, [1, 2, 3]);
      scratch.release(mark);
    }),
    runs(150),
  );
  expect(memory.buffer.byteLength).toBe(byteLength);
});

test("arguments that do not fit are refused before anything is written", () => {
  const mark = arena.mark();
  const one = arena.picture(20, 10);
  const whole: Box = { x: 0, y: 0, width: 20, height: 10 };
  const internal = expect.objectContaining({ code: "INTERNAL" });
  const refuses = (work: () => void): void => expect(work).toThrow(internal);
  for (const box of [
    { ...whole, x: 1 },
    { ...whole, y: -1 },
    { ...whole, width: 0 },
    { ...whole, height: 11 },
    { ...whole, width: 1.5 },
    { ...whole, x: NaN },
  ]) {
    refuses(() => draw.fill(one, box, [0, 0, 0]));
    refuses(() => draw.resize(one, box, one));
    refuses(() => draw.copy(one, box, one, 0, 0));
  }
  refuses(() => draw.copy(one, whole, one, 1, 0));
  refuses(() => draw.brightness(one, -0.1));
  refuses(() => draw.contrast(one, NaN));
  refuses(() => draw.saturation(one, 101));
  refuses(() => draw.hue(one, 0.6));
  refuses(() => draw.blur(one, 1));
  refuses(() => draw.blur(arena.picture(12, 12), 0));
  refuses(() => draw.turn(one, one, 1));
  refuses(() => draw.turn(one, one, 0));
  refuses(() => draw.warp(one, one, [1, 0, Infinity, 0, 1, 0], [0, 0, 0]));
  refuses(() => draw.warp({ ...one, width: 40_000 }, one, [1, 0, 0, 0, 1, 0], [0, 0, 0]));
  refuses(() => draw.marker(one, 0, 0, 10, [0, 0, 0]));
  refuses(() => draw.difference(one, arena.picture(10, 20)));
  arena.release(mark);
});
