/**
 * Programs that try to solve the puzzles without understanding the photo. Leak attackers see what a puzzle must not give away and have to stay at
 * chance; content attackers (bench/attackers-places.ts) see what it is about and are only reported.
 */
import { encodeJpeg, jpegBound } from "../../src/images/jpeg.ts";
import type { Box } from "../../src/images/picture.ts";
import { overlap } from "../../src/tasks/inpainting/places.ts";
import type { Point } from "../../src/tasks/correspondence/motion.ts";
import { blockiness, meanColour, sharpness } from "./attackers.ts";
import type { Photo } from "./harness.ts";

/** Index of the largest value; the first of several. */
export function largest(values: readonly number[]): number {
  return values.indexOf(Math.max(...values));
}

export function smallest(values: readonly number[]): number {
  return values.indexOf(Math.min(...values));
}

/** 0-based indices in ascending order of their values. */
export function ascending(values: readonly number[]): readonly number[] {
  return values
    .map((_, k) => k)
    .toSorted((one, other) => (values[one] as number) - (values[other] as number));
}

function grays(image: Photo): number {
  let count = 0;
  for (let at = 0; at < image.data.length; at += 3) {
    if (image.data[at] === 128 && image.data[at + 1] === 128 && image.data[at + 2] === 128) count++;
  }
  return count;
}

function jpegBytes({ width, height, data }: Photo): number {
  return encodeJpeg(data, { at: 0, width, height }, new Uint8Array(jpegBound(width, height)));
}

/** A value for each candidate; the attacker picks the largest or the smallest. */
export type Feature = (candidates: readonly Photo[], boxes: readonly Box[]) => readonly number[];

const centre = (box: Box): Point => [box.x + box.width / 2, box.y + box.height / 2];
const distance = ([x, y]: Point, [otherX, otherY]: Point): number =>
  Math.hypot(x - otherX, y - otherY);
const ofImage =
  (value: (image: Photo) => number): Feature =>
  (candidates) =>
    candidates.map(value);
const ofBox =
  (value: (box: Box, boxes: readonly Box[]) => number): Feature =>
  (_, boxes) =>
    boxes.map((box) => value(box, boxes));
const overlaps = (box: Box, boxes: readonly Box[]): number[] =>
  boxes.filter((other) => other !== box).map((other) => overlap(box, other));

/** Everything about four candidates and their places that can be known without the mask. */
export const candidateFeatures: { readonly [name: string]: Feature } = {
  pixels: ofImage((image) => image.width * image.height),
  "jpeg bytes": ofImage(jpegBytes),
  sharpness: ofImage((image) => sharpness(image)),
  blockiness: ofImage((image) => blockiness(image, "all", [8])),
  fill: ofImage(grays),
  brightness: ofImage((image) => meanColour(image)[1]),
  redness: ofImage((image) => meanColour(image)[0] - meanColour(image)[2]),
  left: ofBox((box) => box.x),
  top: ofBox((box) => box.y),
  "overlap in all": ofBox((box, boxes) =>
    overlaps(box, boxes).reduce((sum, value) => sum + value, 0),
  ),
  "largest overlap": ofBox((box, boxes) => Math.max(...overlaps(box, boxes))),
  "smallest overlap": ofBox((box, boxes) => Math.min(...overlaps(box, boxes))),
  "distance to the others": ofBox((box, boxes) =>
    boxes.reduce((sum, other) => sum + distance(centre(box), centre(other)), 0),
  ),
  "distance to their middle": ofBox((box, boxes) => {
    const centres = boxes.map(centre);
    const middle: Point = [
      centres.reduce((sum, [x]) => sum + x / 4, 0),
      centres.reduce((sum, [, y]) => sum + y / 4, 0),
    ];
    return distance(centre(box), middle);
  }),
};

