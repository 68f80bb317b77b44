import type { Beat } from "./beat.ts";
import type { Subject } from "./subject.ts";

/** Milliseconds that the event loop may be late, beat after beat. */
const MOST_LATE = 2_000;
/** Milliseconds that a thread may be silent over one cell: the largest images take a second or two each, and a cell has eight or so. */
const MOST_SILENT = 120_000;

/** Why the process should be ended and started anew; undefined where it is alive. (An event loop that does not turn at all can't say so: that is a probe without an answer.) */
export function whyDead({ stream }: Subject, beat: Beat): string | undefined {
  const late = beat.late();
  if (late > MOST_LATE) return `the event loop is ${seconds(late)} late, again and again`;
  const silent = stream?.now().workers.silent ?? 0;
  if (silent > MOST_SILENT)
    return `a worker thread has been silent over one cell for ${seconds(silent)}`;
  return undefined;
}

/** Why clients should ask other loaders; undefined where this one serves. */
export function whyNotReady({ phase, stream, server }: Subject): string | undefined {
  if (phase === "opening") return "opening: the source is being listed and counted";
  if (phase !== "serving") return phase;
  if (!stream || !server) return "opening: not listening yet";
  const { ready, threads } = stream.now().workers;
  if (ready === 0) return `no worker thread of ${threads} is up`;
  return undefined;
}

const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`;
