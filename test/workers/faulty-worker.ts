/**
 * The real worker with a fault in one cell. SSL_R1_TEST_FAULT is JSON: `{ kind, step, cell, once? }`; with `once`, a path, only the
 * first thread that comes to the cell fails: it leaves that file behind.
 */
import { openSync } from "node:fs";
import make, { alone } from "../../src/workers/worker.ts";
import type { CellJob, CellResult } from "../../src/workers/messages.ts";

export interface Fault {
  /** exit: the thread ends; throw: an exception that nobody can catch; late: the same while the result is on its way. */
  readonly kind: "exit" | "throw" | "late" | "start";
  readonly step?: number;
  readonly cell?: number;
  readonly once?: string;
}

const fault = JSON.parse(process.env["SSL_R1_TEST_FAULT"] ?? "{}") as Partial<Fault>;

function isTime(): boolean {
  if (fault.once === undefined) return true;
  try {
    openSync(fault.once, "wx");
    return true;
  } catch {
    return false;
  }
}

if (fault.kind === "start" && isTime()) throw new Error("this thread does not start");

export default (job: CellJob): Promise<CellResult> =>
  job.step === fault.step && job.cell === fault.cell && isTime() ? die(job) : make(job);

async function die(job: CellJob): Promise<CellResult> {
  if (fault.kind === "late") {
    const result = await make(job);
    setImmediate(() => process.exit(4));
    return result;
  }
  return alone(job, () => {
    if (fault.kind === "exit") process.exit(3);
    setImmediate(() => {
      throw new Error("thrown on purpose");
    });
    return new Promise(() => {});
  });
}