/** Those that need the size of the image as well. */
export function imageFeatures(width: number, height: number): { readonly [name: string]: Feature } {
  return {
    "distance to the image's middle": ofBox((box) =>
      distance(centre(box), [width / 2, height / 2]),
    ),
    "borders touched": ofBox(
      (box) =>
        [
          box.x === 0,
          box.y === 0,
          box.x + box.width === width,
          box.y + box.height === height,
        ].filter(Boolean).length,
    ),
  };
}

/**
 * Standard normal quantile for a two-sided 99 % bound that all of `attackers` keep together (Bonferroni): if every one is at chance, the test that
 * uses it passes for 99 of 100 seeds.
 */
export function bound(attackers: number): number {
  const tail = 0.005 / attackers;
  // The tail's probability by Simpson's rule, inverted by bisection: no table to trust.
  const probability = (z: number): number => {
    const steps = 400;
    const width = 8 / steps;
    let sum = 0;
    for (let k = 0; k <= steps; k++) {
      const x = z + k * width;
      sum += (k === 0 || k === steps ? 1 : k % 2 === 1 ? 4 : 2) * Math.exp((-x * x) / 2);
    }
    return (sum * width) / 3 / Math.sqrt(2 * Math.PI);
  };
  let [low, high] = [0, 8];
  for (let k = 0; k < 60; k++) {
    const z = (low + high) / 2;
    if (probability(z) > tail) low = z;
    else high = z;
  }
  return high;
}

/** The answer's numbers, "2, 3, 1" -> [2, 3, 1]. */
export function numbersOf(answer: string): readonly number[] {
  return answer.split(", ").map(Number);
}

/** Part of the places where a guess is right, 0 .. 1. */
export function rightPart(guess: readonly number[], answer: readonly number[]): number {
  return guess.filter((value, k) => value === answer[k]).length / answer.length;
}

/**
 * Chi-square statistic of how often each number stands at each place of uniform permutations of n: (n - 1)^2 degrees of freedom, for which the factor
 * corrects (a row and a column of a permutation hold each number once, so the counts vary more than independent ones).
 */
export function permutationStatistic(answers: readonly (readonly number[])[]): {
  readonly statistic: number;
  readonly freedom: number;
} {
  const n = answers[0]?.length ?? 0;
  const expected = answers.length / n;
  const counts = new Float64Array(n * n);
  for (const answer of answers)
    for (const [k, value] of answer.entries()) counts[k * n + value - 1]! += 1;
  const sum = counts.reduce(
    (total, count) => total + ((count - expected) * (count - expected)) / expected,
    0,
  );
  return { statistic: (sum * (n - 1)) / n, freedom: (n - 1) * (n - 1) };
}

/** The 99 % quantile of chi-square (Wilson and Hilferty, 1931; within 1 % from 4 degrees on). */
export function chiSquareBound(freedom: number): number {
  const z = 2.326_347_9;
  const term = 1 - 2 / (9 * freedom) + z * Math.sqrt(2 / (9 * freedom));
  return freedom * term * term * term;
}

/** Guesses at a sequence that look at one view only, or at none: what each place is called cannot be known from them. */
export function blindGuesses(
  points: readonly Point[],
  numbered: readonly Point[],
): { readonly [name: string]: readonly number[] } {
  const n = points.length;
  const identity = points.map((_, k) => k + 1);
  const ranks = (values: readonly number[]): readonly number[] => {
    const order = ascending(values);
    return values.map((_, k) => order.indexOf(k) + 1);
  };
  const called = (order: readonly number[]): readonly number[] => order.map((k) => k + 1);
  return {
    identity,
    reversed: identity.toReversed(),
    "one on": identity.map((k) => (k % n) + 1),
    "image 1 from the left": ranks(points.map(([x]) => x)),
    "image 1 from the top": ranks(points.map(([, y]) => y)),
    "image 2 from the left": called(ascending(numbered.map(([x]) => x))),
    "image 2 from the top": called(ascending(numbered.map(([, y]) => y))),
  };
}
