import sharp from "sharp";
import { afterEach, expect, test } from "vitest";
import { createArena, createMemory } from "../../src/images/arena.ts";
import { encode, type Room } from "../../src/images/encode.ts";
import { jpegBound, jpegHeader } from "../../src/images/jpeg.ts";
import type { Picture } from "../../src/images/picture.ts";
import { noise } from "../fixtures/files.ts";

const memory = createMemory();
const images = createArena(memory, 65_536, 8 << 20);
const start = images.mark();
afterEach(() => images.release(start));

/** Room that writes down what was asked of it. */
function room(): Room & { readonly log: (readonly [string, number])[] } {
  const arena = createArena(memory, 8 << 20, 16 << 20);
  const log: (readonly [string, number])[] = [];
  return {
    log,
    take(bytes) {
      log.push(["take", bytes]);
      return arena.alloc(bytes);
    },
    trim(_, used) {
      log.push(["trim", used]);
    },
  };
}

function noisy(width: number, height: number): Picture {
  const picture = images.picture(width, height);
  images.bytes(picture.at, width * height * 3).set(noise(width * height * 3, width));
  return picture;
}

function smooth(width: number, height: number): Picture {
  const picture = images.picture(width, height);
  const bytes = images.bytes(picture.at, width * height * 3);
  for (let i = 0; i < bytes.length; i++) bytes[i] = 60 + ((i % (width * 3)) >> 2) + (i % 3) * 30;
  return picture;
}

const bytesOf = ({ at, width, height }: Picture): Uint8Array =>
  images.bytes(at, width * height * 3).slice();

test("PNG holds the very pixels, and no more room is taken than it needs", async () => {
  for (const [width, height] of [
    [1, 1],
    [37, 5],
    [224, 224],
  ] as const) {
    const picture = noisy(width, height);
    const before = bytesOf(picture);
    const to = room();
    const { at, length } = await encode(picture, "png", images, to);
    const png = Buffer.from(images.bytes(at, length));
    const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
    expect(info).toMatchObject({ width, height, channels: 3 });
    expect(Buffer.compare(data, before)).toBe(0);
    expect(bytesOf(picture)).toEqual(before);
    expect(to.log).toEqual([["take", length]]);
  }
});

test("JPEG is 4:4:4 of the right size and near its pixels", async () => {
  const picture = smooth(180, 60);
  const before = bytesOf(picture);
  const to = room();
  const { at, length } = await encode(picture, "jpeg", images, to);
  const jpeg = Buffer.from(images.bytes(at, length));
  expect(jpegHeader(jpeg)).toEqual({
    width: 180,
    height: 60,
    components: 3,
    precision: 8,
    orientation: 1,
  });
  const { chromaSubsampling } = await sharp(jpeg).metadata();
  expect(chromaSubsampling).toBe("4:4:4");
  const decoded = await sharp(jpeg).raw().toBuffer();
  const worst = before.reduce((most, value, i) => Math.max(most, Math.abs(value - decoded[i]!)), 0);
  expect(worst).toBeLessThanOrEqual(8);
  expect(to.log).toEqual([
    ["take", jpegBound(180, 60)],
    ["trim", length],
  ]);
});

test("the worst of all images stays within the bound", async () => {
  const picture = noisy(224, 224);
  const to = room();
  const { length } = await encode(picture, "jpeg", images, to);
  expect(length).toBeLessThanOrEqual(jpegBound(224, 224));
});

test("the same bytes again, whatever lay in the room before", async () => {
  const picture = smooth(96, 96);
  for (const format of ["jpeg", "png"] as const) {
    const made = await Promise.all(
      [0, 255].map(async (fill) => {
        const to = room();
        const before = images.bytes(to.take(1 << 20), 1 << 20);
        before.fill(fill);
        const { at, length } = await encode(picture, format, images, room());
        return Buffer.from(images.bytes(at, length));
      }),
    );
    expect(made[0]!.equals(made[1]!)).toBe(true);
  }
});
