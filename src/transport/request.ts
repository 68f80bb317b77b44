import { setImmediate } from "node:timers/promises";
import type { Cell, CellMaker, ImageFormat, StepRequest, StreamInfo } from "../model.ts";
import { asStreamError, StreamError } from "../errors.ts";
import type { Account } from "./budget.ts";
import { cellFrames } from "./cells.ts";
import { createCredit, type Credit } from "./credit.ts";
import { packMessage, type ClientMessage, type PlainMessage } from "./messages.ts";
import type { Outlet } from "./outlet.ts";
import type { Activity, Outcome, Tally } from "./tally.ts";
import { logged, tell } from "./told.ts";

/** One get or stream of one client, from the maker's cells to frames in the socket. */
export interface Running {
  /** Undefined for a get. */
  readonly credit: Credit | undefined;
  /** The client wants no more of it. */
  cancel(): void;
  /** The server is about to go: a stream ends with the step that it is in, without a last word. Anything else goes on to its end. */
  drain(): void;
  /** The work has stopped and every cell has been released. Never rejects. */
  readonly finished: Promise<void>;
}

export interface RequestContext {
  readonly maker: CellMaker;
  readonly outlet: Outlet;
  /** Where its cells are counted. */
  readonly account: Account;
  readonly format: ImageFormat;
  /** Whether its cells come with a checksum. */
  readonly checksum: boolean;
  readonly tally: Tally;
  readonly activity: Activity;
  /** A failure that is nobody's but ours. */
  onError(error: StreamError): void;
  /** A request that was answered with an error, whoever is to blame. */
  onFailure(kind: "get" | "stream" | "counts", error: StreamError): void;
}

type Asked = Extract<ClientMessage, { kind: "get" | "stream" }>;

export function startRequest(asked: Asked, context: RequestContext, onDone: () => void): Running {
  const { maker, outlet, account, format, checksum: sealed, tally, activity } = context;
  const abort = new AbortController();
  const credit = asked.kind === "stream" ? createCredit(asked.credit) : undefined;
  const writes = new Set<Promise<void>>();
  const idle = activity.begin();
  let cancelled = false;
  let draining = false;
  let drained = false;
  /** Whether something of a step has been sent, or is about to be, and not yet its end. */
  let begun = false;

  /** Both settle with false when the request was cancelled meanwhile. */
  const room = async (): Promise<boolean> => {
    await activity.wait("socket", outlet.room());
    // A maker that is always ahead and a kernel that takes everything would never let a cancel in.
    await setImmediate();
    return !abort.signal.aborted;
  };
  const ready = async (): Promise<boolean> => {
    if (credit) await activity.wait("credit", credit.available());
    return await room();
  };

  const sendCell = async (cell: Cell): Promise<boolean> => {
    const written: Promise<void>[] = [];
    try {
      for (const [i, frame] of cellFrames(asked.id, cell, { sealed }).entries()) {
        if (i > 0 && !(await ready())) return false;
        credit?.take(frame.bytes);
        written.push(outlet.write([frame.head, ...frame.images]));
      }
      tally.cell(cell.puzzles.length, cell.failed.length);
      return true;
    } finally {
      const released = Promise.all(written).then(() => {
        writes.delete(released);
        cell.release();
        account.leave();
      });
      writes.add(released);
    }
  };

  /** The next cell, for which there is room; without one the room is given back. */
  const pull = async (cells: AsyncIterator<Cell>): Promise<Cell | undefined> => {
    let cell: Cell | undefined;
    try {
      const next = await activity.wait("cells", cells.next());
      if (next.done !== true) cell = next.value;
      return cell;
    } finally {
      if (cell === undefined) account.leave();
    }
  };

  const send = async (): Promise<void> => {
    const { first, steps, endless } = range(asked, maker.info());
    let step = first;
    const endBefore = async (next: number): Promise<void> => {
      for (; step < next && (await room()); step++) {
        void outlet.write([packMessage({ kind: "end", id: asked.id, step })]);
        tally.batch();
      }
    };
    const unfinished = (): boolean => step < first + steps;
    const made = maker.cells(requests(first, steps, asked.slots), { format, signal: abort.signal });
    const cells = made[Symbol.asyncIterator]();
    try {
      // What ends a stream needs no credit, so nothing is asked of it behind its last step.
      while (unfinished() && (await ready())) {
        if (!(await activity.wait("socket", account.enter(abort.signal)))) break;
        const cell = await pull(cells);
        if (cell === undefined) break;
        if (abort.signal.aborted) {
          cell.release();
          account.leave();
          break;
        }
        begun = true;
        await endBefore(cell.step);
        if (!(await sendCell(cell))) break;
        if (!cell.last) continue;
        if (asked.kind === "get") return;
        await endBefore(cell.step + 1);
        begun = false;
        if (draining && unfinished()) {
          drained = true;
          return;
        }
      }
    } finally {
      await cells.return?.();
    }
    if (asked.kind === "get" || abort.signal.aborted || !unfinished()) return;
    if (endless) {
      throw new StreamError("INTERNAL", `an endless stream whose cells ended at step ${step}`);
    }
    // The last step of a finite stream may hold none of the slots that were asked for: it ends all the same.
    await endBefore(first + steps);
  };

  const run = async (): Promise<void> => {
    let error: StreamError | undefined;
    try {
      await send();
    } catch (thrown) {
      error = tell(thrown, (bug) => {
        if (!abort.signal.aborted) context.onError(bug);
      });
    }
    const outcome: Outcome = cancelled ? "cancelled" : drained ? "drained" : (error?.code ?? "ok");
    tally.request(asked.kind, outcome);
    if (error && outcome === error.code) context.onFailure(asked.kind, logged(error));
    // The id is free before the client can know it.
    onDone();
    idle();
    if (outcome !== "drained")
      void outlet.write([packMessage(lastWord(asked, error, abort.signal.aborted))]);
    if (asked.kind === "get" && outcome === "ok") tally.batch();
    await Promise.all(writes);
  };

  return {
    credit,
    cancel() {
      cancelled = true;
      abort.abort();
      credit?.close();
    },
    drain() {
      draining = true;
      if (credit === undefined || begun) return;
      drained = true;
      abort.abort();
      credit.close();
    },
    finished: run().catch((thrown: unknown) => {
      context.onError(asStreamError(thrown));
    }),
  };
}

