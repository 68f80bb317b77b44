import { StreamError } from "../errors.ts";
import { createCycle, type Cycle, type MixEntry } from "./cycle.ts";

/** The mix that holds from a step on. */
export interface MixChange {
  readonly step: number;
  readonly entries: readonly MixEntry[];
}

export interface Turn {
  /** Ordinal in `names`. */
  readonly entry: number;
  /** How many slots of this entry the partition has had before. */
  readonly position: number;
}

/** Which entry holds a slot and how often it came before: closed form over the log of mixes. */
export interface Mix {
  /** Every entry that ever holds a slot: those of the first mix, then new ones in the order of the log. An append never renumbers. */
  readonly names: readonly string[];
  /** Place j of a partition in a step. */
  turn(step: number, partition: number, place: number): Turn;
  /** The last step in which the entry has a position below `positions` in this partition, or undefined where it never has. */
  lastStep(partition: number, entry: number, positions: number): number | undefined;
}

interface Segment {
  readonly step: number;
  readonly cycle: Cycle;
  /** Entry of the cycle -> ordinal, and back. */
  readonly ordinals: readonly number[];
  readonly locals: ReadonlyMap<number, number>;
  /** Slots had before this segment: [partition * names + ordinal]. */
  readonly base: Float64Array;
}

/** `perPartition`: slots of one partition in one step. Throws BAD_OPTION. */
export function createMix(
  first: readonly MixEntry[],
  log: readonly MixChange[],
  batch: number,
  partitions: number,
): Mix {
  const perPartition = batch / partitions;
  const changes: readonly MixChange[] = [{ step: 0, entries: first }, ...log];
  const names = [...new Set(changes.flatMap(({ entries }) => entries.map(({ name }) => name)))];
  const numbers = new Map(names.map((name, ordinal) => [name, ordinal]));
  const segments: Segment[] = [];
  for (const { step, entries } of changes) {
    const last = segments.at(-1);
    checkStep(step, last?.step, batch);
    const ordinals = entries.map(({ name }) => numbers.get(name)!);
    const locals = new Map(ordinals.map((ordinal, local) => [ordinal, local]));
    const base =
      last === undefined ? new Float64Array(partitions * names.length) : last.base.slice();
    if (last !== undefined) {
      for (let partition = 0; partition < partitions; partition++) {
        for (const [local, ordinal] of last.ordinals.entries()) {
          base[partition * names.length + ordinal]! += last.cycle.count(
            local,
            phase(last, partition),
            (step - last.step) * perPartition,
          );
        }
      }
    }
    segments.push({ step, cycle: createCycle(entries), ordinals, locals, base });
  }

  function phase(segment: Segment, partition: number): number {
    return (partition * perPartition) % segment.cycle.length;
  }

  function segmentAt(step: number): Segment {
    let low = 0;
    let high = segments.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (segments[middle]!.step <= step) low = middle;
      else high = middle - 1;
    }
    return segments[low]!;
  }

  return {
    names,
    turn(step, partition, place) {
      const segment = segmentAt(step);
      const { cycle, base } = segment;
      const before = (step - segment.step) * perPartition + place;
      const start = phase(segment, partition);
      const local = cycle.entry(((before % cycle.length) + start) % cycle.length);
      const entry = segment.ordinals[local]!;
      return {
        entry,
        position: base[partition * names.length + entry]! + cycle.count(local, start, before),
      };
    },
    lastStep(partition, entry, positions) {
      const at = partition * names.length + entry;
      for (let index = segments.length - 1; index >= 0; index--) {
        const segment = segments[index]!;
        const local = segment.locals.get(entry);
        if (local === undefined || segment.base[at]! >= positions) continue;
        const end = Math.min(positions, segments[index + 1]?.base[at] ?? positions);
        if (end === segment.base[at]!) continue;
        const places = segment.cycle.find(
          local,
          phase(segment, partition),
          end - 1 - segment.base[at]!,
        );
        return segment.step + Math.floor(places / perPartition);
      }
      return undefined;
    },
  };
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
