// The bits of every operation on one picture. Another digest here means other pixels for every user: it raises the version of the stream format.
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { createArena, createMemory } from "../../src/images/arena.ts";
import { createDraw } from "../../src/images/draw.ts";
import type { Picture } from "../../src/images/picture.ts";

const arena = createArena(createMemory(), 0);
const draw = createDraw(arena);

function photo(): Picture {
  const picture = arena.picture(157, 101);
  const bytes = arena.bytes(picture.at, 157 * 101 * 3);
  let state = 1;
  bytes.forEach((_, i) => {
    state = Math.imul(state, 1664525) + 1013904223;
    bytes[i] = ((i % 471) / 3 + ((state >>> 16) & 63) + (i % 3) * 30) & 255;
  });
  return picture;
}

function digest(picture: Picture): string {
  const bytes = arena.bytes(picture.at, picture.width * picture.height * 3);
  return createHash("sha256").update(Uint8Array.from(bytes)).digest("hex").slice(0, 16);
}

const inPlace = (work: (picture: Picture) => void): string => {
  const picture = photo();
  work(picture);
  return digest(picture);
};

const onto = (
  width: number,
  height: number,
  work: (src: Picture, dst: Picture) => void,
): string => {
  const dst = arena.picture(width, height);
  work(photo(), dst);
  return digest(dst);
};

test("digests", () => {
  expect({
    source: inPlace(() => {}),
    shrunk: onto(61, 33, (src, dst) =>
      draw.resize(src, { x: 3, y: 5, width: 150, height: 91 }, dst),
    ),
    enlarged: onto(224, 224, (src, dst) =>
      draw.resize(src, { x: 40, y: 30, width: 77, height: 50 }, dst),
    ),
    flip: inPlace((picture) => draw.flip(picture)),
    brightness: inPlace((picture) => draw.brightness(picture, 1.37)),
    contrast: inPlace((picture) => draw.contrast(picture, 0.41)),
    saturation: inPlace((picture) => draw.saturation(picture, 1.73)),
    hue: inPlace((picture) => draw.hue(picture, -0.137)),
    grayscale: inPlace((picture) => draw.grayscale(picture)),
    blur: inPlace((picture) => draw.blur(picture, 1.3)),
    turn: onto(101, 157, (src, dst) => draw.turn(src, dst, 1)),
    warp: onto(160, 120, (src, dst) =>
      draw.warp(src, dst, [0.9, 0.3, 4.2, -0.3, 0.9, 20.1], [114, 20, 230]),
    ),
    markers: inPlace((picture) => {
      for (let digit = 0; digit < 10; digit++)
        draw.marker(picture, 10 + digit * 15, 8 + digit * 9, digit, [200, 30, 40]);
    }),
  }).toEqual({
    source: "e94d6cebaf20c367",
    shrunk: "dcf47151f79ebc31",
    enlarged: "399412d6a718c730",
    flip: "6039b5ecb079c6d3",
    brightness: "a8978f6d8ce3ec55",
    contrast: "2bf4ea2b2fe8d9c8",
    saturation: "ad978f64a865cec2",
    hue: "eb59cfe46ff66c26",
    grayscale: "ebdadb9c73b6d06c",
    blur: "a6ca20f274e6a8e7",
    turn: "a097125448c167af",
    warp: "d958ea0537baf5ff",
    markers: "717f9e79836c401f",
  });
  expect(draw.grayDeviation(photo())).toBe(45.9525856535795);
});
