import { StreamError } from "../errors.ts";
import type { Batch, FailedSlot, Puzzle } from "../model.ts";
import type { Clock } from "../net/clock.ts";
import type { Ask, AskEnd, Lane } from "./lane.ts";

/** What the batch of one step needs of all loaders together. */
export interface Gatherers {
  readonly clock: Clock;
  /** Puzzles in a batch, and partitions of it. */
  readonly batch: number;
  readonly partitions: number;
  /** Milliseconds after which an unanswered request is asked from another loader, too. */
  readonly hedge: number | undefined;
  /** Milliseconds to wait for a loader when none is left. */
  readonly patience: number;
  /** All of the list, in use or not. */
  lanes(): readonly Lane[];
  /** The loader in use of each partition, without some; undefined when nobody is left. */
  owners(without: (lane: Lane) => boolean): readonly Lane[] | undefined;
  /** Has all loaders tried, again and again until it is taken back. The callback is told of each round that is over, and when a loader came. */
  rescue(callback: (round: boolean) => void): () => void;
  /** Something came. */
  progress(): void;
  tell(event: "moved" | "hedged", lane: Lane, step: number, slots: number, why: Why): void;
}

export interface Why {
  readonly from: string;
  readonly reason: string;
}

interface Part {
  readonly lane: Lane;
  readonly slots: readonly number[];
  ask?: Ask;
  /** Ends the wait for the hedge. */
  readonly over: AbortController;
}

/** Refused by one loader, it would be refused by all. */
const everywhere: ReadonlySet<string> = new Set(["STEP_OUT_OF_RANGE", "BAD_SLOTS"]);
/** Why a loader is left for as long as nobody changes something there. */
const forGood: ReadonlySet<string> = new Set(["OTHER_STREAM", "UNAUTHORIZED"]);

/**
 * Puts the batch of a step together from all loaders: what one does not answer is asked from another. Throws what every loader refuses with, CONNECTION_LOST
 * when there was none for too long, or what `fail` of `onStart` was called with.
 */
