import { StreamError } from "../errors.ts";
import { bindKernels } from "./kernels.ts";
import { FULL, STAMP_REACH, stampOf } from "./marker.ts";
import type { Affine, Arena, Box, Draw, Picture, Rgb } from "./picture.ts";
import { BLUR_RADIUS, gaussianTaps, triangleTaps } from "./taps.ts";

/** Fixed point of factors, hue and maps: 16 bits of fraction. */
const ONE = 65_536;
/** A sixth of a turn of hue is ONE. */
const TURN = 6 * ONE;
/**
 * Colour factors are rounded to 1 / ONE, so the product with a channel is off by up to 255 / 2 / ONE. This much is added before it is cut to a whole number,
 * or 1.2 * 5 would give 5.
 */
const SLACK = 128;
/** Beyond this the products leave 32 bits; at 100 every channel is black or white long since. */
const MOST_FACTOR = 100;
/** Where 16.16 indices of a picture's pixels leave 32 bits. */
const MOST_SIDE = 2 ** 15 - 1;
/** Sums of two products with sizes below 2^15 stay far inside 64 bits. */
const MOST_COEFFICIENT = 2 ** 48;

function need(condition: boolean, message: string): void {
  if (!condition) throw new StreamError("INTERNAL", message);
}

function needInside(box: Box, picture: Picture, what: string): void {
  const whole = [box.x, box.y, box.width, box.height].every(Number.isSafeInteger);
  need(
    whole &&
      box.x >= 0 &&
      box.y >= 0 &&
      box.width >= 1 &&
      box.height >= 1 &&
      box.x + box.width <= picture.width &&
      box.y + box.height <= picture.height,
    `${what}: box ${box.width} x ${box.height} at (${box.x}, ${box.y}) is not inside ${picture.width} x ${picture.height}`,
  );
}

function fixedFactor(factor: number, what: string): number {
  need(
    factor >= 0 && factor <= MOST_FACTOR,
    `${what}: factor ${factor} is not within 0 .. ${MOST_FACTOR}`,
  );
  return Math.floor(factor * ONE + 0.5);
}

function packed(colour: Rgb): number {
  return colour[0] | (colour[1] << 8) | (colour[2] << 16);
}

const pixelsOf = (picture: Picture): number => picture.width * picture.height;
const bytesOf = (picture: Picture): number => picture.width * picture.height * 3;
const offsetOf = (picture: Picture, x: number, y: number): number =>
  picture.at + (y * picture.width + x) * 3;

