import { StreamError } from "../errors.ts";
import type { StreamInfo } from "../model.ts";
import { logDigest } from "../plan/canonical.ts";

/** Where a run is, as JSON for a checkpoint (docs/cluster.md, "Position"): some hundred bytes, and nothing of loaders, workers or connections. */
export interface RunState {
  /** Version of this form. */
  readonly ssl_r1: number;
  /** The next one that the trainer needs. */
  readonly step: number;
  readonly fingerprint: string;
  /** Changes of the mix so far: how many, and "sha256:" with their hash. */
  readonly log: { readonly length: number; readonly hash: string };
  readonly stream: Pick<
    StreamInfo,
    "version" | "seed" | "batch" | "partitions" | "shards" | "identity"
  >;
}

const FORMAT = 1;

/** Of a stream whose mix has not been changed. */
const unchanged: RunState["log"] = { length: 0, hash: `sha256:${logDigest([])}` };

export function makeState(step: number, info: StreamInfo): RunState {
  const { version, seed, batch, partitions, shards, identity, fingerprint } = info;
  const stream = { version, seed, batch, partitions, shards, identity };
  return { ssl_r1: FORMAT, step, fingerprint, log: unchanged, stream };
}

/** The step of a state of this stream. Throws OTHER_STREAM with what differs, BAD_OPTION where it is no state. */
export function stepOf(state: unknown, info: StreamInfo): number {
  const { ssl_r1: format, step, fingerprint, log, stream } = read(state);
  const other = (why: string): StreamError =>
    new StreamError("OTHER_STREAM", `the state is of another stream: ${why}`);
  if (format !== FORMAT)
    throw new StreamError(
      "OTHER_STREAM",
      `the state is of format ${format}, this client knows ${FORMAT}`,
    );
  if (fingerprint !== info.fingerprint) throw other(differences(stream, info).join("; "));
  if (log.length !== unchanged.length || log.hash !== unchanged.hash)
    throw other(
      `its mix was changed ${log.length} times (log ${log.hash}), that of this one ${unchanged.length} times`,
    );
  return step;
}

const parts: { readonly [part: string]: string } = {
  entries: "the mix, its tasks' options or prompts (entries)",
  suffix: "the end of the prompts (suffix)",
  sizes: "image sizes (sizes)",
  images: "image rules (images)",
  plan: "the plan: deal, window, order or passes (plan)",
  sources: "the sources' weights (sources)",
  shards: "the data (shards)",
};

/** What of two streams differs, in words. */
function differences(state: RunState["stream"], info: StreamInfo): readonly string[] {
  const named = ["version", "seed", "batch", "partitions", "shards"] as const;
  const found = named
    .filter((name) => state[name] !== info[name])
    .map((name) => `${name} ${state[name]}, here ${info[name]}`);
  const has = (...names: (typeof named)[number][]): boolean =>
    names.some((name) => state[name] !== info[name]);
  // What the numbers tell already: the plan has seed, batch and partitions in it.
  const told = new Set([
    ...(has("seed", "batch", "partitions") ? ["plan"] : []),
    ...(has("shards") ? ["shards", "plan"] : []),
  ]);
  const names = new Set([...Object.keys(state.identity), ...Object.keys(info.identity)]);
  for (const name of [...names].sort())
    if (state.identity[name] !== info.identity[name] && !told.has(name))
      found.push(Object.hasOwn(parts, name) ? parts[name]! : name);
  return found.length > 0 ? found : ["its fingerprint, and nothing that the state tells"];
}

/** Throws BAD_OPTION. */
function read(state: unknown): RunState {
  const { ssl_r1: format, step, fingerprint, log, stream } = map(state, "the state");
  if (!Number.isSafeInteger(format)) throw bad("ssl_r1 must be a number");
  // Later forms may have other fields.
  if (format !== FORMAT) return { ssl_r1: format } as RunState;
  if (!isCount(step)) throw bad("step must be a whole number from 0");
  if (typeof fingerprint !== "string") throw bad("fingerprint must be text");
  const { length, hash } = map(log, "log");
  if (!isCount(length)) throw bad("log.length must be a whole number from 0");
  if (typeof hash !== "string") throw bad("log.hash must be text");
  const { identity, ...numbers } = map(stream, "stream");
  for (const name of ["version", "seed", "batch", "partitions", "shards"])
    if (!isCount(numbers[name])) throw bad(`stream.${name} must be a whole number from 0`);
  if (Object.values(map(identity, "stream.identity")).some((part) => typeof part !== "string"))
    throw bad("stream.identity must be texts");
  return state as RunState;
}

function map(value: unknown, name: string): { readonly [key: string]: unknown } {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw bad(`${name} must be an object`);
  return value as { readonly [key: string]: unknown };
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function bad(why: string): StreamError {
  return new StreamError("BAD_OPTION", `this is no state of a run: ${why}`);
}
