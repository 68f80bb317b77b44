import type { NetworkCounts } from "../statistics.ts";

/** Tells on standard error how something long is going: one line that changes on a terminal, a plain line now and then elsewhere. */
export interface Progress {
  /** `text` is what to show; computed only when it is shown. */
  update(text: () => string): void;
  /** Ends the line. */
  end(): void;
}

export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Milliseconds: what takes no longer is not told of. */
const FIRST = 1_000;
const OFTEN = 200;
const SELDOM = 15_000;

export function createProgress(
  out: Output = process.stderr,
  clock: () => number = () => performance.now(),
): Progress {
  const terminal = out.isTTY === true;
  let next = clock() + (terminal ? FIRST : SELDOM);
  let shown = false;
  return {
    update(text) {
      if (clock() < next) return;
      next = clock() + (terminal ? OFTEN : SELDOM);
      shown = true;
      const line = text();
      out.write(terminal ? `\r\u001b[K${line.slice(0, (out.columns || 80) - 1)}` : `${line}\n`);
    },
    end() {
      if (shown && terminal) out.write("\r\u001b[K");
      shown = false;
    },
  };
}

/** Progress that shows itself until it is ended: `text` is asked for whenever it is time. */
export function showProgress(text: () => string, out?: Output): { end(): void } {
  const progress = createProgress(out);
  const timer = setInterval(() => progress.update(text), OFTEN);
  timer.unref();
  return {
    end() {
      clearInterval(timer);
      progress.end();
    },
  };
}

/** Milliseconds over which a rate is taken, at least. */
const RECENT = 5_000;

/** `34.5 MB fetched, 12.1 MB/s, 2 retries (host: 503)`, with a rate over the last seconds; empty where no server was asked. */
export function createTraffic(
  clock: () => number = () => performance.now(),
): (network: NetworkCounts | undefined) => string {
  const seen: { readonly at: number; readonly bytes: number }[] = [];
  return (network) => {
    if (!network) return "";
    const now = { at: clock(), bytes: network.bytes };
    seen.push(now);
    while (seen.length > 2 && now.at - seen[1]!.at >= RECENT) seen.shift();
    const { at, bytes } = seen[0]!;
    const rate = now.at > at ? ((now.bytes - bytes) / (now.at - at)) * 1000 : 0;
    const { retries, reason } = network;
    const why = reason === undefined ? "" : ` (${reason})`;
    return listed([
      `${readable(now.bytes)} fetched`,
      `${readable(Math.round(rate))}/s`,
      retries > 0 && `${retries} ${retries === 1 ? "retry" : "retries"}${why}`,
    ]);
  };
}

/** `3 skipped (2 damaged, 1 too small)`, the most frequent reasons first; empty where none was. */
export function skippedText(skipped: { readonly [reason: string]: number }): string {
  const reasons = Object.entries(skipped).sort(([, one], [, other]) => other - one);
  const all = reasons.reduce((sum, [, count]) => sum + count, 0);
  const shown = reasons.slice(0, 3).map(([reason, count]) => `${count} ${reason}`);
  return all === 0 ? "" : `${all} skipped (${shown.join(", ")})`;
}

/** Parts that there are, with commas. */
export function listed(parts: readonly (string | false)[]): string {
  return parts.filter((part) => part !== false && part !== "").join(", ");
}

/** `[####----] 5/10`, of a fixed width. */
export function bar(done: number, all: number, width: number = 24): string {
  const full = all === 0 ? width : Math.floor((done / all) * width);
  return `[${"#".repeat(full)}${"-".repeat(width - full)}] ${done}/${all}`;
}

/** Bytes for people: 1.2 GB. */
export function readable(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  let value = bytes;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at++;
  }
  return `${at === 0 ? value : value.toFixed(1)} ${units[at]}`;
}
