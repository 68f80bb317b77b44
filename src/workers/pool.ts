import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { MessagePort } from "node:worker_threads";
import { Piscina } from "piscina";
import { asStreamError, StreamError, type ErrorCode } from "../errors.ts";
import type { Notify } from "../notice.ts";
import { createControl, createMaking, guardExit, quiet } from "./control.ts";
import type {
  CellJob,
  CellResult,
  RowData,
  RowReply,
  RowRequest,
  WorkerReady,
  WorkerSettings,
} from "./messages.ts";
import type { WorkerData } from "./worker.ts";

/** A job without its bytes, and how to get rows: `rows()` anew for each try, `row()` while the cell is being made. */
export interface CellOrder {
  readonly job: Omit<CellJob, "id" | "rows">;
  rows(): Promise<RowData[]>;
  row(slot: number, offset: number): Promise<RowData>;
}

export interface Pool {
  make(order: CellOrder): Promise<CellResult>;
  /** Threads that died and were replaced. */
  readonly deaths: number;
  now(): PoolState;
  close(): Promise<void>;
}

export interface PoolState {
  /** Threads wanted, and those that have started and answer. */
  readonly threads: number;
  readonly ready: number;
  /** Threads that were started for others that had gone. */
  readonly restarts: number;
  /** Cells given to threads and not yet made. */
  readonly cells: number;
  /** Milliseconds since the last sign of life (begun, another row asked for or given) of the cell that has been silent longest, as far as this was asked before; what waits for a row, or for its turn in a thread that answers, does not count. */
  readonly silent: number;
}

export interface PoolOptions {
  readonly threads: number;
  readonly settings: WorkerSettings;
  /** The worker's entry; another one in tests that inject faults. */
  readonly entry?: URL;
  readonly notify?: Notify;
}

/** A worker makes little garbage; with V8's usual room for it, it would take a hundred batches and as many MiB to collect any. */
const YOUNG = { maxYoungGenerationSizeMb: 3 };
/** Tries of a cell whose worker dies under it, and of one that was only in it when it died. */
const TRIES = 2;
const WAITS = 8;
/** Of a thread: the one it makes, and one that waits, or it would lose its core whenever it asks for the next. */
const CELLS = 2;

function closedError(): StreamError {
  return new StreamError("CLOSED", "the stream was closed while a cell was being made");
}

/** Memory that can be handed over; what is shared can't be. */
function owned(rows: readonly RowData[]): ArrayBuffer[] {
  return rows.map(({ bytes }) => bytes.buffer).filter((buffer) => buffer instanceof ArrayBuffer);
}

