import { lookup } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { asStreamError, StreamError } from "../errors.ts";
import { systemClock, type Clock } from "../net/clock.ts";
import { parseAddress } from "./address.ts";

/** Which loaders there are: lists, files and names that change while a run goes on (docs/cluster.md, "Addresses"). */
export interface Loaders {
  /** As of now: each once, in the order given; never empty. */
  readonly list: readonly string[];
  /** Whether it is one plain address, whose loader tells of the others. */
  readonly alone: boolean;
  /** What the one loader tells. Ignored where the list was given, and an address that is none or would send in the clear what was to be encrypted. */
  tell(addresses: readonly string[]): void;
  /** The name behind an address that was looked up: what its certificate is for. */
  nameOf(address: string): string | undefined;
  /** Called with every later list that differs. */
  onChange(listener: (list: readonly string[]) => void): void;
  /** Ends the watching. Idempotent. */
  close(): void;
}

/** What tests put in the place of the machine. */
export interface LoadersSeams {
  readonly clock?: Pick<Clock, "sleep">;
  /** All IPv4 and IPv6 addresses of a name. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
}

/** Milliseconds between two looks at a file, and between two questions for a name (and of a loader for the others). */
const FILE_EVERY = 1_000;
export const ASK_EVERY = 10_000;

interface Origin {
  /** Milliseconds; infinite for what never changes. */
  readonly every: number;
  read(): Promise<readonly string[]>;
}

/**
 * `tcp://a:7531,tcp://b:7531`, `file:///run/loaders.txt`, `dns+tcp://name:7531`, a list of these, or one address. What can't be read later leaves the
 * list as it was. Throws BAD_OPTION, SOURCE_NOT_FOUND for a file that is not there, CONNECTION_LOST for a name without addresses.
 */
export async function openLoaders(
  given: string | readonly string[],
  seams: LoadersSeams = {},
): Promise<Loaders> {
  const { clock = systemClock, resolve = allAddresses } = seams;
  const entries = (typeof given === "string" ? [given] : given)
    .flatMap((entry) => entry.split(","))
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
  if (entries.length === 0) throw new StreamError("BAD_OPTION", "the list of loaders is empty");
  const names = new Map<string, string>();
  const origins = entries.map((entry) => originOf(entry, resolve, names));
  const alone = origins.length === 1 && origins[0]?.every === Infinity;

  const parts: (readonly string[])[] = await Promise.all(origins.map((origin) => origin.read()));
  let told: readonly string[] = [];
  let list = [...new Set(parts.flat())];
  const listeners = new Set<(list: readonly string[]) => void>();
  const closing = new AbortController();

  const update = (): void => {
    const next = [...new Set([...parts.flat(), ...told])];
    if (next.length === list.length && next.every((address, at) => address === list[at])) return;
    list = next;
    for (const listener of listeners) listener(list);
  };
  const watch = async (origin: Origin, at: number): Promise<void> => {
    for (;;) {
      await clock.sleep(origin.every, closing.signal);
      const read = await origin.read().catch(() => undefined);
      closing.signal.throwIfAborted();
      if (read === undefined) continue;
      parts[at] = read;
      update();
    }
  };
  for (const [at, origin] of origins.entries())
    if (origin.every < Infinity) watch(origin, at).catch(() => {}); // rejects when it is closed

  return {
    get list() {
      return list;
    },
    alone,
    tell(addresses) {
      if (!alone) return;
      const sealed = entries[0]!.startsWith("tls:");
      told = addresses.filter(
        (address) => isAddress(address) && !(sealed && address.startsWith("tcp:")),
      );
      update();
    },
    nameOf: (address) => names.get(address),
    onChange: (listener) => void listeners.add(listener),
    close() {
      closing.abort();
      listeners.clear();
    },
  };
}

function originOf(
  entry: string,
  resolve: (host: string) => Promise<readonly string[]>,
  names: Map<string, string>,
): Origin {
  if (entry.startsWith("file:")) return { every: FILE_EVERY, read: () => readList(entry) };
  if (!entry.startsWith("dns+")) {
    parseAddress(entry);
    return { every: Infinity, read: () => Promise.resolve([entry]) };
  }
  const address = parseAddress(entry.slice("dns+".length));
  if (address.kind === "unix")
    throw new StreamError("BAD_OPTION", `${entry}: only tcp and tls addresses have names`);
  const { kind, host, port } = address;
  return {
    every: ASK_EVERY,
    async read() {
      const found = await resolve(host).catch((error: unknown) => {
        throw new StreamError("CONNECTION_LOST", `${entry}: ${asStreamError(error).message}`);
      });
      if (found.length === 0) throw new StreamError("CONNECTION_LOST", `${entry}: no address`);
      return found.toSorted().map((ip) => {
        const each = `${kind}://${ip.includes(":") ? `[${ip}]` : ip}:${port}`;
        names.set(each, host);
        return each;
      });
    },
  };
}

async function readList(url: string): Promise<readonly string[]> {
  let text: string;
  try {
    text = await readFile(fileURLToPath(url), "utf8");
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const missing = code === "ENOENT" || code === "EACCES";
    throw new StreamError(missing ? "SOURCE_NOT_FOUND" : "BAD_OPTION", `${url}: ${message}`, {
      cause,
    });
  }
  const lines = text
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "");
  if (lines.length === 0) throw new StreamError("BAD_OPTION", `${url}: no address in it`);
  for (const line of lines) parseAddress(line);
  return lines;
}

async function allAddresses(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}

function isAddress(text: string): boolean {
  try {
    parseAddress(text);
    return true;
  } catch {
    return false;
  }
}
