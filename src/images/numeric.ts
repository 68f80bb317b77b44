/**
 * Elementary functions that give the same bits everywhere: only + - * / and rounding, which IEEE 754 fixes, unlike Math.sin and the like.
 * Error below 1e-15 for sin and cos up to |x| = 8 (1e-13 up to 1000), relative below 1e-15 for log (absolute near 0) and 1e-14 for exp.
 */

// pi / 2 and ln 2 as sums of two numbers; the first has so few bits that its product with a small whole number is exact.
const HALF_PI_HIGH = 1.5707963267341256;
const HALF_PI_LOW = 6.077100506506192e-11;
const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;

/** First + second * x + ..., from the last to the first. */
function polynomial(x: number, coefficients: readonly number[]): number {
  let sum = 0;
  for (let i = coefficients.length - 1; i >= 0; i--) sum = sum * x + coefficients[i]!;
  return sum;
}

/** 1 / first!, -1 / (first + 2)!, 1 / (first + 4)! ...: the Taylor series of sine and cosine. */
function alternating(first: number, terms: number): readonly number[] {
  const coefficients: number[] = [];
  let value = 1;
  for (let i = 0; i < terms; i++) {
    coefficients.push(value);
    const n = first + 2 * i;
    value = -value / ((n + 1) * (n + 2));
  }
  return coefficients;
}

const SINE: readonly number[] = alternating(1, 10);
const COSINE: readonly number[] = alternating(0, 10);

function turned(x: number, quarters: number): number {
  const nearest = Math.floor(x / (HALF_PI_HIGH + HALF_PI_LOW) + 0.5);
  const rest = x - nearest * HALF_PI_HIGH - nearest * HALF_PI_LOW;
  const quadrant = (nearest + quarters) & 3;
  const square = rest * rest;
  const value = quadrant & 1 ? polynomial(square, COSINE) : rest * polynomial(square, SINE);
  return quadrant & 2 ? -value : value;
}

/** Sine of x radians, |x| <= 1000. */
export function sin(x: number): number {
  return turned(x, 0);
}

/** Cosine of x radians, |x| <= 1000. */
export function cos(x: number): number {
  return turned(x, 1);
}

const EXPONENTIAL: readonly number[] = (() => {
  const coefficients = [1];
  for (let i = 1; i <= 14; i++) coefficients.push(coefficients[i - 1]! / i);
  return coefficients;
})();

/** e to the x, x <= 700; 0 below -700. */
export function exp(x: number): number {
  if (x < -700) return 0;
  const powers = Math.floor(x / (LN2_HIGH + LN2_LOW) + 0.5);
  const rest = x - powers * LN2_HIGH - powers * LN2_LOW;
  let value = polynomial(rest, EXPONENTIAL);
  // multiplication by powers of two is exact
  let factor = powers < 0 ? 0.5 : 2;
  for (let left = Math.abs(powers); left > 0; left >>= 1) {
    if (left & 1) value *= factor;
    factor *= factor;
  }
  return value;
}

const LOGARITHM: readonly number[] = Array.from({ length: 13 }, (_, i) => 2 / (2 * i + 1));

/** Natural logarithm of x > 0. */
export function log(x: number): number {
  if (!(x > 0 && x < Infinity)) throw new RangeError(`log of ${x}`);
  let mantissa = x;
  let powers = 0;
  for (; mantissa > 1.4142135623730951; powers++) mantissa *= 0.5;
  for (; mantissa < 0.7071067811865476; powers--) mantissa *= 2;
  const s = (mantissa - 1) / (mantissa + 1);
  return powers * LN2_HIGH + (powers * LN2_LOW + s * polynomial(s * s, LOGARITHM));
}
