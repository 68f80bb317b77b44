import { readFileSync } from "node:fs";
import { crc32, gunzipSync } from "node:zlib";
import fc from "fast-check";
import sharp from "sharp";
import { afterEach, describe, expect, test } from "vitest";
import { createArena, createMemory } from "../../src/images/arena.ts";
import { decode, type Undecodable } from "../../src/images/decode.ts";
import { createDraw } from "../../src/images/draw.ts";
import type { Picture } from "../../src/images/picture.ts";

// Made by test/vectors/decode/make.py with Pillow. Its JPEG decoder uses the slow DCT, ours the fast one: they differ by 5 levels at most here, by 1 on average.
const folder = new URL("../vectors/decode/", import.meta.url);
const file = (name: string): Buffer => readFileSync(new URL(name, folder));
const vectors = JSON.parse(file("images.json").toString()) as {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly tolerance: number;
}[];
const pixels = gunzipSync(file("pixels.bin.gz"));

const START = 65_536;
const LIMIT = 64 << 20;
const memory = createMemory();
const images = createArena(memory, START, LIMIT);
const draw = createDraw(createArena(memory, LIMIT, 2 * LIMIT));
const limits = { maxInputPixels: 1_000_000 };

afterEach(() => images.release(START));

async function decoded(bytes: Uint8Array): Promise<Picture> {
  const picture = await decode(bytes, images, draw, limits);
  if ("reason" in picture) throw new Error(`${picture.reason}: ${picture.detail}`);
  return picture;
}

/** Refused, for a reason that a person can read, and without a trace in memory. */
async function refused(bytes: Uint8Array): Promise<Undecodable> {
  const before = images.mark();
  const answer = await decode(bytes, images, draw, limits);
  if (!("reason" in answer)) throw new Error(`${answer.width} x ${answer.height} pixels`);
  expect(answer.detail).toMatch(/^[^\n]{5,200}$/);
  expect(answer.detail).not.toContain("No error");
  expect(images.mark()).toBe(before);
  return answer;
}

const rgb = ({ at, width, height }: Picture): Buffer =>
  Buffer.from(images.bytes(at, width * height * 3));

describe("pixels are Pillow's", () => {
  let at = 0;
  for (const { name, width, height, tolerance } of vectors) {
    const expected = pixels.subarray(at, at + width * height * 3);
    at += expected.length;
    test(name, async () => {
      const picture = await decoded(file(name));
      expect(picture).toMatchObject({ width, height });
      const found = rgb(picture);
      let worst = 0;
      for (const [i, value] of expected.entries())
        worst = Math.max(worst, Math.abs(value - found[i]!));
      expect(worst).toBeLessThanOrEqual(tolerance);
    });
  }

  test("all vectors are used", () => {
    expect(at).toBe(pixels.length);
  });
});

test("orientations are the group of the square, by definition", async () => {
  const upright = await decoded(file("jpeg-exif-1.jpg"));
  const { width: w, height: h } = upright;
  const from = rgb(upright);
  // Exif 2.3, 4.6.4: which stored pixel is shown at (x, y).
  const stored: Record<number, (x: number, y: number) => [number, number]> = {
    2: (x, y) => [w - 1 - x, y],
    3: (x, y) => [w - 1 - x, h - 1 - y],
    4: (x, y) => [x, h - 1 - y],
    5: (x, y) => [y, x],
    6: (x, y) => [y, h - 1 - x],
    7: (x, y) => [w - 1 - y, h - 1 - x],
    8: (x, y) => [w - 1 - y, x],
  };
  for (const [orientation, place] of Object.entries(stored)) {
    images.release(START);
    const turned = await decoded(file(`jpeg-exif-${orientation}.jpg`));
    const [width, height] = Number(orientation) > 4 ? [h, w] : [w, h];
    expect(turned).toMatchObject({ width, height });
    const expected = Buffer.alloc(from.length);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const [u, v] = place(x, y);
        from.copy(expected, (y * width + x) * 3, (v * w + u) * 3, (v * w + u) * 3 + 3);
      }
    expect(rgb(turned).equals(expected)).toBe(true);
  }
});

test("an orientation that Exif does not know, and a broken Exif block, change nothing", async () => {
  const good = file("jpeg-exif-6.jpg");
  const plain = rgb(await decoded(file("jpeg-exif-1.jpg")));
  const exif = good.indexOf("Exif\0\0", 0, "latin1");
  const tag = good.indexOf(Buffer.from([0x01, 0x12]), exif);
  for (const [offset, value] of [
    [tag + 8, 0x00_00],
    [tag + 8, 0x00_09],
    [tag + 8, 0xff_ff],
    [exif + 6, 0x00_00], // neither II nor MM
    [exif + 8, 0x00_2b], // not 42
    [exif + 10, 0xff_ff], // the directory lies outside
    [exif + 14, 0xff_ff], // as many tags as fit nowhere
  ] as const) {
    const bytes = Buffer.from(good);
    bytes.writeUInt16BE(value, offset);
    const picture = await decoded(bytes);
    const turned = value === 0xff_ff && offset === exif + 14; // the tag itself still stands there
    expect(rgb(picture).equals(plain)).toBe(!turned);
  }
});

test("bytes are found at any offset of their buffer", async () => {
  for (const name of ["jpeg-420.jpg", "jpeg-cmyk.jpg", "png-rgba.png"]) {
    const bytes = file(name);
    const expected = rgb(await decoded(new Uint8Array(bytes)));
    const framed = Buffer.concat([Buffer.alloc(3, 0xff), bytes, Buffer.alloc(5, 0xff)]);
    expect(rgb(await decoded(framed.subarray(3, 3 + bytes.length))).equals(expected)).toBe(true);
  }
});

