/** One loader as `ssl-r1 top` sees it from outside, over its HTTP port. */
import type { Status } from "./status.ts";

/** What /status answered, or why it did not; everything a server of another version may lack is a default here. */
export interface Look {
  /** Milliseconds. */
  readonly at: number;
  readonly status?: Status;
  readonly failure?: string;
}

/** One loader over the last interval. */
export interface View {
  readonly address: string;
  /** serving, draining, ..., or why nothing is known. */
  readonly state: string;
  readonly ready: boolean;
  readonly version: string | null;
  readonly fingerprint: string | null;
  readonly node: string | null;
  readonly near: readonly number[] | null;
  /** Seconds. */
  readonly uptime: number | null;
  readonly clients: number;
  /** Sent, a second; null until there have been two looks at the same process. */
  readonly puzzlesPerSecond: number | null;
  readonly bytesPerSecond: number | null;
  /** Share of the clients' time, 0 to 1, in which trainers waited for this loader, and it for them; null without clients. */
  readonly trainersWait: number | null;
  readonly loaderWaits: number | null;
  readonly puzzles: number;
  readonly bytes: number;
  readonly skipped: number;
  readonly restarts: number;
  readonly retries: number;
  /** Bytes. */
  readonly memory: number | null;
  readonly lastError: string | null;
}

/** When a frame was taken: UTC, ISO 8601. */
export function moment(): string {
  return new Date().toISOString();
}

/** Bytes of an answer that are read: what is longer is no status. */
const LONGEST = 4 << 20;

/** Asks /status once. Never rejects. */
export async function look(address: string, timeout: number, clock: () => number): Promise<Look> {
  try {
    const response = await fetch(`${address}/status`, {
      redirect: "error",
      signal: AbortSignal.timeout(timeout),
    });
    if (!response.ok) return { at: clock(), failure: `HTTP ${response.status}` };
    const status = JSON.parse(await textOf(response)) as Status | null;
    if (status?.ssl_r1 !== 1) return { at: clock(), failure: "no ssl-r1 loader" };
    return { at: clock(), status };
  } catch (error) {
    return { at: clock(), failure: reasonOf(error) };
  }
}

async function textOf(response: Response): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > LONGEST) throw new Error("an answer without end");
  }
  return text;
}

function reasonOf(error: unknown): string {
  const { name, cause, message } = error as Error & { cause?: { code?: string; message?: string } };
  if (name === "TimeoutError") return "no answer";
  if (error instanceof SyntaxError) return "no ssl-r1 loader";
  const code = cause?.code;
  return code === "ECONNREFUSED" ? "nobody there" : (code ?? cause?.message ?? message);
}

const sum = (counts: { readonly [name: string]: number } | undefined): number =>
  Object.values(counts ?? {}).reduce((all, count) => all + count, 0);

/** `before` is an earlier look at the same loader. */
export function viewOf(address: string, before: Look | undefined, now: Look): View {
  const { status } = now;
  const old = before?.status;
  // a loader that was started anew in between counts from 0
  const same = status !== undefined && old !== undefined && old.uptime <= status.uptime;
  const seconds = same && before ? (now.at - before.at) / 1000 : 0;
  const rate = (one: number, other: number): number | null =>
    seconds > 0 ? Math.max(0, (one - other) / seconds) : null;
  const waited = (what: string): number =>
    same ? (status.waited?.[what] ?? 0) - (old.waited?.[what] ?? 0) : 0;
  const trainers = waited("cells");
  const loader = waited("request") + waited("credit") + waited("socket");
  const all = trainers + loader + waited("nothing");
  const { lastError } = status ?? {};
  return {
    address,
    state: status ? stateOf(status) : (now.failure ?? "unknown"),
    ready: status?.notReady === null,
    version: status?.version ?? null,
    fingerprint: status?.stream?.fingerprint ?? null,
    node: status?.node ?? null,
    near: status?.near ?? null,
    uptime: status?.uptime ?? null,
    clients: status?.clients?.length ?? 0,
    puzzlesPerSecond: same ? rate(status.sent.puzzles, old.sent.puzzles) : null,
    bytesPerSecond: same ? rate(status.sent.bytes, old.sent.bytes) : null,
    trainersWait: all > 0 ? trainers / all : null,
    loaderWaits: all > 0 ? loader / all : null,
    puzzles: status?.sent?.puzzles ?? 0,
    bytes: status?.sent?.bytes ?? 0,
    skipped: sum(status?.skipped),
    restarts: status?.workers?.["restarts"] ?? 0,
    retries: Number(status?.network?.["retries"] ?? 0),
    memory: status?.memory?.resident ?? null,
    lastError: lastError ? `${lastError.code}: ${lastError.message}` : null,
  };
}

function stateOf({ phase, notReady }: Status): string {
  return notReady === null || notReady === phase ? phase : notReady;
}

/** All loaders as one; shares weighted by clients. */
export function totalOf(views: readonly View[]): {
  readonly loaders: number;
  readonly ready: number;
  readonly streams: number;
  readonly clients: number;
  readonly puzzlesPerSecond: number;
  readonly bytesPerSecond: number;
  readonly trainersWait: number | null;
  readonly loaderWaits: number | null;
  readonly skipped: number;
  readonly restarts: number;
  readonly memory: number;
} {
  const add = (of: (view: View) => number | null): number =>
    views.reduce((all, view) => all + (of(view) ?? 0), 0);
  const waiting = views.filter(({ trainersWait }) => trainersWait !== null);
  const weights = waiting.reduce((all, { clients }) => all + clients, 0);
  const share = (of: (view: View) => number | null): number | null =>
    weights === 0
      ? null
      : waiting.reduce((all, view) => all + (of(view) ?? 0) * view.clients, 0) / weights;
  return {
    loaders: views.length,
    ready: views.filter(({ ready }) => ready).length,
    streams: new Set(views.flatMap(({ fingerprint }) => fingerprint ?? [])).size,
    clients: add(({ clients }) => clients),
    puzzlesPerSecond: add(({ puzzlesPerSecond }) => puzzlesPerSecond),
    bytesPerSecond: add(({ bytesPerSecond }) => bytesPerSecond),
    trainersWait: share(({ trainersWait }) => trainersWait),
    loaderWaits: share(({ loaderWaits }) => loaderWaits),
    skipped: add(({ skipped }) => skipped),
    restarts: add(({ restarts }) => restarts),
    memory: add(({ memory }) => memory),
  };
}
