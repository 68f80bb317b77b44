import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { MessagePort } from "node:worker_threads";
import { Piscina } from "piscina";
import { asStreamError, StreamError, type ErrorCode } from "../errors.ts";
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
  close(): Promise<void>;
}

export interface PoolOptions {
  readonly threads: number;
  readonly settings: WorkerSettings;
  /** The worker's entry; another one in tests that inject faults. */
  readonly entry?: URL;
}

/** Tries of a cell whose worker dies under it. */
const TRIES = 2;

/** Worker threads that make cells, one cell a thread at a time. A thread that dies is replaced and its cell made again. */
export function createPool({ threads, settings, entry }: PoolOptions): Pool {
  // A slab takes the largest image there can be, raw or as a JPEG that is larger than raw.
  const slabBytes = Math.max(8 << 20, settings.sizes.maxPixels * 4 + 65_536);
  const workerData: WorkerData = { settings, slabBytes };
  const filename = fileURLToPath(
    entry ?? new URL(`./worker${extname(import.meta.url)}`, import.meta.url),
  );
  const pool = new Piscina({
    filename,
    workerData,
    minThreads: threads,
    maxThreads: threads,
    concurrentTasksPerWorker: 1,
  });
  const orders = new Map<number, CellOrder>();
  const ports = new Set<MessagePort>();
  let nextJob = 0;
  let deaths = 0;
  let closed = false;

  pool.on("message", (message: WorkerReady) => {
    if (message?.type !== "ready") return;
    const { port } = message;
    ports.add(port);
    port.on("close", () => ports.delete(port));
    port.on("message", (request: RowRequest) => void answer(port, request));
    port.unref(); // the pool's own port keeps the process up while there is work
  });
  // A death also rejects the job of the thread, where it is dealt with; without a listener it would be thrown.
  pool.on("error", () => {});

  async function answer(
    port: MessagePort,
    { request, job, slot, offset }: RowRequest,
  ): Promise<void> {
    let reply: RowReply;
    try {
      const order = orders.get(job);
      if (!order) return; // the job is over: its thread died or the pool is closing
      reply = { request, row: await order.row(slot, offset) };
    } catch (error) {
      const { code, message } = asStreamError(error);
      reply = { request, error: { code, message } };
    }
    port.postMessage(reply, reply.row ? [reply.row.bytes.buffer] : []);
  }

  async function tryOnce(order: CellOrder): Promise<CellResult> {
    const id = nextJob++;
    orders.set(id, order);
    try {
      const rows = await order.rows();
      const transferList = rows.map((row) => row.bytes.buffer);
      return (await pool.run({ ...order.job, id, rows } satisfies CellJob, {
        transferList,
      })) as CellResult;
    } finally {
      orders.delete(id);
    }
  }

  return {
    get deaths() {
      return deaths;
    },
    async make(order) {
      for (let tries = 1; ; tries++) {
        let result: CellResult;
        try {
          result = await tryOnce(order);
        } catch (error) {
          if (closed)
            throw new StreamError("CLOSED", "the stream was closed while a cell was being made");
          if (error instanceof StreamError) throw error; // a row could not be read
          deaths++;
          if (tries < TRIES) continue;
          const { step, cell } = order.job;
          const keys = [...new Set(order.job.slots.map(({ row }) => row))];
          throw new StreamError(
            "WORKER_DIED",
            `cell ${cell} of step ${step} killed its worker thread ${tries} times (rows ${keys.join(", ")})`,
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
    async close() {
      closed = true;
      for (const port of ports) port.close();
      await pool.destroy();
    },
  };
}
