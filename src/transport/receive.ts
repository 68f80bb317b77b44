import { StreamError } from "../errors.ts";
import type { Batch, FailedSlot, Puzzle } from "../model.ts";
import type { Link } from "./link.ts";

/** Bytes of a stream that may be under way or in memory beyond the batches that wait for the consumer. */
const CREDIT = 64 * 2 ** 20;
/** Complete batches that wait for the consumer before no further credit is given. */
const AHEAD = 2;

export interface Range {
  readonly from: number;
  /** May be infinite. */
  readonly steps: number;
  readonly slots: readonly number[] | undefined;
  readonly signal: AbortSignal | undefined;
}

/** The batch of one step. */
export async function* receiveStep(
  link: Link,
  id: number,
  step: number,
  slots: readonly number[] | undefined,
  signal?: AbortSignal,
): AsyncGenerator<Batch, void, undefined> {
  const asked = slots === undefined ? { step } : { step, slots };
  yield* receive(
    link,
    id,
    () => link.send({ kind: "get", id, ...asked }),
    { from: step, steps: 1, slots, signal },
    false,
  );
}

/** The batches of a stream. Breaking off cancels it. */
export async function* receiveSteps(
  link: Link,
  id: number,
  range: Range,
): AsyncGenerator<Batch, void, undefined> {
  const { from: step, steps, slots } = range;
  if (steps <= 0) return;
  const asked = {
    step,
    ...(Number.isFinite(steps) ? { steps } : {}),
    ...(slots === undefined ? {} : { slots }),
  };
  yield* receive(
    link,
    id,
    () => link.send({ kind: "stream", id, credit: CREDIT, ...asked }),
    range,
    true,
  );
}

async function* receive(
  link: Link,
  id: number,
  ask: () => void,
  range: Range,
  stream: boolean,
): AsyncGenerator<Batch, void, undefined> {
  const { slots, signal } = range;
  const ready: Batch[] = [];
  let puzzles: Puzzle[] = [];
  let failed: FailedSlot[] = [];
  let step = range.from;
  let owed = 0;
  let asked = false;
  let finished = false;
  let failure: StreamError | undefined;
  let wake: (() => void) | undefined;

  const grant = (): void => {
    if (!stream || owed === 0 || finished || ready.length >= AHEAD) return;
    link.send({ kind: "credit", id, bytes: owed });
    owed = 0;
  };
  const fail = (error: StreamError): void => {
    failure ??= error;
    wake?.();
  };
  const abort = (): void =>
    fail(new StreamError("ABORTED", "the caller gave up", { cause: signal?.reason }));

  link.attach(id, {
    message(message, bytes) {
      if ((message.kind === "cell" || message.kind === "end") && message.step !== step) {
        return fail(
          new StreamError(
            "PROTOCOL",
            `the server sent step ${message.step} instead of step ${step}`,
          ),
        );
      }
      switch (message.kind) {
        case "cell":
          puzzles.push(...message.puzzles);
          failed.push(...message.failed);
          owed += bytes;
          return grant();
        case "end":
          ready.push({ step, puzzles: inOrder(puzzles, slots), failed });
          puzzles = [];
          failed = [];
          step++;
          finished = !stream;
          return wake?.();
        case "done":
          finished = true;
          return wake?.();
        case "error":
          finished = true;
          return fail(new StreamError(message.code, message.message));
        case "info":
        case "counted":
          return fail(
            new StreamError("PROTOCOL", `${message.kind} is no answer to a request for batches`),
          );
      }
    },
    lost(error) {
      finished = true;
      fail(error);
    },
  });
  signal?.addEventListener("abort", abort);
  if (signal?.aborted === true) abort();
  try {
    if (failure === undefined) {
      asked = true;
      ask();
    }
    for (;;) {
      const batch = ready.shift();
      if (batch !== undefined) {
        grant();
        yield batch;
      } else if (failure !== undefined) throw failure;
      else if (finished) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    signal?.removeEventListener("abort", abort);
    if (asked && !finished) link.send({ kind: "cancel", id });
    link.detach(id);
  }
}

/** Cells come in slot order, whatever order was asked for. */
function inOrder(
  puzzles: readonly Puzzle[],
  slots: readonly number[] | undefined,
): readonly Puzzle[] {
  if (slots === undefined) return puzzles;
  const bySlot = new Map(puzzles.map((puzzle) => [puzzle.slot, puzzle]));
  return slots.flatMap((slot) => bySlot.get(slot) ?? []);
}