function lastWord(asked: Asked, error: StreamError | undefined, cancelled: boolean): PlainMessage {
  const { id, kind, step } = asked;
  if (cancelled) return { kind: "done", id };
  if (error !== undefined) {
    return { kind: "error", id, code: error.code, message: error.message };
  }
  return kind === "get" ? { kind: "end", id, step } : { kind: "done", id };
}

function* requests(
  first: number,
  steps: number,
  slots: readonly number[] | undefined,
): Generator<StepRequest> {
  for (let step = first; step < first + steps; step++)
    yield slots === undefined ? { step } : { step, slots };
}

interface Range {
  readonly first: number;
  /** Infinite where neither stream nor request have an end. */
  readonly steps: number;
  readonly endless: boolean;
}

/** Throws STEP_OUT_OF_RANGE or BAD_SLOTS. */
function range(asked: Asked, info: StreamInfo): Range {
  const { slots } = asked;
  const beyond = Math.min(info.steps ?? Infinity, Math.floor(Number.MAX_SAFE_INTEGER / info.batch));
  // A stream may start where the stream ends, so that resuming after the last batch yields nothing instead of failing.
  if (asked.step > beyond || (asked.kind === "get" && asked.step === beyond)) {
    throw new StreamError("STEP_OUT_OF_RANGE", `step ${asked.step} of a stream of ${beyond} steps`);
  }
  if (slots !== undefined) {
    const wrong = slots.find((slot) => slot >= info.batch);
    if (wrong !== undefined)
      throw new StreamError("BAD_SLOTS", `slot ${wrong} of a batch of ${info.batch}`);
    if (new Set(slots).size < slots.length)
      throw new StreamError("BAD_SLOTS", "a slot is asked for twice");
    if (slots.length === 0) throw new StreamError("BAD_SLOTS", "no slot is asked for");
  }
  const endless = info.steps === null;
  if (asked.kind === "get") return { first: asked.step, steps: 1, endless };
  const bounded = !endless || asked.steps !== undefined;
  const steps = bounded ? Math.min(asked.steps ?? Infinity, beyond - asked.step) : Infinity;
  return { first: asked.step, steps, endless };
}
