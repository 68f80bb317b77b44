/** Every drawing operation pixel by pixel in plain numbers: slow, short, obviously right. The oracle of the kernels, bit for bit. */
import type { Affine, Box, Rgb } from "../../src/images/picture.ts";
import { gaussianTaps, triangleTaps } from "../../src/images/taps.ts";

export interface Plain {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

type Channels = (x: number, y: number, channel: number) => number;

export function plain(width: number, height: number, value: Channels): Plain {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++)
        data[(y * width + x) * 3 + channel] = value(x, y, channel);
    }
  }
  return { width, height, data };
}

export const at = (p: Plain, x: number, y: number, channel: number): number =>
  p.data[(y * p.width + x) * 3 + channel]!;

const clamp = (value: number): number => Math.max(0, Math.min(255, value));
const round = (value: number): number => Math.floor(value + 0.5);

/** Each pixel from each pixel. */
function map(p: Plain, change: (rgb: Rgb) => Rgb): Plain {
  const pixel = (x: number, y: number): Rgb =>
    change([at(p, x, y, 0), at(p, x, y, 1), at(p, x, y, 2)]);
  return plain(p.width, p.height, (x, y, channel) => pixel(x, y)[channel]!);
}

export const crop = (p: Plain, box: Box): Plain =>
  plain(box.width, box.height, (x, y, c) => at(p, box.x + x, box.y + y, c));

export const paste = (p: Plain, on: Plain, left: number, top: number): Plain =>
  plain(on.width, on.height, (x, y, c) => {
    const inside = x >= left && y >= top && x < left + p.width && y < top + p.height;
    return inside ? at(p, x - left, y - top, c) : at(on, x, y, c);
  });

export const flat = (width: number, height: number, colour: Rgb): Plain =>
  plain(width, height, (_x, _y, c) => colour[c]!);

export const flip = (p: Plain): Plain =>
  plain(p.width, p.height, (x, y, c) => at(p, p.width - 1 - x, y, c));

export function turn(p: Plain, quarters: number): Plain {
  if (quarters === 0) return p;
  // one quarter clockwise: the left column, read upwards, is the top row
  return turn(
    plain(p.height, p.width, (x, y, c) => at(p, y, p.height - 1 - x, c)),
    quarters - 1,
  );
}

export function resize(p: Plain, width: number, height: number): Plain {
  const across = triangleTaps(p.width, width, 4);
  const wide = plain(width, p.height, (x, y, c) => {
    let sum = 0;
    for (let k = 0; k < across.taps; k++) {
      const weight = across.weights[x * across.taps + k]!;
      if (weight !== 0) sum += weight * at(p, across.firsts[x]! + k, y, c);
    }
    return round(sum / 16384);
  });
  const down = triangleTaps(p.height, height, 2);
  return plain(width, height, (x, y, c) => {
    let sum = 0;
    for (let k = 0; k < down.taps; k++) {
      const weight = down.weights[y * down.taps + k]!;
      if (weight !== 0) sum += weight * at(wide, x, down.firsts[y]! + k, c);
    }
    return round(sum / 16384);
  });
}

const luma = ([r, g, b]: Rgb): number => Math.floor((19595 * r + 38470 * g + 7471 * b) / 65536);

export const grayscale = (p: Plain): Plain =>
  map(p, (rgb) => {
    const y = luma(rgb);
    return [y, y, y];
  });

function lumas(p: Plain): number[] {
  const gray = grayscale(p);
  return Array.from({ length: p.width * p.height }, (_, i) => gray.data[i * 3]!);
}

const mean = (values: readonly number[]): number =>
  values.reduce((a, b) => a + b, 0) / values.length;

/** Towards `centre` or away from it, with the factor in 1 / 65536 and 1 / 512 against a product that falls just short. */
const blend = (value: number, centre: number, factor: number): number => {
  const fixed = round(factor * 65536);
  return clamp(Math.floor((value * fixed + round((65536 - fixed) * centre)) / 65536 + 1 / 512));
};

