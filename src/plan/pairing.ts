import { StreamError } from "../errors.ts";
import { createStrides, divisor, weighted, type Cycle } from "./cycle.ts";

/** Which source each slot of one mix has, beside its entry. Steps count from the mix's first. */
export interface Pairing {
  /** The source of place j of a partition. */
  source(step: number, partition: number, place: number): number;
  /** How many slots the partition had for the entry and the source before the step; closed form, the same cost for every step. */
  before(step: number, partition: number, entry: number, source: number): number;
  /** From the mix's first step on, every so many steps hold each pair of entry and source in exact proportion, in every partition; 1,000,000 at most. */
  readonly period: number;
}

export interface PairingOptions {
  readonly batch: number;
  readonly partitions: number;
  readonly shared: boolean;
  /** Entries of the cycle. */
  readonly entries: number;
  /** Of the sources; two or more. */
  readonly weights: readonly number[];
}

/** Throws BAD_OPTION. */
export function createPairing(cycle: Cycle, options: PairingOptions): Pairing {
  const { batch, partitions, weights } = options;
  const sources = weighted("sources", weights, (source) => `source ${source}`);
  if (!options.shared) return bySlot(cycle, sources, options);
  if ((batch / partitions) % cycle.length === 0) return byWholeTurn(cycle, sources, options);
  const equal = sources.length === weights.length;
  if (weights.length > 2 && !equal)
    throw new StreamError("BAD_OPTION", brokenTurns(cycle.length, options));
  return byTurn(cycle, sources, options);
}

function brokenTurns(turn: number, { batch, partitions }: PairingOptions): string {
  const all = partitions * turn;
  const batches = [Math.floor(batch / all) * all, Math.ceil(batch / all) * all];
  const fewer = Array.from({ length: partitions }, (_, less) => partitions - less).find(
    (some) => batch % (some * turn) === 0,
  );
  const way =
    fewer === undefined
      ? `batch to ${batches.filter((size) => size > 0).join(" or ")} (with partitions ${partitions})`
      : `partitions to ${fewer}`;
  return `order: got "shared" with three or more sources of unequal weights; batch / partitions, ${batch} / ${partitions}, must then be a multiple of ${turn}, the sum of the mix's weights: set ${way}, the mix's weights to some whose sum divides ${batch / partitions}, or order to "independent"`;
}

/**
 * Independent order: as many whole turns of the sources' cycle as fit the batch, which starts one place later whenever the batches have been through the
 * entries' cycle; what is left is spread evenly over a circle on which each source has one arc, because a stretch of the cycle may be off by more than one
 * where three weights differ.
 */
function bySlot(
  cycle: Cycle,
  sources: Cycle,
  { batch, partitions, entries, weights }: PairingOptions,
): Pairing {
  const perPartition = batch / partitions;
  const { length } = sources;
  const left = batch % length;
  const whole = batch - left;
  const arcs = arcsOf(sources, weights.length);
  const stride = strideOf(length);
  const spread = createStrides(arcs, weights.length, stride);
  const places = createStrides(cycle, entries, perPartition % cycle.length);
  /** Steps after which the entries' cycle meets the batch in the same place. */
  const turn = cycle.length / divisor(cycle.length, perPartition);

  const arcPlace = (slot: number): number => Math.floor(((slot - whole) * length) / left);

  function sourceAt(slot: number, turns: number): number {
    if (slot < whole) return sources.entry((slot + (turns % length)) % length);
    return arcs.entry((arcPlace(slot) + (turns % length) * stride) % length);
  }

  /** How often the slot has the source while the batches go through the entries' cycle `turns` times, looked at once a turn. */
  function counted(source: number, slot: number, turns: number): number {
    if (slot < whole) return sources.count(source, slot % length, turns);
    return spread.count(source, arcPlace(slot), turns);
  }

  return {
    period: turn * length,
    source: (step, partition, place) =>
      sourceAt(partition * perPartition + place, Math.floor(step / turn)),
    before(step, partition, entry, source) {
      const turns = Math.floor(step / turn);
      const rest = step - turns * turn;
      let sum = 0;
      for (let slot = partition * perPartition, end = slot + perPartition; slot < end; slot++) {
        const place = slot % cycle.length;
        const each = places.count(entry, place, turn);
        if (each === 0) continue;
        sum += each * counted(source, slot, turns);
        if (rest > 0 && sourceAt(slot, turns) === source) sum += places.count(entry, place, rest);
      }
      return sum;
    },
  };
}

