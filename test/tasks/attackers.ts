import type { Photo } from "./harness.ts";

/** What an attacker got, on puzzles that it was not trained on, and the most that guessing gets in 99 of 100 runs. */
export interface Verdict {
  readonly accuracy: number;
  readonly bound: number;
  readonly tested: number;
}

/** Two-sided 99 % quantile of the normal distribution. */
const Z = 2.576;

/** The most that a guess of probability `chance` gets in 99 of 100 runs of `count`. */
export function chanceBound(chance: number, count: number): number {
  return chance + Z * Math.sqrt((chance * (1 - chance)) / count);
}

const BINS = 12;

/** Cut points that put equally many of the values into each bin; equal values share a bin. */
function cuts(values: readonly number[]): number[] {
  const sorted = values.toSorted((a, b) => a - b);
  const points = Array.from(
    { length: BINS - 1 },
    (_, i) => sorted[Math.floor(((i + 1) * sorted.length) / BINS)]!,
  );
  return [...new Set(points)];
}

const binOf = (points: readonly number[], value: number): number => {
  let bin = 0;
  while (bin < points.length && value >= points[bin]!) bin++;
  return bin;
};

/** Naive Bayes over binned features: log P(class | features) up to a constant, learnt from examples. */
function learn(
  examples: readonly { readonly features: readonly number[]; readonly label: number }[],
  classes: number,
): (features: readonly number[]) => number[] {
  const width = examples[0]?.features.length ?? 0;
  const points = Array.from({ length: width }, (_, f) =>
    cuts(examples.map((example) => example.features[f]!)),
  );
  const counts = Array.from({ length: width }, () =>
    Array.from({ length: classes }, () => new Float64Array(BINS).fill(1)),
  );
  const totals = new Float64Array(classes).fill(BINS);
  for (const { features, label } of examples) {
    totals[label]!++;
    for (let f = 0; f < width; f++) counts[f]![label]![binOf(points[f]!, features[f]!)]!++;
  }
  return (features) =>
    Array.from({ length: classes }, (_, label) => {
      let sum = Math.log(totals[label]!);
      for (let f = 0; f < width; f++)
        sum += Math.log(counts[f]![label]![binOf(points[f]!, features[f]!)]! / totals[label]!);
      return sum;
    });
}

const indexOfMost = (values: readonly number[]): number =>
  values.reduce((best, value, i) => (value > values[best]! ? i : best), 0);

/** Learns the answer (0 .. classes - 1) from features of the puzzle on the even puzzles and is tested on the odd ones. */
export function attackClass(
  puzzles: readonly { readonly features: readonly number[]; readonly label: number }[],
  classes: number,
): Verdict {
  const classify = learn(
    puzzles.filter((_, i) => i % 2 === 0),
    classes,
  );
  const tests = puzzles.filter((_, i) => i % 2 === 1);
  const hits = tests.filter(
    ({ features, label }) => indexOfMost(classify(features)) === label,
  ).length;
  return {
    accuracy: hits / tests.length,
    bound: chanceBound(1 / classes, tests.length),
    tested: tests.length,
  };
}

/**
 * For multiple choice: each candidate has features of its own. The attacker may pick the largest, the smallest, the most ordinary or the most
 * isolated of any one feature, or the one that looks most like a right one by all of them together; whichever did best on the even puzzles is
 * tested on the odd ones.
 */
