/**
 * How far programs without understanding get with inpainting, ordering and correspondence: what a puzzle is about, seen with a ruler instead of eyes.
 * Rules: the sample shards' photos in turn, a fixed seed, `count` puzzles a row, images as they are shown. Reported, not judged; the attackers that
 * have to be at chance are in the tests of the three tasks.
 *
 *   node bench/attackers-places.ts [count]
 */
import type { Box } from "../src/images/picture.ts";
import { correspondence } from "../src/tasks/correspondence/correspondence.ts";
import type { Point } from "../src/tasks/correspondence/motion.ts";
import { inpainting } from "../src/tasks/inpainting/inpainting.ts";
import { ordering } from "../src/tasks/ordering/ordering.ts";
import { presets, type Preset, type Task } from "../src/tasks/task.ts";
import { ascending, numbersOf, rightPart, smallest } from "../test/tasks/attackers-places.ts";
import { createHarness, samplePhotos, type Outcome, type Photo } from "../test/tasks/harness.ts";

const count = Number(process.argv[2] ?? 300);
const photos = samplePhotos();
const harness = createHarness();

type Solved = Required<Pick<Outcome, "made" | "images">>;

async function* puzzles<Options extends object>(
  task: Task<Options>,
  given: { readonly [key: string]: unknown },
  preset: Preset,
): AsyncGenerator<Solved> {
  const options = task.options(given, preset);
  for (let index = 0, made = 0; made < count && index < 20 * count; index++) {
    const photo = photos[index % photos.length] as Photo;
    const outcome = await harness.make(task, options, photo, { index, seed: 11 });
    if (outcome.made === undefined || outcome.images === undefined) continue;
    made++;
    yield { made: outcome.made, images: outcome.images };
  }
}

/** Right answers by attacker, over all puzzles of a row. */
function tally(): {
  add(attacker: string, exact: boolean, part?: number): void;
  print(row: string, chance: string): void;
} {
  const sums = new Map<string, { puzzles: number; exact: number; part: number }>();
  return {
    add(attacker, exact, part = exact ? 1 : 0) {
      const sum = sums.get(attacker) ?? { puzzles: 0, exact: 0, part: 0 };
      sums.set(attacker, {
        puzzles: sum.puzzles + 1,
        exact: sum.exact + (exact ? 1 : 0),
        part: sum.part + part,
      });
    },
    print(row, chance) {
      for (const [attacker, { puzzles: n, exact, part }] of sums) {
        const [whole, places] = [exact / n, part / n].map((value) => value.toFixed(3));
        console.log(`| ${row} | ${attacker} | ${n} | ${whole} | ${places} | ${chance} |`);
      }
    },
  };
}

function at(photo: Photo, x: number, y: number, channel: number): number {
  return photo.data[(y * photo.width + x) * 3 + channel] as number;
}

function pixelDifference(one: Photo, [x, y]: Point, other: Photo, [otherX, otherY]: Point): number {
  let sum = 0;
  for (let c = 0; c < 3; c++) sum += Math.abs(at(one, x, y, c) - at(other, otherX, otherY, c));
  return sum;
}

type Colour = readonly number[];

/** Mean colour of the pixels that are accepted. */
function colour(
  photo: Photo,
  accepts: (x: number, y: number) => boolean = () => true,
  step: number = 1,
): Colour {
  const sum = [0, 0, 0];
  let pixels = 0;
  for (let y = 0; y < photo.height; y += step) {
    for (let x = 0; x < photo.width; x += step) {
      if (!accepts(x, y)) continue;
      pixels++;
      for (let c = 0; c < 3; c++) sum[c]! += at(photo, x, y, c);
    }
  }
  return sum.map((value) => value / Math.max(1, pixels));
}

const colourDistance = (one: Colour, other: Colour): number =>
  one.reduce((sum, value, c) => sum + Math.abs(value - (other[c] as number)), 0);