/** Worker threads that make cells, one cell a thread at a time while another waits. A thread that dies is replaced and its cell made again. */
export function createPool({ threads, settings, entry, notify = () => {} }: PoolOptions): Pool {
  // A slab takes the largest image there can be, raw or as a JPEG that is larger than raw.
  const slabBytes = Math.max(8 << 20, settings.sizes.maxPixels * 4 + 65_536);
  const control = createControl(threads);
  const making = createMaking();
  const workerData: WorkerData = { settings, slabBytes, control, making: making.memory };
  const unguard = guardExit(control);
  const filename = fileURLToPath(
    entry ?? new URL(`./worker${extname(import.meta.url)}`, import.meta.url),
  );
  const pool = new Piscina({
    filename,
    workerData,
    minThreads: threads,
    maxThreads: threads,
    concurrentTasksPerWorker: CELLS,
    resourceLimits: YOUNG,
  });
  const jobs = new Map<
    number,
    {
      readonly order: CellOrder;
      readonly fail: (reason: unknown) => void;
      /** Rows that it waits for, and when it was last seen to move; undefined until it is seen in the making. */
      asking: number;
      sign: number | undefined;
    }
  >();
  const ports = new Set<MessagePort>();
  let nextJob = 0;
  let deaths = 0;
  let started = 0;
  let closed = false;
  let closing: Promise<void> | undefined;
  let lastError: unknown;

  pool.on("message", (message: WorkerReady) => {
    if (message?.type !== "ready") return;
    const { port } = message;
    started++;
    ports.add(port);
    port.on("close", () => ports.delete(port));
    port.on("message", (request: RowRequest) => void answer(port, request));
    port.unref(); // work itself keeps the process up
  });
  // A thread that dies with a job rejects it, and that is dealt with below; this is one that died without, mostly while it was starting.
  pool.on("error", (error: unknown) => void (lastError = error));
  // The pool does not go on replacing threads that can't start, and would leave their jobs waiting for ever.
  pool.on("workerDestroy", () =>
    setImmediate(() => {
      if (pool.threads.length > 0) return;
      for (const { fail } of jobs.values()) fail(lastError ?? new Error("no thread is left"));
    }),
  );

  async function answer(
    port: MessagePort,
    { request, job, slot, offset }: RowRequest,
  ): Promise<void> {
    let reply: RowReply;
    const known = jobs.get(job);
    if (!known) return; // the job is over: its thread died or the pool is closing
    known.asking++;
    try {
      reply = { request, row: await known.order.row(slot, offset) };
    } catch (error) {
      const { code, message } = asStreamError(error);
      reply = { request, error: { code, message } };
    }
    known.asking--;
    known.sign = performance.now();
    port.postMessage(reply, reply.row ? owned([reply.row]) : []);
  }

  async function tryOnce(id: number, order: CellOrder): Promise<CellResult> {
    const rows = await order.rows();
    // A pool that was destroyed would start a thread for it.
    if (closed) throw closedError();
    const lost = Promise.withResolvers<never>();
    jobs.set(id, { order, fail: lost.reject, asking: 0, sign: undefined });
    // A job that waits for a thread to start would not keep the process from ending.
    const alive = setInterval(() => {}, 2 ** 30);
    try {
      const job = { ...order.job, id, rows } satisfies CellJob;
      const made = pool.run(job, { transferList: owned(rows) }) as Promise<CellResult>;
      return await Promise.race([made, lost.promise]);
    } finally {
      clearInterval(alive);
      jobs.delete(id);
    }
  }

  function now(): PoolState {
    const at = performance.now();
    let silent = 0;
    for (const [id, job] of jobs) {
      if (job.asking > 0 || (!making.is(id) && ports.size > 0)) continue;
      job.sign ??= at;
      silent = Math.max(silent, at - job.sign);
    }
    const restarts = Math.max(0, started - threads);
    return { threads, ready: ports.size, restarts, cells: jobs.size, silent };
  }

  async function close(): Promise<void> {
    closed = true;
    await quiet(control, {
      starting: () => pool.threads.length > ports.size,
      working: () => jobs.size > 0,
    });
    unguard();
    for (const port of ports) port.close();
    await pool.destroy();
  }

  return {
    get deaths() {
      return deaths;
    },
    now,
    async make(order) {
      let tries = 0;
      for (let waits = 0; ;) {
        const id = nextJob++;
        let result: CellResult;
        try {
          result = await tryOnce(id, order);
        } catch (error) {
          if (closed) throw closedError();
          if (error instanceof StreamError) throw error; // a row could not be read
          const guilty = making.is(id);
          making.end(id);
          if (!guilty && ++waits < WAITS) continue;
          deaths++;
          const { step, cell } = order.job;
          notify({ kind: "worker-died", step, cell });
          if (++tries < TRIES) continue;
          const keys = [...new Set(order.job.slots.map(({ row }) => row))];
          throw new StreamError(
            "WORKER_DIED",
            `cell ${cell} of step ${step} killed its worker thread ${tries} times (rows ${keys.join(", ")}); the last time: ${asStreamError(error).message}`,
            {
              cause: error,
              context: { step, cell, rows: keys },
            },
          );
        }
        if (result.error)
          throw new StreamError(result.error.code as ErrorCode, result.error.message, {
            cause: result.error.stack,
          });
        return result;
      }
    },
    close: () => (closing ??= close()),
  };
}