export function attackChoice(
  puzzles: readonly {
    readonly candidates: readonly (readonly number[])[];
    readonly truth: number;
  }[],
): Verdict {
  type Choice = (candidates: readonly (readonly number[])[]) => number;
  const training = puzzles.filter((_, i) => i % 2 === 0);
  const tests = puzzles.filter((_, i) => i % 2 === 1);
  const width = puzzles[0]?.candidates[0]?.length ?? 0;
  const choices: Choice[] = [];
  for (let f = 0; f < width; f++) {
    const spread = (values: readonly number[]): number[] =>
      values.map((value) => values.reduce((sum, other) => sum + Math.abs(value - other), 0));
    choices.push(
      (candidates) => indexOfMost(candidates.map((one) => one[f]!)),
      (candidates) => indexOfMost(candidates.map((one) => -one[f]!)),
      (candidates) => indexOfMost(spread(candidates.map((one) => one[f]!))),
      (candidates) => indexOfMost(spread(candidates.map((one) => one[f]!)).map((value) => -value)),
    );
  }
  const odds = learn(
    training.flatMap(({ candidates, truth }) =>
      candidates.map((features, i) => ({ features, label: i === truth ? 1 : 0 })),
    ),
    2,
  );
  choices.push((candidates) =>
    indexOfMost(
      candidates.map((features) => {
        const [wrong = 0, right = 0] = odds(features);
        return right - wrong;
      }),
    ),
  );
  const score = (choice: Choice, on: typeof puzzles): number =>
    on.filter(({ candidates, truth }) => choice(candidates) === truth).length / on.length;
  const best = choices[indexOfMost(choices.map((choice) => score(choice, training)))]!;
  const options = puzzles[0]?.candidates.length ?? 1;
  return {
    accuracy: score(best, tests),
    bound: chanceBound(1 / options, tests.length),
    tested: tests.length,
  };
}

/** How often the commonest answer is given: what always answering it would get. */
export function attackFrequency(labels: readonly number[], classes: number): Verdict {
  const counts = Array.from(
    { length: classes },
    (_, label) => labels.filter((one) => one === label).length,
  );
  // The commonest of several is above the mean even by chance: Bonferroni's correction is close to 3 sigma for 4 to 8 answers.
  const chance = 1 / classes;
  return {
    accuracy: Math.max(...counts) / labels.length,
    bound: chance + 3.3 * Math.sqrt((chance * (1 - chance)) / labels.length),
    tested: labels.length,
  };
}

/** Mean of each channel. */
export function meanColour({ data }: Photo): [number, number, number] {
  const sums: [number, number, number] = [0, 0, 0];
  for (let i = 0; i + 2 < data.length; i += 3) {
    sums[0] += data[i]!;
    sums[1] += data[i + 1]!;
    sums[2] += data[i + 2]!;
  }
  const count = data.length / 3;
  return [sums[0] / count, sums[1] / count, sums[2] / count];
}

/** Standard deviation of the green channel. */
export function deviation({ data }: Photo): number {
  let sum = 0;
  let squares = 0;
  for (let i = 1; i < data.length; i += 3) {
    sum += data[i]!;
    squares += data[i]! * data[i]!;
  }
  const count = data.length / 3;
  return Math.sqrt(Math.max(0, squares / count - (sum / count) ** 2));
}

/** log2 of the mean squared Laplacian of the green channel. */
export function sharpness({ width, height, data }: Photo): number {
  let sum = 0;
  for (let y = 1; y < height - 1; y++) {
    for (let x = 1; x < width - 1; x++) {
      const at = (y * width + x) * 3 + 1;
      const value =
        4 * data[at]! -
        data[at - 3]! -
        data[at + 3]! -
        data[at - width * 3]! -
        data[at + width * 3]!;
      sum += value * value;
    }
  }
  return Math.log2(1 + sum / ((width - 2) * (height - 2)));
}

/** log2 of how much stronger the steps across columns (rows) are at the strongest of the 8 phases than on average: 0 without JPEG blocks. */
export function blockiness({ width, height, data }: Photo, direction: "columns" | "rows"): number {
  const phases = new Float64Array(8);
  const counts = new Float64Array(8);
  const back = direction === "columns" ? 3 : width * 3;
  // Every step once, so that a quarter turn changes nothing but the order.
  for (let y = direction === "rows" ? 1 : 0; y < height; y++) {
    for (let x = direction === "columns" ? 1 : 0; x < width; x++) {
      const at = (y * width + x) * 3 + 1;
      const phase = (direction === "columns" ? x : y) % 8;
      phases[phase]! += Math.abs(data[at]! - data[at - back]!);
      counts[phase]!++;
    }
  }
  const means = phases.map((sum, phase) => sum / Math.max(1, counts[phase]!));
  const mean = means.reduce((sum, value) => sum + value, 0) / 8;
  return Math.log2((1 + Math.max(...means)) / (1 + mean));
}