/** Mean difference between the candidate's outermost pixels and the nearest visible ones. */
function seam(image: Photo, hidden: Box, place: Box, candidate: Photo): number {
  let sum = 0;
  let pixels = 0;
  const compare = (x: number, y: number, inX: number, inY: number): void => {
    if (x < 0 || y < 0 || x >= image.width || y >= image.height) return;
    sum += pixelDifference(image, [x, y], candidate, [inX, inY]);
    pixels++;
  };
  for (let x = 0; x < candidate.width; x++) {
    compare(place.x + x, hidden.y - 1, x, 0);
    compare(place.x + x, hidden.y + hidden.height, x, candidate.height - 1);
  }
  for (let y = 0; y < candidate.height; y++) {
    compare(hidden.x - 1, place.y + y, 0, y);
    compare(hidden.x + hidden.width, place.y + y, candidate.width - 1, y);
  }
  return sum / Math.max(1, pixels);
}

/** A number for eight neighbouring pixels; two stretches of a photo hardly ever share it by accident. */
function stretch(photo: Photo, x: number, y: number): number {
  let hash = 7;
  const from = (y * photo.width + x) * 3;
  for (let k = 0; k < 24; k++)
    hash = (Math.imul(hash, 1_000_003) ^ (photo.data[from + k] as number)) | 0;
  return hash;
}

/** How many stretches of each candidate are visible in the image: a distractor's are, the truth's are hidden. */
function visible(image: Photo, candidates: readonly Photo[]): readonly number[] {
  const known = new Set<number>();
  for (let y = 0; y < image.height; y++) {
    for (let x = 0; x + 8 <= image.width; x++) known.add(stretch(image, x, y));
  }
  return candidates.map((candidate) => {
    let found = 0;
    for (let y = 3; y < candidate.height; y += 7) {
      for (let x = 0; x + 8 <= candidate.width; x += 8)
        if (known.has(stretch(candidate, x, y))) found++;
    }
    return found;
  });
}

async function attackInpainting(level: string, preset: Preset): Promise<void> {
  const result = tally();
  for (const gap of [0, 7, 14, 28]) {
    for await (const { made, images } of puzzles(inpainting, { level, gap }, preset)) {
      const [image, ...candidates] = images as [Photo, ...Photo[]];
      const truth = "ABCD".indexOf(made.answer);
      const boxes = [made.recipe["hidden"], (made.recipe["places"] as readonly unknown[])[truth]];
      const [hidden, place] = boxes.map((value): Box => {
        const [x, y, width, height] = value as [number, number, number, number];
        return { x, y, width, height };
      }) as [Box, Box];
      const seams = candidates.map((candidate) => seam(image, hidden, place, candidate));
      result.add(`seams, gap ${gap}`, smallest(seams) === truth);
      if (gap > 0) continue;
      const outside = (margin: number) => (x: number, y: number) =>
        (x < hidden.x ||
          y < hidden.y ||
          x >= hidden.x + hidden.width ||
          y >= hidden.y + hidden.height) &&
        x >= hidden.x - margin &&
        y >= hidden.y - margin &&
        x < hidden.x + hidden.width + margin &&
        y < hidden.y + hidden.height + margin;
      const colours = candidates.map((candidate) => colour(candidate, undefined, 2));
      const likest = (seen: Colour): number =>
        smallest(colours.map((own) => colourDistance(own, seen)));
      result.add("colour of the ring", likest(colour(image, outside(16))) === truth);
      result.add("mean colour", likest(colour(image, outside(10_000), 2)) === truth);
      const found = visible(image, candidates);
      result.add("least visible elsewhere", smallest(found) === truth);
    }
  }
  result.print(`inpainting ${level} ${preset}`, "0.250");
}

/** Mean difference of the facing borders, `inset` pixels inside either patch: beside[i][j] for j right of i, below[i][j] for j below i. */
function seams(
  patches: readonly Photo[],
  inset: number,
): { readonly beside: readonly number[][]; readonly below: readonly number[][] } {
  const cost = (one: Photo, other: Photo, across: boolean): number => {
    const length = across ? one.height : one.width;
    let sum = 0;
    for (let k = 0; k < length; k++) {
      const from: Point = across ? [one.width - 1 - inset, k] : [k, one.height - 1 - inset];
      sum += pixelDifference(one, from, other, across ? [inset, k] : [k, inset]);
    }
    return sum / length;
  };
  const table = (across: boolean): number[][] =>
    patches.map((one) =>
      patches.map((other) => (one === other ? Infinity : cost(one, other, across))),
    );
  return { beside: table(true), below: table(false) };
}

