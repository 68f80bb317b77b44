import { StreamError } from "./errors.ts";

/** One loader of several that serve a stream; it prefers the partitions that plan/nodes.ts gives it. */
export interface NodePlace {
  /** 0 .. count - 1. */
  readonly index: number;
  /** How many loaders there are, spares included. */
  readonly count: number;
}

export interface FoundNode extends NodePlace {
  /** What said so, in words: `RANK and WORLD_SIZE`. */
  readonly from: string;
}

/** Far more than there are partitions; beyond it a number is a slip. */
const MOST = 1_000_000;

export const nodeForms: string = `expected i/N (or a map with index and count): node i of N, 0 <= i < N <= ${MOST}; the first of three is 0/3`;

/** What an option `node` says, `1/3` or {index: 1, count: 3}; undefined where it is nonsense. */
export function parseNode(given: unknown): NodePlace | undefined {
  if (typeof given === "string") {
    const [, index, count] = /^(\d{1,7})\/(\d{1,7})$/.exec(given) ?? [];
    return placeOf(Number(index), Number(count));
  }
  if (typeof given !== "object" || given === null) return undefined;
  const { index, count, ...others } = given as { [name: string]: unknown };
  return Object.keys(others).length === 0 ? placeOf(index, count) : undefined;
}

function placeOf(index: unknown, count: unknown): NodePlace | undefined {
  if (typeof index !== "number" || typeof count !== "number") return undefined;
  const right = Number.isInteger(index) && Number.isInteger(count) && index >= 0 && count <= MOST;
  return right && index < count ? { index, count } : undefined;
}

type Environment = { readonly [name: string]: string | undefined };

/**
 * Which node this process is, by what launched it (docs/cluster.md, "Preference"): torchrun, Slurm, or a Kubernetes StatefulSet whose pods are told SSL_R1_NODES. The
 * first that is there counts; undefined where none is. BAD_OPTION names the variables that make no sense: a loader that took itself for another would do the
 * work of that one twice and nobody its own.
 */
export function findNode(environment: Environment, hostname: string): FoundNode | undefined {
  const value = (name: string): string | undefined => environment[name]?.trim() || undefined;
  const pair = (index: string, count: string): FoundNode | undefined => {
    const [i, n] = [value(index), value(count)];
    if (i === undefined || n === undefined) return undefined;
    return place(`${i}/${n}`, `${index} and ${count}`, `${index}=${i} and ${count}=${n}`);
  };
  const [rank, size] = [value("RANK"), value("WORLD_SIZE")];
  if ((rank === undefined) !== (size === undefined)) {
    const [there, missing] = rank === undefined ? ["WORLD_SIZE", "RANK"] : ["RANK", "WORLD_SIZE"];
    throw nonsense(`${there} is set and ${missing} is not`);
  }
  // Slurm itself sets one without the other, in the shell of salloc and in a batch script without --ntasks: nothing was meant by it.
  return (
    pair("RANK", "WORLD_SIZE") ?? pair("SLURM_PROCID", "SLURM_NTASKS") ?? ordinal(value, hostname)
  );
}

/** The pods of a StatefulSet are called NAME-0, NAME-1, ...; other machines may be called so, too, so it counts only where SSL_R1_NODES says how many there are. */
function ordinal(
  value: (name: string) => string | undefined,
  hostname: string,
): FoundNode | undefined {
  const nodes = value("SSL_R1_NODES");
  if (nodes === undefined) return undefined;
  const [name = ""] = hostname.split(".");
  const [, index] = /-(0|[1-9]\d*)$/.exec(name) ?? [];
  if (index === undefined)
    throw nonsense(
      `SSL_R1_NODES is set and the host name ${JSON.stringify(name)} has no ordinal at its end, as the pods of a StatefulSet have`,
    );
  return place(
    `${index}/${nodes}`,
    "the host name and SSL_R1_NODES",
    `host name ${JSON.stringify(name)} and SSL_R1_NODES=${nodes}`,
  );
}

function place(text: string, from: string, found: string): FoundNode {
  const parsed = parseNode(text);
  if (!parsed) throw nonsense(`found ${found}`);
  return { ...parsed, from };
}

function nonsense(what: string): StreamError {
  return new StreamError(
    "BAD_OPTION",
    `node: ${what}; ${nodeForms}. Give --node, which goes over what is found; --node 0/1 says that there is one loader`,
  );
}
