/** Entry of a worker thread: owns the memory, makes one cell at a time, while the next waits. Piscina calls the default export. */
import { busy, checkOpen, idle } from "./busy.ts";
import { MessageChannel, parentPort, workerData } from "node:worker_threads";
import { asStreamError, StreamError, type ErrorCode } from "../errors.ts";
import { createArena, createMemory } from "../images/arena.ts";
import { createDraw } from "../images/draw.ts";
import { makeCell } from "./cell.ts";
import {
  IMAGES_AT,
  SCRATCH_AT,
  SLABS_AT,
  type CellJob,
  type CellResult,
  type RowData,
  type RowReply,
  type RowRequest,
  type WorkerReady,
  type WorkerSettings,
} from "./messages.ts";
import { createMaking, type Control, type Making } from "./control.ts";
import { createSlabs } from "./slabs.ts";

export interface WorkerData {
  readonly settings: WorkerSettings;
  readonly slabBytes: number;
  readonly control: Control;
  /** Of Making. */
  readonly making: Making["memory"];
}

const given = workerData as WorkerData;
const memory = createMemory();
const images = createArena(memory, IMAGES_AT, SCRATCH_AT);
const scratch = createArena(memory, SCRATCH_AT, SLABS_AT);
const slabs = createSlabs(memory, given.slabBytes);
const draw = createDraw(scratch);

const { port1: port, port2 } = new MessageChannel();
const waiting = new Map<number, (reply: RowReply) => void>();
let requests = 0;
port.on("message", (reply: RowReply) => {
  waiting.get(reply.request)?.(reply);
  waiting.delete(reply.request);
});
port.unref();
parentPort!.postMessage({ type: "ready", port: port2 } satisfies WorkerReady, [port2]);
idle();

async function ask(job: number, slot: number, offset: number): Promise<RowData> {
  idle(); // the main thread may have ended its part: it must not wait for this one to go on
  const row = await requested(job, slot, offset);
  busy();
  return row;
}

function requested(job: number, slot: number, offset: number): Promise<RowData> {
  const request = requests++;
  port.postMessage({ request, job, slot, offset } satisfies RowRequest);
  return new Promise((resolve, reject) => {
    waiting.set(request, ({ row, error }) => {
      if (row) resolve(row);
      else
        reject(
          new StreamError((error?.code ?? "INTERNAL") as ErrorCode, error?.message ?? "no row"),
        );
    });
  });
}

const making = createMaking(given.making);
let present: Promise<CellResult> | undefined;

/** A cell that comes while another waits for its rows or a decoder waits in turn: both would use the same memory. */
export async function alone(
  job: CellJob,
  work: (job: CellJob) => Promise<CellResult>,
): Promise<CellResult> {
  for (let before = present; before; before = present) {
    await before;
    await new Promise(setImmediate); // the other's result goes out first
  }
  making.begin(job.id);
  present = work(job);
  try {
    return await present;
  } finally {
    present = undefined;
    making.end(job.id);
  }
}

/** Errors are told in the result: a rejection always means that the thread died. */
export default (job: CellJob): Promise<CellResult> => alone(job, make);

async function make(job: CellJob): Promise<CellResult> {
  try {
    busy();
    const workshop = {
      checkOpen,
      images,
      scratch,
      draw,
      slabs,
      ask: (slot: number, offset: number) => ask(job.id, slot, offset),
    };
    const made = await makeCell(given.settings, job, workshop);
    return { ...made, memory: memory.buffer };
  } catch (error) {
    const { code, message, stack } = asStreamError(error);
    const nothing = {
      puzzles: [],
      failed: [],
      skips: [],
      rejects: {},
      milliseconds: {},
      slabs: [],
    };
    return {
      ...nothing,
      memory: memory.buffer,
      error: { code, message, ...(stack === undefined ? {} : { stack }) },
    };
  } finally {
    idle();
  }
}
