// Against what Pillow 12 and torchvision 0.28 make of the same picture (test/vectors/images/make.py). The tolerances are in levels of 255; where one is
// above 0 the reason stands beside it.
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { createArena, createMemory } from "../../src/images/arena.ts";
import { createDraw } from "../../src/images/draw.ts";
import type { Affine, Box, Picture, Rgb } from "../../src/images/picture.ts";

type Colour = "brightness" | "contrast" | "saturation" | "hue";

interface Case {
  readonly operation:
    | "source"
    | "resize"
    | Colour
    | "jitter"
    | "grayscale"
    | "blur"
    | "flip"
    | "turn"
    | "warp";
  readonly by: "numpy" | "pillow" | "torchvision";
  readonly offset: number;
  readonly width: number;
  readonly height: number;
  readonly box?: Box;
  readonly amount?: number;
  readonly steps?: readonly (readonly [Colour, number])[];
  readonly quarters?: number;
  readonly inverse?: Affine;
  readonly fill?: Rgb;
}

const folder = new URL("../vectors/images/", import.meta.url);
const { cases } = JSON.parse(readFileSync(new URL("drawing.json", folder), "utf8")) as {
  cases: Case[];
};
const blob = gunzipSync(readFileSync(new URL("drawing.bin.gz", folder)));
const pixelsOf = (of: Case): Uint8Array =>
  blob.subarray(of.offset, of.offset + of.width * of.height * 3);

const arena = createArena(createMemory(), 0);
const draw = createDraw(arena);
const source = cases[0]!;

/** Largest and mean difference allowed. */
const tolerances: { readonly [operation: string]: readonly [most: number, mean: number] } = {
  // 14-bit weights here, 22-bit in Pillow, 16-bit floating scale in torch: a sum near one half goes either way
  resize: [1, 0.03],
  brightness: [0, 0],
  contrast: [0, 0],
  // torchvision's luma weights sum to 0.9999, so its gray of a gray pixel is one below it; factor 3 doubles that
  saturation: [2, 0.12],
  // rounded here; torchvision's way back from floats to bytes cuts v * 255.999
  hue: [1, 0.1],
  // the sum of these
  jitter: [2, 0.2],
  // as saturation; Pillow rounds
  grayscale: [1, 0.5],
  // rounded to bytes between the two passes here, once in torchvision
  blur: [1, 0.25],
  flip: [0, 0],
  turn: [0, 0],
  // fractions of a pixel in 1 / 128, floating there, on edges of full contrast; Pillow cuts where we round
  warp: [2, 0.55],
};

function result(of: Case): Uint8Array {
  const src = arena.picture(source.width, source.height);
  arena.bytes(src.at, source.width * source.height * 3).set(pixelsOf(source));
  const dst = arena.picture(of.width, of.height);
  const whole: Box = { x: 0, y: 0, width: of.width, height: of.height };
  const inPlace = (work: (picture: Picture) => void): void => {
    draw.copy(src, whole, dst, 0, 0);
    work(dst);
  };
  if (of.operation === "resize") draw.resize(src, of.box!, dst);
  else if (of.operation === "turn") draw.turn(src, dst, of.quarters!);
  else if (of.operation === "warp") draw.warp(src, dst, of.inverse!, of.fill!);
  else if (of.operation === "flip") inPlace((picture) => draw.flip(picture));
  else if (of.operation === "grayscale") inPlace((picture) => draw.grayscale(picture));
  else if (of.operation === "jitter") {
    inPlace((picture) => of.steps!.forEach(([step, amount]) => draw[step](picture, amount)));
  } else if (of.operation !== "source")
    inPlace((picture) => draw[of.operation as Colour](picture, of.amount!));
  return arena.bytes(dst.at, of.width * of.height * 3).slice();
}

const within = (at: number, size: number): boolean => at >= 0.51 && at <= size - 0.51;

/** Whether all that this pixel was made of lies in the source: at the border each library has its own rule. */
function inside(of: Case, pixel: number): boolean {
  if (of.inverse === undefined) return true;
  const [a, b, c, d, e, f] = of.inverse;
  const x = (pixel % of.width) + 0.5;
  const y = Math.floor(pixel / of.width) + 0.5;
  return within(a * x + b * y + c, source.width) && within(d * x + e * y + f, source.height);
}

describe.each(cases.filter(({ operation }) => operation !== "source"))(
  "$operation by $by",
  (of) => {
    const what = JSON.stringify(of.amount ?? of.box ?? of.quarters ?? of.inverse ?? "");
    test(`${what} to ${of.width} x ${of.height}`, () => {
      const mark = arena.mark();
      const ours = result(of);
      arena.release(mark);
      const theirs = pixelsOf(of);
      let most = 0;
      let sum = 0;
      let count = 0;
      ours.forEach((byte, i) => {
        if (!inside(of, Math.floor(i / 3))) return;
        const apart = Math.abs(byte - theirs[i]!);
        most = Math.max(most, apart);
        sum += apart;
        count++;
      });
      const [allowed, mean] = tolerances[of.operation]!;
      expect(count).toBeGreaterThan(of.width * of.height);
      expect(most).toBeLessThanOrEqual(allowed);
      expect(sum / count).toBeLessThanOrEqual(mean);
    });
  },
);
