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

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}

/** Throws BAD_OPTION. */
export function createCycle(entries: readonly MixEntry[]): Cycle {
  const weights = dividedWeights(entries);
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

function dividedWeights(entries: readonly MixEntry[]): number[] {
  const names = new Set<string>();
  for (const { name, weight } of entries) {
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
    if (!(Number.isSafeInteger(weight) && weight > 0)) {
      throw new StreamError(
        "BAD_OPTION",
        `mix: the weight of "${name}" is ${weight}; it must be a positive integer`,
      );
    }
  }
  if (names.size === 0) throw new StreamError("BAD_OPTION", "mix: there is no entry");
  const common = entries.reduce((sofar, { weight }) => divisor(sofar, weight), 0);
  const weights = entries.map(({ weight }) => weight / common);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  if (sum > longestCycle) {
    throw new StreamError(
      "BAD_OPTION",
      `mix: the weights add up to ${sum} after division by ${common}; at most ${longestCycle}: round them to smaller numbers`,
    );
  }
  return weights;
}