export async function gather(
  from: Gatherers,
  step: number,
  asked: readonly number[] | undefined,
  onStart: (fail: (error: StreamError) => void) => void,
): Promise<Batch> {
  const { batch, partitions, hedge, clock } = from;
  check(step, asked, batch);
  const perPartition = batch / partitions;
  const slots = asked ?? Array.from({ length: batch }, (_, slot) => slot);
  const missing = new Set(slots);
  const puzzles = new Map<number, Puzzle>();
  const failed = new Map<number, FailedSlot>();
  const parts = new Set<Part>();
  const refused = new Map<Lane, StreamError>();
  /** Slots that nobody has been asked for, and why where somebody had. */
  let loose: readonly number[] = slots;
  let why: Why | undefined;
  let hedged = false;
  let deadline: number | undefined;
  let roundOver = false;
  let rescued: (() => void) | undefined;
  let failure: StreamError | undefined;
  let wake = (): void => {};

  const fail = (error: StreamError): void => {
    failure ??= error;
    wake();
  };

  const came = <T extends { readonly slot: number }>(items: readonly T[], into: Map<number, T>) => {
    for (const item of items) if (missing.delete(item.slot)) into.set(item.slot, item);
  };

  const ended = (part: Part, how: AskEnd): void => {
    parts.delete(part);
    part.over.abort();
    if (how.kind === "complete") {
      for (const slot of part.slots) missing.delete(slot);
      if (hedged)
        for (const other of parts) if (!other.slots.some((slot) => missing.has(slot))) drop(other);
    } else {
      const { lane } = part;
      if (how.kind === "refused") refused.set(lane, how.error);
      if (everywhere.has(how.error.code)) fail(how.error);
      why = { from: lane.address, reason: reasonOf(how.error) };
      const others = new Set([...parts].flatMap((other) => other.slots));
      const open = part.slots.filter((slot) => missing.has(slot) && !others.has(slot));
      loose = [...loose, ...open];
    }
    wake();
  };

  const drop = (part: Part): void => {
    parts.delete(part);
    part.over.abort();
    part.ask?.cancel();
  };

  const ask = (owners: readonly Lane[], wanted: readonly number[], event: "moved" | "hedged") => {
    const groups = Map.groupBy(wanted, (slot) => owners[Math.floor(slot / perPartition)]!);
    for (const [lane, own] of groups) {
      if (why !== undefined) from.tell(event, lane, step, own.length, why);
      const part: Part = { lane, slots: own, over: new AbortController() };
      parts.add(part);
      part.ask = lane.get(step, own, {
        cell(given, without) {
          came(given, puzzles);
          came(without, failed);
          deadline = undefined;
          from.progress();
          if (missing.size === 0) wake();
        },
        ended: (how) => ended(part, how),
      });
      if (hedge !== undefined && event === "moved") void hedgeLater(part, hedge);
    }
  };

  const hedgeLater = async (part: Part, after: number): Promise<void> => {
    try {
      await clock.sleep(after, part.over.signal);
    } catch {
      return;
    }
    const open = part.slots.filter((slot) => missing.has(slot));
    const owners = from.owners((lane) => lane === part.lane || refused.has(lane));
    if (open.length === 0 || owners === undefined || !parts.has(part)) return;
    hedged = true;
    const before = why;
    why = { from: part.lane.address, reason: `unanswered for ${after / 1000} s` };
    ask(owners, open, "hedged");
    why = before;
  };

  /** Nobody is left to ask. */
  const wait = (): void => {
    const lanes = from.lanes();
    deadline ??= clock.now() + from.patience;
    // Without patience a loss is told at once.
    const late = (roundOver || why !== undefined) && clock.now() >= deadline;
    if (lanes.every((lane) => refused.has(lane)) || (late && refused.size > 0))
      throw [...refused.values()].at(-1)!;
    const others = lanes.filter((lane) => !refused.has(lane));
    const lost = roundOver ? hopeless(others) : undefined;
    if (lost !== undefined || late) throw lost ?? unreachable(lanes);
    roundOver = false;
    rescued ??= from.rescue((round) => {
      roundOver ||= round;
      wake();
    });
  };

  onStart(fail);
  try {
    for (;;) {
      if (failure !== undefined) throw failure;
      if (missing.size === 0) break;
      if (loose.length > 0) {
        const owners = from.owners((lane) => refused.has(lane));
        if (owners === undefined) wait();
        else {
          rescued?.();
          rescued = undefined;
          const wanted = loose;
          loose = [];
          ask(owners, wanted, "moved");
          continue;
        }
      }
      await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    rescued?.();
    for (const part of parts) drop(part);
  }
  const inOrder = asked ?? slots;
  return {
    step,
    puzzles: inOrder.flatMap((slot) => puzzles.get(slot) ?? []),
    failed: inOrder.flatMap((slot) => failed.get(slot) ?? []),
  };
}

export function reasonOf({ code, message }: StreamError): string {
  return `${code}: ${message}`;
}

/** What the first of these loaders refuses, where time helps with none of them. */
export function hopeless(lanes: readonly Lane[]): StreamError | undefined {
  if (!lanes.every(({ reason }) => forGood.has(reason?.code ?? ""))) return undefined;
  return lanes[0]?.reason;
}

/** Of loaders none of which is in use. */
export function unreachable(lanes: readonly Lane[]): StreamError {
  const each = lanes.map(({ address, reason }) => reason?.message ?? `${address}: not tried`);
  return new StreamError("CONNECTION_LOST", each.join("; "));
}

/** Throws STEP_OUT_OF_RANGE or BAD_SLOTS. */
function check(step: number, slots: readonly number[] | undefined, batch: number): void {
  if (!Number.isSafeInteger(step) || step < 0)
    throw new StreamError("STEP_OUT_OF_RANGE", `${step} is no step`);
  const bad = (why: string): StreamError => new StreamError("BAD_SLOTS", why);
  if (slots === undefined) return;
  const wrong = slots.find((slot) => !Number.isSafeInteger(slot) || slot < 0 || slot >= batch);
  if (wrong !== undefined) throw bad(`slot ${wrong} of a batch of ${batch}`);
  if (new Set(slots).size < slots.length) throw bad("a slot is asked for twice");
  if (slots.length === 0) throw bad("no slot is asked for");
}
