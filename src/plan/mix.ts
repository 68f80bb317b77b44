import { StreamError } from "../errors.ts";
import { createCycle, type Cycle, type MixEntry } from "./cycle.ts";
import { createPairing, type Pairing } from "./pairing.ts";
import { createRecent } from "./recent.ts";

/** The mix that holds from a step on. */
export interface MixChange {
  readonly step: number;
  readonly entries: readonly MixEntry[];
}

export interface Turn {
  /** Ordinal in `names`. */
  readonly entry: number;
  /** Ordinal in the plan's sources. */
  readonly source: number;
  /** How many slots of this entry and source the partition has had before. */
  readonly position: number;
}

/** Which entry and source hold a slot and how often they came before: closed form over the log of mixes. */
export interface Mix {
  /** Every entry that ever holds a slot: those of the first mix, then new ones in the order of the log. An append never renumbers. */
  readonly names: readonly string[];
  /** Place j of a partition in a step. */
  turn(step: number, partition: number, place: number): Turn;
  /** How many slots of the entry and source the partition has had before the step. */
  before(step: number, partition: number, entry: number, source?: number): number;
  /** Whether the entry stands in the mix of the step; "later" where it only comes by a change that the log holds already. */
  stands(step: number, entry: number): "now" | "later" | "never";
  /** The last step in which the entry has a position below `positions` of the source in this partition, or undefined where it never has. */
  lastStep(
    partition: number,
    entry: number,
    positions: number,
    source?: number,
  ): number | undefined;
}

export interface MixOptions {
  readonly batch: number;
  readonly partitions: number;
  /** Of the sources, one where left out. */
  readonly weights?: readonly number[];
  readonly shared?: boolean;
}

interface Segment {
  readonly step: number;
  readonly cycle: Cycle;
  /** Undefined where there is one source. */
  readonly pairing: Pairing | undefined;
  /** Entry of the cycle -> ordinal, and back. */
  readonly ordinals: readonly number[];
  readonly locals: ReadonlyMap<number, number>;
  /** Slots had before this segment: [(partition * names + ordinal) * sources + source]; -1 until asked for. */
  readonly base: Float64Array;
}

/** Turns of one partition in one step. */
interface Row {
  readonly entries: Uint32Array;
  readonly sources: Uint16Array;
  readonly positions: Float64Array;
}

/** Numbers kept for rows of several sources. */
const keptTurns = 1_000_000;