describe("refused", () => {
  test("JPEG cut at any byte", async () => {
    for (const name of ["jpeg-420.jpg", "jpeg-progressive.jpg", "jpeg-exif-6.jpg"]) {
      const bytes = file(name);
      for (let end = 0; end < bytes.length; end++) {
        const { reason } = await refused(bytes.subarray(0, end));
        expect(reason).toBe("unreadable");
      }
    }
  });

  test("other formats cut before their last pixel", async () => {
    for (const name of [
      "png-rgb.png",
      "webp-lossy.webp",
      "webp-lossless.webp",
      "gif.gif",
      "tiff-lzw.tif",
      "avif.avif",
      "jpeg-cmyk.jpg",
    ]) {
      const bytes = file(name);
      for (let end = 0; end < bytes.length - 12; end += 13) await refused(bytes.subarray(0, end));
    }
  });

  test("what has no image's first bytes, whatever its name", async () => {
    const texts = [
      "",
      "hello world",
      "<!doctype html><html></html>",
      "%PDF-1.7",
      '<svg xmlns="http://www.w3.org/2000/svg" width="50" height="50"><rect width="9" height="9"/></svg>',
      '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="50" height="50"></svg>',
    ];
    for (const text of texts)
      expect((await refused(Buffer.from(text))).detail).toMatch(/^(not a JPEG|an empty file)/);
    await refused(Buffer.alloc(5000));
    await refused(Buffer.from([0xff, 0xd8]));
    await refused(Buffer.alloc(5000, 0xff));
  });

  test("a size that the limit forbids, before any memory is taken", async () => {
    const jpeg = Buffer.from(file("jpeg-420.jpg"));
    const frame = jpeg.indexOf(Buffer.from([0xff, 0xc0]));
    jpeg.writeUInt16BE(65_500, frame + 5);
    jpeg.writeUInt16BE(65_500, frame + 7);
    const before = memory.buffer.byteLength;
    expect(await refused(jpeg)).toEqual({
      reason: "too-many-pixels",
      detail: "65500 x 65500 pixels, 1000000 allowed",
    });
    const png = Buffer.from(file("png-rgb.png"));
    png.writeUInt32BE(60_000, 16);
    png.writeUInt32BE(60_000, 20);
    png.writeUInt32BE(crc32(png.subarray(12, 29)), 29);
    expect((await refused(png)).reason).toBe("too-many-pixels");
    expect(memory.buffer.byteLength).toBe(before);
  });

  test("a header that tells of more pixels than there are", async () => {
    const jpeg = Buffer.from(file("jpeg-420.jpg"));
    const frame = jpeg.indexOf(Buffer.from([0xff, 0xc0]));
    jpeg.writeUInt16BE(900, frame + 5);
    jpeg.writeUInt16BE(900, frame + 7);
    await refused(jpeg);
    jpeg.writeUInt16BE(0, frame + 5);
    await refused(jpeg);
  });

  test("two frame headers", async () => {
    const jpeg = file("jpeg-420.jpg");
    const frame = jpeg.indexOf(Buffer.from([0xff, 0xc0]));
    const small = Buffer.from(jpeg.subarray(frame, frame + 2 + jpeg.readUInt16BE(frame + 2)));
    small.writeUInt16BE(8, 5);
    small.writeUInt16BE(8, 7);
    await refused(Buffer.concat([jpeg.subarray(0, frame), small, jpeg.subarray(frame)]));
  });

  test("colours that take floating point to show", async () => {
    const raw = { raw: { width: 9, height: 9, channels: 3 as const } };
    const gray = sharp(Buffer.alloc(243, 99), raw);
    const made = (space: string): Promise<Buffer> =>
      gray.clone().toColourspace(space).tiff({ compression: "none" }).toBuffer();
    expect((await refused(await made("lab"))).detail).toBe("colour space lab, float");
    expect((await refused(await made("scrgb"))).detail).toBe("colour space scrgb, float");
    await decoded(await made("rgb16"));
  });
});

test("damage of any kind is an answer, the same each time, and stays inside of its picture", async () => {
  const names = ["jpeg-420.jpg", "jpeg-progressive.jpg", "png-palette.png", "webp-lossy.webp"];
  const damage = fc.array(fc.tuple(fc.double({ min: 0, max: 1, maxExcluded: true }), fc.nat(255)), {
    minLength: 1,
    maxLength: 6,
  });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...names), damage, async (name, places) => {
      const bytes = Buffer.from(file(name));
      for (const [place, value] of places) bytes[Math.floor(place * bytes.length)] = value;
      const answers: unknown[] = [];
      for (const fill of [0, 255]) {
        images.release(START);
        images.bytes(START, 65_536).fill(fill);
        const answer = await decode(bytes, images, draw, limits);
        if ("reason" in answer) answers.push(answer);
        else answers.push({ ...answer, pixels: rgb(answer) });
      }
      expect(answers[1]).toEqual(answers[0]);
    }),
    { numRuns: 300, seed: 1 },
  );
});

test("a full memory is not the image's fault", async () => {
  const small = createArena(memory, START, START + 2000);
  await expect(decode(file("jpeg-420.jpg"), small, draw, limits)).rejects.toThrow(RangeError);
  expect(small.mark()).toBe(START);
});
