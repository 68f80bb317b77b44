import type { ErrorCode } from "../errors.ts";

/** What a connected client, or its server, waits for: a request of the client; cells being made for it; credit; its kernel. Or nothing: frames are being packed. */
export const waitings = ["request", "cells", "credit", "socket", "nothing"] as const;
export type Waiting = (typeof waitings)[number];

export const requestKinds = ["get", "stream", "counts"] as const;
export type RequestKind = (typeof requestKinds)[number];
export type Outcome = "ok" | "cancelled" | "drained" | ErrorCode;

/** What a server has done since it began. */
export interface ServerCounts {
  /** Answered requests, by kind and outcome. */
  readonly requests: { readonly [Kind in RequestKind]: Counts<Outcome> };
  /** Connections that were welcomed, and those that were refused or ended by the server, by the error they were told. */
  readonly connections: Counts<"welcomed" | ErrorCode>;
  /** Given to the kernel or waiting for it. */
  readonly sentBytes: number;
  readonly sentCells: number;
  /** Steps, or the asked slots of them, that were sent to their end. */
  readonly sentBatches: number;
  readonly sentPuzzles: number;
  /** Slots that were sent without an image. */
  readonly failedSlots: number;
  /** Bytes that wait for kernels now. */
  readonly queuedBytes: number;
  /** Seconds of all connected clients together, by what was waited for: "cells" is a trainer waiting for this loader, "request", "credit" and "socket" the loader for trainers. */
  readonly seconds: { readonly [What in Waiting]: number };
  /** Clients now, by the same. */
  readonly clients: { readonly [What in Waiting]: number };
  /** Requests now. */
  readonly waiting: { readonly [What in Waiting]: number };
}

type Counts<Name extends string> = { readonly [Key in Name]?: number };

export interface Tally {
  counts(): ServerCounts;
  request(kind: RequestKind, outcome: Outcome): void;
  connection(outcome: "welcomed" | ErrorCode): void;
  bytes(count: number): void;
  cell(puzzles: number, failed: number): void;
  batch(): void;
  /** Of bytes that wait for a kernel. */
  queued(by: number): void;
  /** Of a client that was welcomed. */
  client(): Activity;
}

/** What one client's requests wait for. */
export interface Activity {
  /** Of the client: cells where any of its requests waits for them, and so on in the order of `waitings`. */
  readonly waiting: Waiting;
  /** A request begins. Call what comes back when it ends. */
  begin(): () => void;
  /** The same promise, counted as a wait of one request. */
  wait<T>(what: Waiting, promise: Promise<T>): Promise<T>;
  end(): void;
}

const zeros = (): Record<Waiting, number> => ({
  request: 0,
  cells: 0,
  credit: 0,
  socket: 0,
  nothing: 0,
});

/** `clock` in milliseconds. */
export function createTally(clock: () => number = () => performance.now()): Tally {
  const requests: Record<RequestKind, Partial<Record<Outcome, number>>> = {
    get: {},
    stream: {},
    counts: {},
  };
  const connections: Partial<Record<"welcomed" | ErrorCode, number>> = {};
  const sent = { bytes: 0, cells: 0, batches: 0, puzzles: 0, failed: 0 };
  const clients = zeros();
  const waiting = zeros();
  const spent = zeros();
  let queued = 0;
  let last = clock();

  /** Time goes to what was waited for until now. */
  function settle(): void {
    const now = clock();
    for (const what of waitings) spent[what] += clients[what] * (now - last);
    last = now;
  }

  return {
    counts() {
      settle();
      const seconds = zeros();
      for (const what of waitings) seconds[what] = spent[what] / 1000;
      return {
        requests: {
          get: { ...requests.get },
          stream: { ...requests.stream },
          counts: { ...requests.counts },
        },
        connections: { ...connections },
        sentBytes: sent.bytes,
        sentCells: sent.cells,
        sentBatches: sent.batches,
        sentPuzzles: sent.puzzles,
        failedSlots: sent.failed,
        queuedBytes: queued,
        seconds,
        clients: { ...clients },
        waiting: { ...waiting },
      };
    },
    request(kind, outcome) {
      requests[kind][outcome] = (requests[kind][outcome] ?? 0) + 1;
    },
    connection(outcome) {
      connections[outcome] = (connections[outcome] ?? 0) + 1;
    },
    bytes(count) {
      sent.bytes += count;
    },
    cell(puzzles, failed) {
      sent.cells++;
      sent.puzzles += puzzles;
      sent.failed += failed;
    },
    batch() {
      sent.batches++;
    },
    queued(by) {
      queued += by;
    },
    client() {
      const own = zeros();
      let running = 0;
      let ended = false;
      let now: Waiting = "request";
      settle();
      clients[now]++;

      function change(): void {
        if (ended) return;
        const next =
          running === 0
            ? "request"
            : own.cells > 0
              ? "cells"
              : own.credit > 0
                ? "credit"
                : own.socket > 0
                  ? "socket"
                  : "nothing";
        if (next === now) return;
        settle();
        clients[now]--;
        clients[next]++;
        now = next;
      }

      return {
        get waiting() {
          return now;
        },
        begin() {
          let over = false;
          running++;
          change();
          return () => {
            if (over) return;
            over = true;
            running--;
            change();
          };
        },
        async wait(what, promise) {
          own[what]++;
          waiting[what]++;
          change();
          try {
            return await promise;
          } finally {
            own[what]--;
            waiting[what]--;
            change();
          }
        },
        end() {
          if (ended) return;
          settle();
          clients[now]--;
          ended = true;
        },
      };
    },
  };
}