/** The order of all with the least sum over its seams (branch and bound): answer[p], 1-based. */
function bestOrder(patches: readonly Photo[], inset: number): readonly number[] {
  const n = patches.length;
  const grid = Math.sqrt(n);
  const { beside, below } = seams(patches, inset);
  let best: readonly number[] = [];
  let least = Infinity;
  const order: number[] = [];
  const extend = (sum: number): void => {
    if (sum >= least) return;
    const place = order.length;
    if (place === n) {
      [best, least] = [[...order], sum];
      return;
    }
    const steps: [number, number][] = [];
    for (let patch = 0; patch < n; patch++) {
      if (order.includes(patch)) continue;
      const left = place % grid === 0 ? 0 : (beside[order[place - 1] as number]![patch] as number);
      const top = place < grid ? 0 : (below[order[place - grid] as number]![patch] as number);
      steps.push([left + top, patch]);
    }
    for (const [step, patch] of steps.toSorted(([one], [other]) => one - other)) {
      order.push(patch);
      extend(sum + step);
      order.pop();
    }
  };
  extend(0);
  return best.map((patch) => patch + 1);
}

async function attackOrdering(level: string, preset: Preset): Promise<void> {
  const result = tally();
  for await (const { made, images } of puzzles(ordering, { level }, preset)) {
    const answer = numbersOf(made.answer);
    const add = (attacker: string, guess: readonly number[]): void => {
      const part = rightPart(guess, answer);
      result.add(attacker, part === 1, part);
    };
    for (const inset of [0, 7, 14, 28]) add(`seams, inset ${inset}`, bestOrder(images, inset));
    const brightness = images.map((patch) =>
      colour(patch, undefined, 2).reduce((sum, value) => sum + value, 0),
    );
    add(
      "brightest first",
      ascending(brightness)
        .toReversed()
        .map((k) => k + 1),
    );
    add(
      "bluest first",
      ascending(
        images.map((patch) => colour(patch, undefined, 2)).map(([r = 0, , b = 0]) => r - b),
      ).map((k) => k + 1),
    );
  }
  const n = Number(level[0]) ** 2;
  result.print(`ordering ${level} ${preset}`, (1 / n).toFixed(3));
}

function* permutations(n: number): Generator<readonly number[]> {
  const order: number[] = [];
  function* extend(): Generator<readonly number[]> {
    if (order.length === n) yield [...order];
    else {
      for (let k = 0; k < n; k++) {
        if (order.includes(k)) continue;
        order.push(k);
        yield* extend();
        order.pop();
      }
    }
  }
  yield* extend();
}

/** 1 - H for the regression on x, y and 1: what of a vector no affine map of the points explains. */
function unexplained(points: readonly Point[]): readonly number[][] {
  // Gram-Schmidt on the three columns.
  const basis: number[][] = [];
  for (const column of [points.map(() => 1), points.map(([x]) => x), points.map(([, y]) => y)]) {
    const rest = [...column];
    for (const one of basis) {
      const along = one.reduce((sum, value, k) => sum + value * (rest[k] as number), 0);
      for (const [k, value] of one.entries()) rest[k]! -= along * value;
    }
    const length = Math.hypot(...rest);
    basis.push(rest.map((value) => value / length));
  }
  return points.map((_, j) =>
    points.map(
      (__, k) => (j === k ? 1 : 0) - basis.reduce((sum, one) => sum + one[j]! * one[k]!, 0),
    ),
  );
}

