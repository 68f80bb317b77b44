import { exp } from "./numeric.ts";

/** Weights of all filters are multiples of 1 / ONE and sum to exactly ONE, so that a flat picture stays as it is. */
const ONE = 16_384;

/** A filter for each output: `weights[x * taps + k]` belongs to input `firsts[x] + k`. */
export interface Taps {
  readonly taps: number;
  readonly firsts: Int32Array;
  readonly weights: Int16Array;
}

/**
 * Bilinear with antialias: a triangle as wide as two inputs, or as two outputs where the picture shrinks (Pillow's BILINEAR, torch's antialias).
 * `taps` is a multiple of `multiple`, with zeros where fewer are needed. No input at or beyond `input` has a weight; where input >= taps none is named.
 */
export function triangleTaps(input: number, output: number, multiple: number): Taps {
  const scale = input / output;
  const support = Math.max(scale, 1);
  const most = Math.min(Math.ceil(2 * support), input);
  const taps = Math.ceil(most / multiple) * multiple;
  const firsts = new Int32Array(output);
  const weights = new Int16Array(output * taps);
  const running = new Float64Array(most);
  for (let x = 0; x < output; x++) {
    const centre = (x + 0.5) * scale;
    const low = Math.max(0, Math.floor(centre - support + 0.5));
    const count = Math.min(Math.floor(centre + support + 0.5) - low, input - low, most);
    let sum = 0;
    for (let k = 0; k < count; k++) {
      const weight = 1 - Math.abs(low + k + 0.5 - centre) / support;
      if (weight > 0) sum += weight;
      running[k] = sum;
    }
    const first = Math.max(0, Math.min(low, input - taps));
    firsts[x] = first;
    // rounding the running sum, not each weight, makes the total exact however many taps there are
    let before = 0;
    for (let k = 0; k < count; k++) {
      const upTo = Math.floor((running[k]! / sum) * ONE + 0.5);
      weights[x * taps + low - first + k] = upTo - before;
      before = upTo;
    }
  }
  return { taps, firsts, weights };
}

/** Largest distance that blur looks at: a kernel of 23 taps (SimCLR's 10 % of 224 pixels). */
export const BLUR_RADIUS = 11;

/** Gaussian at distances 0 .. radius; the radius is even and as small as the taps that are not zero allow, 0 where only the centre is left. */
export function gaussianTaps(sigma: number): {
  readonly radius: number;
  readonly weights: Int16Array;
} {
  const bells = [1];
  let sum = 1;
  for (let k = 1; k <= BLUR_RADIUS; k++) {
    const bell = exp(-(k * k) / (2 * sigma * sigma));
    bells.push(bell);
    sum += 2 * bell;
  }
  const weights = new Int16Array(BLUR_RADIUS + 2);
  let centre = ONE;
  let radius = 0;
  for (let k = 1; k <= BLUR_RADIUS; k++) {
    const weight = Math.floor((bells[k]! / sum) * ONE + 0.5);
    weights[k] = weight;
    centre -= 2 * weight;
    if (weight !== 0) radius = k;
  }
  weights[0] = centre;
  radius += radius & 1;
  return { radius, weights: weights.subarray(0, radius + 1) };
}