/** Throws BAD_OPTION. */
export function createMix(
  first: readonly MixEntry[],
  log: readonly MixChange[],
  { batch, partitions, weights = [1], shared = false }: MixOptions,
): Mix {
  const perPartition = batch / partitions;
  const sources = weights.length;
  const changes: readonly MixChange[] = [{ step: 0, entries: first }, ...log];
  const names = [...new Set(changes.flatMap(({ entries }) => entries.map(({ name }) => name)))];
  const numbers = new Map(names.map((name, ordinal) => [name, ordinal]));
  const segments: Segment[] = [];
  const rows = createRecent<Row>(keptTurns, (row) => row.positions.length);
  for (const { step, entries } of changes) {
    checkStep(step, segments.at(-1)?.step, batch);
    const ordinals = entries.map(({ name }) => numbers.get(name)!);
    const locals = new Map(ordinals.map((ordinal, local) => [ordinal, local]));
    const base = new Float64Array(partitions * names.length * sources);
    if (segments.length > 0) base.fill(-1);
    const cycle = createCycle(entries);
    const pairing =
      sources === 1
        ? undefined
        : createPairing(cycle, { batch, partitions, shared, entries: entries.length, weights });
    segments.push({ step, cycle, pairing, ordinals, locals, base });
  }

  function phase(segment: Segment, partition: number): number {
    return (partition * perPartition) % segment.cycle.length;
  }

  function segmentAt(step: number): number {
    let low = 0;
    let high = segments.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (segments[middle]!.step <= step) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Slots of the segment alone before its `steps`-th step. */
  function within(
    segment: Segment,
    steps: number,
    partition: number,
    entry: number,
    source: number,
  ): number {
    const local = segment.locals.get(entry);
    if (local === undefined) return 0;
    if (segment.pairing) return segment.pairing.before(steps, partition, local, source);
    return segment.cycle.count(local, phase(segment, partition), steps * perPartition);
  }

  function baseOf(index: number, partition: number, entry: number, source: number): number {
    const at = (partition * names.length + entry) * sources + source;
    let known = index;
    while (segments[known]!.base[at]! < 0) known -= 1;
    for (; known < index; known++) {
      const segment = segments[known]!;
      const next = segments[known + 1]!;
      next.base[at] =
        segment.base[at]! + within(segment, next.step - segment.step, partition, entry, source);
    }
    return segments[index]!.base[at]!;
  }

  function before(step: number, partition: number, entry: number, source: number): number {
    const index = segmentAt(step);
    const segment = segments[index]!;
    const steps = step - segment.step;
    return (
      baseOf(index, partition, entry, source) + within(segment, steps, partition, entry, source)
    );
  }

  function rowOf(segment: Segment, pairing: Pairing, step: number, partition: number): Row {
    return rows.get(`${step}/${partition}`, () => {
      const entries = new Uint32Array(perPartition);
      const from = new Uint16Array(perPartition);
      const positions = new Float64Array(perPartition);
      const had = new Map<number, number>();
      const { cycle, ordinals } = segment;
      const steps = step - segment.step;
      const start = ((steps * perPartition) % cycle.length) + phase(segment, partition);
      for (let place = 0; place < perPartition; place++) {
        const entry = ordinals[cycle.entry((start + place) % cycle.length)]!;
        const source = pairing.source(steps, partition, place);
        const pair = entry * sources + source;
        const position = had.get(pair) ?? before(step, partition, entry, source);
        had.set(pair, position + 1);
        entries[place] = entry;
        from[place] = source;
        positions[place] = position;
      }
      return { entries, sources: from, positions };
    });
  }

  return {
    names,
    turn(step, partition, place) {
      const index = segmentAt(step);
      const segment = segments[index]!;
      const { cycle, pairing } = segment;
      if (pairing) {
        const row = rowOf(segment, pairing, step, partition);
        return {
          entry: row.entries[place]!,
          source: row.sources[place]!,
          position: row.positions[place]!,
        };
      }
      const number = (step - segment.step) * perPartition + place;
      const start = phase(segment, partition);
      const local = cycle.entry(((number % cycle.length) + start) % cycle.length);
      const entry = segment.ordinals[local]!;
      const position = baseOf(index, partition, entry, 0) + cycle.count(local, start, number);
      return { entry, source: 0, position };
    },
    before: (step, partition, entry, source = 0) => before(step, partition, entry, source),
    stands(step, entry) {
      const index = segmentAt(step);
      if (segments[index]!.locals.has(entry)) return "now";
      return segments.some(({ locals }, at) => at > index && locals.has(entry)) ? "later" : "never";
    },
    lastStep(partition, entry, positions, source = 0) {
      for (let index = segments.length - 1; index >= 0; index--) {
        const segment = segments[index]!;
        const local = segment.locals.get(entry);
        const base = baseOf(index, partition, entry, source);
        if (local === undefined || base >= positions) continue;
        const had =
          index + 1 < segments.length ? baseOf(index + 1, partition, entry, source) : Infinity;
        const end = Math.min(positions, had);
        if (end === base) continue;
        return segment.step + stepOf(segment, partition, local, source, end - 1 - base);
      }
      return undefined;
    },
  };

  /** The step of the segment in which the pair's occurrence with this number is. */
  function stepOf(
    segment: Segment,
    partition: number,
    local: number,
    source: number,
    occurrence: number,
  ): number {
    const { cycle, pairing } = segment;
    if (!pairing)
      return Math.floor(cycle.find(local, phase(segment, partition), occurrence) / perPartition);
    const each = pairing.before(pairing.period, partition, local, source);
    let low = Math.floor(occurrence / each) * pairing.period;
    let high = low + pairing.period - 1;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (pairing.before(middle + 1, partition, local, source) > occurrence) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function checkStep(step: number, previous: number | undefined, batch: number): void {
  if (previous === undefined) return;
  if (!(Number.isSafeInteger(step) && step > previous)) {
    throw new StreamError(
      "BAD_OPTION",
      `mix log: a change at step ${step} follows one at step ${previous}; steps must be integers and increase`,
    );
  }
  if (!Number.isSafeInteger(step * batch)) {
    throw new StreamError(
      "BAD_OPTION",
      `mix log: step ${step} times ${batch} slots is beyond 2^53`,
    );
  }
}
