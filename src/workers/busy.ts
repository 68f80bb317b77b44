/** The worker's side of its pool's control. Imported before everything else: what the worker imports next loads native code. */
import { workerData } from "node:worker_threads";
import { StreamError } from "../errors.ts";
import { begin, end, isStopping, started, type Control } from "./control.ts";

const { control } = workerData as { readonly control: Control };
let isBusy = false;

/** CLOSED when the pool is closing. Counts the thread once, however often it says so. */
export function busy(): void {
  if (isBusy) return checkOpen();
  if (!begin(control)) throw closing();
  isBusy = true;
}

export function idle(): void {
  if (isBusy) end(control);
  isBusy = false;
}

/** Throws CLOSED when the pool is closing. */
export function checkOpen(): void {
  if (isStopping(control)) throw closing();
}

function closing(): StreamError {
  return new StreamError("CLOSED", "the stream was closed while a cell was being made");
}

process.once("exit", idle);
try {
  busy();
} finally {
  started(control);
}