async function attackCorrespondence(level: string, preset: Preset): Promise<void> {
  const result = tally();
  const n = Number(level);
  const orders = [...permutations(n)];
  for await (const { made, images } of puzzles(correspondence, { level }, preset)) {
    const answer = numbersOf(made.answer);
    const points = made.recipe["points"] as readonly Point[];
    // As numbered in image 2 and rounded to the pixel on which the marker is drawn.
    const mapped = made.recipe["mapped"] as readonly Point[];
    const seen = answer.map((_, k): Point => {
      const [x, y] = mapped[answer.indexOf(k + 1)] as Point;
      return [Math.floor(x) + 0.5, Math.floor(y) + 0.5];
    });
    const add = (attacker: string, guess: readonly number[]): void => {
      const part = rightPart(
        guess.map((k) => k + 1),
        answer,
      );
      result.add(attacker, part === 1, part);
    };
    const best = (cost: (order: readonly number[]) => number): readonly number[] =>
      orders[smallest(orders.map(cost))] as readonly number[];
    add(
      "nearest places",
      best((order) =>
        order.reduce((sum, j, k) => sum + squared(points[k] as Point, seen[j] as Point), 0),
      ),
    );
    const [{ width, height }] = images as [Photo];
    const middle: Point = [width / 2, height / 2];
    const fromMiddle = (list: readonly Point[]): readonly number[] =>
      ascending(list.map((point) => squared(point, middle)));
    const pair = (one: readonly number[], other: readonly number[]): readonly number[] =>
      one.map((_, k) => other[one.indexOf(k)] as number);
    add(
      "from left to right",
      pair(ascending(points.map(([x]) => x)), ascending(seen.map(([x]) => x))),
    );
    add(
      "from top to bottom",
      pair(ascending(points.map(([, y]) => y)), ascending(seen.map(([, y]) => y))),
    );
    add("from the middle outwards", pair(fromMiddle(points), fromMiddle(seen)));
    const rest = unexplained(points);
    add(
      "least squares over all affine maps",
      best((order) => {
        let sum = 0;
        for (const c of [0, 1] as const) {
          for (const [j, row] of rest.entries()) {
            for (const [k, value] of row.entries())
              sum += value * seen[order[j] as number]![c] * seen[order[k] as number]![c];
          }
        }
        return sum;
      }),
    );
    add("best turn about the middle", bestTurn(points, seen, middle, orders));
  }
  result.print(`correspondence ${level} ${preset}`, (1 / n).toFixed(3));
}

function squared([x, y]: Point, [otherX, otherY]: Point): number {
  return (x - otherX) * (x - otherX) + (y - otherY) * (y - otherY);
}

/** Turns of 10 degrees at three scales: the order with the least sum of squared distances over all of them. */
function bestTurn(
  points: readonly Point[],
  seen: readonly Point[],
  [cx, cy]: Point,
  orders: readonly (readonly number[])[],
): readonly number[] {
  let best: readonly number[] = [];
  let least = Infinity;
  for (let degrees = 0; degrees < 360; degrees += 10) {
    for (const scale of [0.8, 0.9, 1]) {
      const [c, s] = [
        Math.cos((degrees * Math.PI) / 180) * scale,
        Math.sin((degrees * Math.PI) / 180) * scale,
      ];
      const turned = points.map(([x, y]): Point => [
        cx + c * (x - cx) - s * (y - cy),
        cy + s * (x - cx) + c * (y - cy),
      ]);
      const costs = turned.map((point) => seen.map((other) => squared(point, other)));
      for (const order of orders) {
        let sum = 0;
        for (let k = 0; k < order.length && sum < least; k++)
          sum += costs[k]![order[k] as number] as number;
        if (sum < least) [best, least] = [order, sum];
      }
    }
  }
  return best;
}

console.log("| puzzle | attacker | puzzles | exact | right part | chance (part) |");
console.log("| --- | --- | --- | --- | --- | --- |");
for (const preset of presets) {
  for (const level of inpainting.levels) await attackInpainting(level, preset);
  for (const level of ordering.levels) await attackOrdering(level, preset);
  for (const level of correspondence.levels) await attackCorrespondence(level, preset);
}
