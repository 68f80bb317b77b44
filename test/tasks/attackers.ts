import { cutPhoto, samplePhotos, type Photo } from "./harness.ts";

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

/** The whole square, or its inscribed disc, which every turn shows alike. */
export type Region = "all" | "disc";

/** The columns of row y within the region, `margin` pixels away from the border. */
function span(
  { width, height }: Photo,
  region: Region,
  y: number,
  margin: number,
): readonly [from: number, to: number] {
  if (region === "all")
    return y < margin || y >= height - margin ? [0, 0] : [margin, width - margin];
  const radius = Math.min(width, height) / 2 - 2;
  const reach = radius * radius - (y + 0.5 - height / 2) ** 2;
  if (reach <= 0) return [0, 0];
  const half = Math.sqrt(reach);
  return [Math.ceil(width / 2 - half - 0.5), Math.floor(width / 2 + half - 0.5) + 1];
}

/**
 * log2 of the mean squared Laplacian of the green channel, with nine points: the one with five answers more to slanted edges than to upright ones
 * and so would measure what a photo shows rather than how sharp it is.
 */
export function sharpness(photo: Photo, region: Region = "all"): number {
  const { width, height, data } = photo;
  const row = width * 3;
  let sum = 0;
  let count = 0;
  for (let y = 0; y < height; y++) {
    const [from, to] = span(photo, region, y, 1);
    for (let at = (y * width + from) * 3 + 1; at < (y * width + to) * 3; at += 3) {
      const sides = data[at - 3]! + data[at + 3]! + data[at - row]! + data[at + row]!;
      const corners =
        data[at - row - 3]! + data[at - row + 3]! + data[at + row - 3]! + data[at + row + 3]!;
      const value = (20 * data[at]! - 4 * sides - corners) / 6;
      sum += value * value;
    }
    count += to - from;
  }
  return Math.log2(1 + sum / count);
}

/**
 * log2 of how much stronger the steps between neighbours, across columns and across rows, are at the strongest phase of a period of pixels than on
 * average. JPEG's blocks have period 8; a warp of 3 source pixels to 2 makes it 16 / 3.
 */
export function blockiness(photo: Photo, region: Region, periods: readonly number[]): number {
  const { width, height, data } = photo;
  const row = width * 3;
  const columns = new Float64Array(width);
  const columnCounts = new Float64Array(width);
  const rows = new Float64Array(height);
  const rowCounts = new Float64Array(height);
  for (let y = 0; y < height; y++) {
    const [from, to] = span(photo, region, y, 0);
    for (let x = from; x < to; x++) {
      const at = (y * width + x) * 3 + 1;
      if (x > 0) {
        columns[x]! += Math.abs(data[at]! - data[at - 3]!);
        columnCounts[x]!++;
      }
      if (y > 0) {
        rows[y]! += Math.abs(data[at]! - data[at - row]!);
        rowCounts[y]!++;
      }
    }
  }
  const fold = (sums: Float64Array, counts: Float64Array, period: number): number => {
    const phases = new Float64Array(16);
    const phaseCounts = new Float64Array(16);
    for (let i = 0; i < sums.length; i++) {
      const phase = Math.floor(((i % period) / period) * 16);
      phases[phase]! += sums[i]!;
      phaseCounts[phase]! += counts[i]!;
    }
    const used = phases
      .map((sum, phase) => sum / phaseCounts[phase]!)
      .filter((_, phase) => phaseCounts[phase]! > 0);
    return Math.log2(
      (1 + Math.max(...used)) / (1 + used.reduce((sum, value) => sum + value, 0) / used.length),
    );
  };
  return periods.reduce(
    (sum, period) => sum + fold(columns, columnCounts, period) + fold(rows, rowCounts, period),
    0,
  );
}

/** One line of the table: who attacks, and how well. */
export interface Attack {
  readonly by: string;
  readonly verdict: Verdict;
}

/** What one task at one level gives away. */
export interface Report {
  /** Must be at chance. */
  readonly leaks: readonly Attack[];
  /** What the puzzle is about: reported, not asserted. */
  readonly content: readonly Attack[];
}

/** A task at one level and preset under attack. */
export interface Siege {
  readonly name: string;
  /** Makes `count` puzzles; with "leaks" content may be left out where it takes puzzles of its own. */
  run(count: number, part?: "leaks" | "all"): Promise<Report>;
}

/** Small cuts of the sample photos, one a photograph, with their own pixels and JPEG blocks: cheap to make thousands of puzzles from. */
export function smallPhotos(): readonly Photo[] {
  const photos = samplePhotos().filter(
    (photo, i, all) => all.findIndex((other) => other.group === photo.group) === i,
  );
  return photos.map((photo, i) => {
    const [width, height] = [170 + ((i * 17) % 60), 170 + ((i * 29) % 40)];
    return cutPhoto(photo, (photo.width - width) >> 1, (photo.height - height) >> 1, width, height);
  });
}
