/** Tells on standard error how something long is going: one line that changes on a terminal, a plain line now and then elsewhere. */
export interface Progress {
  /** `text` is what to show; computed only when it is shown. */
  update(text: () => string): void;
  /** Ends the line. */
  end(): void;
}

interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const OFTEN = 200;
const SELDOM = 15_000;

export function createProgress(
  out: Output = process.stderr,
  clock: () => number = () => performance.now(),
): Progress {
  const terminal = out.isTTY === true;
  let next = clock() + (terminal ? OFTEN : SELDOM);
  let shown = false;
  return {
    update(text) {
      if (clock() < next) return;
      next = clock() + (terminal ? OFTEN : SELDOM);
      shown = true;
      const line = text();
      out.write(terminal ? `\r\u001b[K${line.slice(0, (out.columns ?? 80) - 1)}` : `${line}\n`);
    },
    end() {
      if (shown && terminal) out.write("\r\u001b[K");
      shown = false;
    },
  };
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
