/**
 * A thread that is ended while native code runs in it (an addon loading, an image being decoded) takes the whole process with it. So the threads of a pool
 * say when they are busy, and are ended only when none is.
 */
import { setTimeout as sleep } from "node:timers/promises";

/** Three words: whether the pool is closing, how many threads are busy, and how many of the first have not started yet. */
export type Control = Int32Array<SharedArrayBuffer>;

const STOP = 0;
const BUSY = 1;
const STARTING = 2;

/** By job whether a thread is at it: when a thread dies, that job is to blame, and not what waited in it or was made before. */
export interface Making {
  begin(job: number): void;
  end(job: number): void;
  is(job: number): boolean;
  readonly memory: Uint8Array<SharedArrayBuffer>;
}

/** More jobs than there ever are at once; one byte each, used again. */
const JOBS = 1 << 12;

/** In the memory of the other side where that is given. */
export function createMaking(
  memory: Making["memory"] = new Uint8Array(new SharedArrayBuffer(JOBS)),
): Making {
  return {
    begin: (job) => void Atomics.store(memory, job % JOBS, 1),
    end: (job) => void Atomics.store(memory, job % JOBS, 0),
    is: (job) => Atomics.load(memory, job % JOBS) === 1,
    memory,
  };
}

export function createControl(threads: number): Control {
  return new Int32Array(new SharedArrayBuffer(12)).fill(threads, STARTING);
}

/** A thread becomes busy. False when the pool is closing: then it must not. */
export function begin(control: Control): boolean {
  Atomics.add(control, BUSY, 1);
  if (!isStopping(control)) return true;
  end(control);
  return false;
}

export function started(control: Control): void {
  Atomics.sub(control, STARTING, 1);
}

export function end(control: Control): void {
  Atomics.sub(control, BUSY, 1);
  Atomics.notify(control, BUSY);
}

/** Asked by a busy thread now and then, so that nobody waits for it long. */
export function isStopping(control: Control): boolean {
  return Atomics.load(control, STOP) !== 0;
}

/**
 * Main thread: no thread begins any more. Resolves when none is `starting` and none is busy, or after about ten seconds. A thread that ran out of memory
 * can't say that it is busy no more: where nothing is `working`, nothing is waited for.
 */
export async function quiet(
  control: Control,
  { starting, working }: { starting: () => boolean; working: () => boolean },
): Promise<void> {
  Atomics.store(control, STOP, 1);
  for (let looks = 0; looks < 5_000; looks++) {
    if ((Atomics.load(control, BUSY) <= 0 || !working()) && !starting()) return;
    await sleep(2);
  }
}

const live = new Set<Control>();

/** Holds the process's exit until the threads are quiet, two seconds at most: Node ends them wherever they are. */
export function guardExit(control: Control): () => void {
  if (live.size === 0) process.on("exit", quietAll);
  live.add(control);
  return () => {
    live.delete(control);
    if (live.size === 0) process.off("exit", quietAll);
  };
}

function quietAll(): void {
  for (const control of live) Atomics.store(control, STOP, 1);
  for (const control of live) {
    for (let looks = 0; looks < 200; looks++) {
      const busy = Atomics.load(control, BUSY);
      if (busy <= 0 && Atomics.load(control, STARTING) <= 0) break;
      Atomics.wait(control, BUSY, busy, 10);
    }
  }
}