/**
 * Shared order: a partition's whole turn of the entries' cycle has one source, because with equal weights all entries ask for one image in it. Where batches
 * hold whole turns, turns are to them what slots are in independent order.
 */
function byWholeTurn(cycle: Cycle, sources: Cycle, options: PairingOptions): Pairing {
  const { length } = cycle;
  const one = weighted("turns", [1], String);
  const turns = bySlot(one, sources, { ...options, batch: options.batch / length, entries: 1 });
  return {
    period: turns.period,
    source: (step, partition, place) => turns.source(step, partition, Math.floor(place / length)),
    before: (step, partition, entry, source) =>
      cycle.count(entry, 0, length) * turns.before(step, partition, 0, source),
  };
}

/**
 * Shared order where a turn may begin in one batch and end in the next, for sources whose cycle is within one of their share on every stretch: the
 * partitions' turns with one number take consecutive places of it, and change them among themselves, or a partition would
 * meet only some sources where their number and that of the partitions have a common divisor.
 */
function byTurn(
  cycle: Cycle,
  sources: Cycle,
  { batch, partitions, weights }: PairingOptions,
): Pairing {
  const perPartition = batch / partitions;
  const { length } = sources;
  const lanes = divisor(length, partitions);
  const round = length / lanes;
  const places = createStrides(sources, weights.length, partitions % length);

  function placeOf(turn: number, partition: number): number {
    return (turn * partitions + ((partition + Math.floor(turn / round)) % partitions)) % length;
  }

  /** The partition's turns before this one that have the source. */
  function turnsBefore(turn: number, partition: number, source: number): number {
    const rounds = Math.floor(turn / round);
    const full = Math.floor(rounds / lanes);
    let sum = full * sources.count(source, 0, length);
    for (let lane = partition; lane < partition + (rounds - full * lanes); lane++)
      sum += places.count(source, lane % lanes, round);
    const start = ((partition + rounds) % partitions) % length;
    return sum + places.count(source, start, turn - rounds * round);
  }

  return {
    period: (length * cycle.length) / divisor(length * cycle.length, perPartition),
    source: (step, partition, place) =>
      sources.entry(placeOf(Math.floor((step * perPartition + place) / cycle.length), partition)),
    before(step, partition, entry, source) {
      const number = step * perPartition;
      const turn = Math.floor(number / cycle.length);
      const whole = cycle.count(entry, 0, cycle.length) * turnsBefore(turn, partition, source);
      if (sources.entry(placeOf(turn, partition)) !== source) return whole;
      const start = (partition * perPartition) % cycle.length;
      return whole + cycle.count(entry, start, number - turn * cycle.length);
    },
  };
}

/** A circle as long as the cycle, on which every source stands as often, but in one piece. */
function arcsOf(sources: Cycle, count: number): { length: number; entry(place: number): number } {
  const arcs = Array.from({ length: count }, (_, source) =>
    Array.from({ length: sources.count(source, 0, sources.length) }, () => source),
  ).flat();
  return { length: arcs.length, entry: (place) => arcs[place]! };
}

/** Near the golden section of the circle, so that a slot meets the sources in turn instead of one for long; without a common divisor, so that it meets all places. */
function strideOf(length: number): number {
  let stride = Math.floor((89 * length) / 144);
  while (divisor(length, stride) !== 1) stride += 1;
  return stride;
}