export const brightness = (p: Plain, factor: number): Plain =>
  map(p, ([r, g, b]) => [blend(r, 0, factor), blend(g, 0, factor), blend(b, 0, factor)]);

export function contrast(p: Plain, factor: number): Plain {
  const centre = mean(lumas(p));
  return map(p, ([r, g, b]) => [
    blend(r, centre, factor),
    blend(g, centre, factor),
    blend(b, centre, factor),
  ]);
}

export const saturation = (p: Plain, factor: number): Plain =>
  map(p, (rgb) => {
    const y = luma(rgb);
    return [blend(rgb[0], y, factor), blend(rgb[1], y, factor), blend(rgb[2], y, factor)];
  });

/** Through HSV, with the hue in 1 / 65536 of a sixth; it stays multiplied by the chroma, so every number is whole. */
export function hue(p: Plain, turns: number): Plain {
  const shift = round(turns * 6 * 65536);
  return map(p, ([r, g, b]) => {
    const most = Math.max(r, g, b);
    const least = Math.min(r, g, b);
    const chroma = most - least;
    const full = 65536 * chroma;
    if (chroma === 0) return [r, g, b];
    const from = most === r ? g - b : most === g ? 2 * chroma + b - r : 4 * chroma + r - g;
    const turned = (from * 65536 + shift * chroma + 12 * full) % (6 * full);
    // distance on the circle from the channel's own hue: all of it within one sixth, nothing beyond two
    const channel = (own: number): number => {
      const apart = Math.abs(turned - own * full);
      const distance = Math.min(apart, 6 * full - apart);
      return least + round(Math.max(0, Math.min(full, 2 * full - distance)) / 65536);
    };
    return [channel(0), channel(2), channel(4)];
  });
}

/** The border is a mirror through the middle of the last pixel. */
const reflect = (i: number, size: number): number =>
  i < 0 ? -i : i >= size ? 2 * size - 2 - i : i;

export function blur(p: Plain, sigma: number): Plain {
  const { radius, weights } = gaussianTaps(sigma);
  const pass = (from: Plain, dx: number, dy: number): Plain =>
    plain(from.width, from.height, (x, y, c) => {
      let sum = 0;
      for (let k = -radius; k <= radius; k++) {
        const weight = weights[Math.abs(k)]!;
        if (weight === 0) continue;
        sum +=
          weight * at(from, reflect(x + k * dx, from.width), reflect(y + k * dy, from.height), c);
      }
      return round(sum / 16384);
    });
  return pass(pass(p, 1, 0), 0, 1);
}

/** `used` is the map that warp says it used. */
export function warp(p: Plain, width: number, height: number, used: Affine, fill: Rgb): Plain {
  const [a, b, c, d, e, f] = used;
  const value = (x: number, y: number, channel: number): number =>
    x >= 0 && y >= 0 && x < p.width && y < p.height ? at(p, x, y, channel) : fill[channel]!;
  return plain(width, height, (x, y, channel) => {
    const sx = round((a * (x + 0.5) + b * (y + 0.5) + c - 0.5) * 65536);
    const sy = round((d * (x + 0.5) + e * (y + 0.5) + f - 0.5) * 65536);
    // to the nearest 1 / 128
    const u = round(sx / 512);
    const v = round(sy / 512);
    const column = Math.floor(u / 128);
    const row = Math.floor(v / 128);
    const right = u - column * 128;
    const down = v - row * 128;
    const top =
      value(column, row, channel) * (128 - right) + value(column + 1, row, channel) * right;
    const bottom =
      value(column, row + 1, channel) * (128 - right) + value(column + 1, row + 1, channel) * right;
    return round((top * (128 - down) + bottom * down) / 16384);
  });
}

export function grayDeviation(p: Plain): number {
  const values = lumas(p);
  const centre = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - centre) ** 2)));
}

export const difference = (one: Plain, other: Plain): number =>
  mean(Array.from(one.data, (value, i) => Math.abs(value - other.data[i]!)));