/** Pixel operations on pictures in the arena's memory. Scratch memory comes from the arena and is given back before each returns. */
export function createDraw(arena: Arena): Draw {
  const kernels = bindKernels(arena.memory);

  /** Runs `work` and gives back what it allocated. */
  function withScratch<T>(work: () => T): T {
    const mark = arena.mark();
    try {
      return work();
    } finally {
      arena.release(mark);
    }
  }

  function put(values: Int32Array | Int16Array): number {
    const at = arena.alloc(values.byteLength);
    arena
      .bytes(at, values.byteLength)
      .set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    return at;
  }

  /** Sum of the luma of all pixels and of its squares. */
  function lumaSums(picture: Picture): readonly [sum: bigint, squares: bigint] {
    return withScratch(() => {
      const at = arena.alloc(16);
      kernels.lumaSums(picture.at, pixelsOf(picture), at);
      const result = new BigUint64Array(arena.memory.buffer, at, 2);
      return [result[0]!, result[1]!];
    });
  }

  return {
    copy(src, box, dst, x, y) {
      needInside(box, src, "copy from");
      needInside({ x, y, width: box.width, height: box.height }, dst, "copy to");
      const from = offsetOf(src, box.x, box.y);
      kernels.copyRows(
        from,
        src.width * 3,
        offsetOf(dst, x, y),
        dst.width * 3,
        box.width * 3,
        box.height,
      );
    },

    fill(dst, box, colour) {
      needInside(box, dst, "fill");
      kernels.fillBox(
        offsetOf(dst, box.x, box.y),
        dst.width * 3,
        box.width,
        box.height,
        packed(colour),
      );
    },

    resize(src, box, dst) {
      needInside(box, src, "resize");
      const from = offsetOf(src, box.x, box.y);
      const stride = src.width * 3;
      const rowBytes = dst.width * 3;
      if (box.width === dst.width && box.height === dst.height) {
        kernels.copyRows(from, stride, dst.at, rowBytes, rowBytes, dst.height);
        return;
      }
      const across = triangleTaps(box.width, dst.width, 4);
      const down = triangleTaps(box.height, dst.height, 2);
      withScratch(() => {
        const acrossFirsts = put(across.firsts);
        const acrossWeights = put(across.weights);
        const downFirsts = put(down.firsts);
        const downWeights = put(down.weights);
        // one row more: an odd number of rows is read in pairs
        const rows = arena.alloc((box.height + 1) * rowBytes);
        kernels.resizeRows(
          from,
          stride,
          box.height,
          rows,
          dst.width,
          acrossFirsts,
          acrossWeights,
          across.taps,
        );
        kernels.resizeColumns(
          rows,
          rowBytes,
          dst.at,
          dst.height,
          downFirsts,
          downWeights,
          down.taps,
        );
      });
    },

    flip(picture) {
      kernels.flip(picture.at, picture.width, picture.height);
    },

    brightness(picture, factor) {
      kernels.scaleShift(picture.at, bytesOf(picture), fixedFactor(factor, "brightness"), SLACK);
    },

    contrast(picture, factor) {
      const fixed = fixedFactor(factor, "contrast");
      const mean = Number(lumaSums(picture)[0]) / pixelsOf(picture);
      const offset = Math.floor((ONE - fixed) * mean + 0.5) + SLACK;
      kernels.scaleShift(picture.at, bytesOf(picture), fixed, offset);
    },

    saturation(picture, factor) {
      kernels.saturate(picture.at, pixelsOf(picture), fixedFactor(factor, "saturation"), SLACK);
    },

    hue(picture, turns) {
      need(turns >= -0.5 && turns <= 0.5, `hue: ${turns} turns are not within -0.5 .. 0.5`);
      const shift = Math.floor(turns * TURN + 0.5);
      kernels.turnHue(picture.at, pixelsOf(picture), shift < 0 ? shift + TURN : shift);
    },

    grayscale(picture) {
      kernels.gray(picture.at, pixelsOf(picture));
    },

    blur(picture, sigma) {
      const { width, height } = picture;
      const least = BLUR_RADIUS + 1;
      need(
        width >= least && height >= least,
        `blur: ${width} x ${height} is below ${least} x ${least} pixels`,
      );
      need(sigma > 0, `blur: sigma ${sigma} is not above 0`);
      const { radius, weights } = gaussianTaps(sigma);
      if (radius === 0) return;
      withScratch(() => {
        const row = arena.alloc((width + 2 * radius) * 3);
        const rows = arena.alloc((height + 2 * radius) * width * 3);
        kernels.blur(picture.at, width, height, put(weights), radius, row, rows);
      });
    },

    turn(src, dst, quarters) {
      const swapped = quarters !== 2;
      need(quarters === 1 || quarters === 2 || quarters === 3, `turn: ${quarters} quarters`);
      need(
        dst.width === (swapped ? src.height : src.width) &&
          dst.height === (swapped ? src.width : src.height),
        `turn: ${src.width} x ${src.height} by ${quarters} quarters is not ${dst.width} x ${dst.height}`,
      );
      if (swapped) kernels.turnQuarter(src.at, src.width, src.height, dst.at, quarters === 1);
      else kernels.turnHalf(src.at, pixelsOf(src), dst.at);
    },

    warp(src, dst, inverse, fill) {
      need(
        src.width < MOST_SIDE && src.height < MOST_SIDE,
        `warp: ${src.width} x ${src.height} is too large`,
      );
      const [a, b, c, d, e, f] = inverse;
      const fixed = [a, b, a / 2 + b / 2 + c - 0.5, d, e, d / 2 + e / 2 + f - 0.5].map((x) =>
        Math.floor(x * ONE + 0.5),
      );
      need(
        fixed.every((x) => Math.abs(x) <= MOST_COEFFICIENT),
        `warp: coefficients ${inverse.join(", ")} are out of range`,
      );
      const [a1, b1, c1, d1, e1, f1] = fixed as unknown as Affine;
      const rgb = packed(fill);
      kernels.warp(
        src.at,
        src.width,
        src.height,
        dst.at,
        dst.width,
        dst.height,
        a1,
        b1,
        c1,
        d1,
        e1,
        f1,
        rgb,
      );
      const back = (p: number, q: number, r: number): number => (r - p / 2 - q / 2) / ONE + 0.5;
      return [a1 / ONE, b1 / ONE, back(a1, b1, c1), d1 / ONE, e1 / ONE, back(d1, e1, f1)];
    },

    marker(dst, x, y, digit, colour) {
      need(Number.isInteger(digit) && digit >= 0 && digit <= 9, `marker: digit ${digit}`);
      const stamp = stampOf(digit);
      const pixels = arena.bytes(dst.at, bytesOf(dst));
      const left = Math.floor(x) - STAMP_REACH;
      const top = Math.floor(y) - STAMP_REACH;
      for (let row = Math.max(0, -top); row < stamp.side && top + row < dst.height; row++) {
        for (
          let column = Math.max(0, -left);
          column < stamp.side && left + column < dst.width;
          column++
        ) {
          const i = row * stamp.side + column;
          const white = stamp.white[i]!;
          const coloured = stamp.coloured[i]!;
          const rest = FULL - stamp.black[i]! - white - coloured;
          if (rest === FULL) continue;
          const at = ((top + row) * dst.width + left + column) * 3;
          for (let channel = 0; channel < 3; channel++) {
            const sum = pixels[at + channel]! * rest + 255 * white + colour[channel]! * coloured;
            pixels[at + channel] = Math.floor((sum + FULL / 2) / FULL);
          }
        }
      }
    },

    grayDeviation(picture) {
      const [sum, squares] = lumaSums(picture);
      const count = pixelsOf(picture);
      return Math.sqrt(Number(BigInt(count) * squares - sum * sum)) / count;
    },

    difference(one, other) {
      need(
        one.width === other.width && one.height === other.height,
        `difference: ${one.width} x ${one.height} and ${other.width} x ${other.height}`,
      );
      return kernels.absoluteDifference(one.at, other.at, bytesOf(one)) / bytesOf(one);
    },
  };
}
