import { StreamError } from "../errors.ts";

/** The largest sum of the weights of a mix, after division by their greatest common divisor. */
const longestCycle = 1000;

export interface MixEntry {
  /** Unique in its mix, not empty. */
  readonly name: string;
  /** Positive integer; only the ratios count. */
  readonly weight: number;
}

/** The turn in which the entries of one mix come, for ever (docs/determinism.md, "Mix and cycle"). */
export interface Cycle {
  /** Number of places until it repeats: the sum of the divided weights, 1 .. 1,000. */
  readonly length: number;
  /** Which entry holds the place; 0 <= place < length. */
  entry(place: number): number;
  /** How often the entry comes in the `places` places from `start` on; 0 <= start < length, any number of places below 2^53. */
  count(entry: number, start: number, places: number): number;
  /** How many places from `start` on lie before the entry's occurrence with this number (0 is the first). May exceed 2^53: the caller checks. */
  find(entry: number, start: number, occurrence: number): number;
}

export function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}

/** Throws BAD_OPTION. */
export function createCycle(entries: readonly MixEntry[]): Cycle {
  checkNames(entries);
  return weighted(
    "mix",
    entries.map(({ weight }) => weight),
    (entry) => `"${entries[entry]!.name}"`,
  );
}

/** The cycle of items that have weights only; `what` and `name` are for messages. Throws BAD_OPTION. */
export function weighted(
  what: string,
  given: readonly number[],
  name: (item: number) => string,
): Cycle {
  const weights = divided(what, given, name);
  const length = weights.reduce((sum, weight) => sum + weight, 0);
  const places = new Uint16Array(length);
  const credit = new Int32Array(weights.length);
  for (let place = 0; place < length; place++) {
    let best = 0;
    for (const [entry, weight] of weights.entries()) {
      credit[entry]! += weight;
      if (credit[entry]! > credit[best]!) best = entry;
    }
    credit[best]! -= length;
    places[place] = best;
  }
  /** before[entry][place]: how often the entry comes before this place. */
  const before = weights.map((_, entry) => {
    const counts = new Uint16Array(length + 1);
    for (let place = 0; place < length; place++)
      counts[place + 1] = counts[place]! + (places[place] === entry ? 1 : 0);
    return counts;
  });
  return {
    length,
    entry: (place) => places[place]!,
    count(entry, start, count) {
      const rest = count % length;
      const counts = before[entry]!;
      const end = start + rest;
      const part =
        end <= length
          ? counts[end]! - counts[start]!
          : weights[entry]! - counts[start]! + counts[end - length]!;
      return Math.floor(count / length) * weights[entry]! + part;
    },
    find(entry, start, occurrence) {
      let left = occurrence % weights[entry]!;
      let place = 0;
      for (; places[(start + place) % length] !== entry || left > 0; place++) {
        if (places[(start + place) % length] === entry) left -= 1;
      }
      return Math.floor(occurrence / weights[entry]!) * length + place;
    },
  };
}

function checkNames(entries: readonly MixEntry[]): void {
  const names = new Set<string>();
  for (const { name } of entries) {
    if (name === "" || !name.isWellFormed())
      throw new StreamError(
        "BAD_OPTION",
        `mix: a name is ${JSON.stringify(name)}; it must be text that is not empty`,
      );
    if (names.has(name))
      throw new StreamError(
        "BAD_OPTION",
        `mix: two entries are named "${name}"; give them different names`,
      );
    names.add(name);
  }
  if (names.size === 0) throw new StreamError("BAD_OPTION", "mix: there is no entry");
}

function divided(what: string, given: readonly number[], name: (item: number) => string): number[] {
  for (const [item, weight] of given.entries()) {
    if (!(Number.isSafeInteger(weight) && weight > 0)) {
      throw new StreamError(
        "BAD_OPTION",
        `${what}: the weight of ${name(item)} is ${weight}; it must be a positive integer`,
      );
    }
  }
  const common = given.reduce(divisor, 0);
  const weights = given.map((weight) => weight / common);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  if (sum > longestCycle) {
    throw new StreamError(
      "BAD_OPTION",
      `${what}: the weights add up to ${sum} after division by ${common}; at most ${longestCycle}: round them to smaller numbers`,
    );
  }
  return weights;
}

/** How often items come where only every so many-th place of a circle is looked at. */
export interface Strides {
  /** Among `steps` places: start, start + stride, start + 2 stride, ... around the circle. 0 <= start < length, any number of steps below 2^53. */
  count(item: number, start: number, steps: number): number;
}

/** `circle` holds items 0 .. items - 1; it is at most as long as a cycle. */
export function createStrides(
  circle: { readonly length: number; entry(place: number): number },
  items: number,
  stride: number,
): Strides {
  const { length } = circle;
  const ways = divisor(length, stride % length);
  const turn = length / ways;
  /** The way that leads through a place, and how far along it the place lies. */
  const way = new Uint16Array(length);
  const along = new Uint16Array(length);
  const before = Array.from({ length: items }, () => new Uint16Array(ways * (turn + 1)));
  for (let first = 0; first < ways; first++) {
    for (let at = 0, place = first; at < turn; at++, place = (place + stride) % length) {
      way[place] = first;
      along[place] = at;
      const from = first * (turn + 1) + at;
      for (const counts of before) counts[from + 1] = counts[from]!;
      before[circle.entry(place)]![from + 1]! += 1;
    }
  }
  return {
    count(item, start, steps) {
      const counts = before[item]!;
      const from = way[start]! * (turn + 1);
      const full = Math.floor(steps / turn);
      const end = along[start]! + (steps - full * turn);
      const had = counts[from + along[start]!]!;
      const part =
        end <= turn
          ? counts[from + end]! - had
          : counts[from + turn]! - had + counts[from + end - turn]!;
      return full * counts[from + turn]! + part;
    },
  };
}
