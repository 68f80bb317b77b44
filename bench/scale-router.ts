/** Which loader makes what, for bench/scale.ts: the client's own assignment of partitions, with made-up loaders. */
import { partitionsOf } from "../src/plan/nodes.ts";
import { assign, type Candidate } from "../src/transport/assign.ts";
import { BATCH, spreadOf, type Spread } from "./scale-plan.ts";

/** `spares` of the loaders prefer nothing. */
export function loadersOf(nodes: number, spares: number, partitions: number): Candidate[] {
  return Array.from({ length: nodes + spares }, (_, node) => ({
    address: `tcp://loader-${String(node).padStart(4, "0")}.loaders:7531`,
    near: node < nodes ? partitionsOf(node, nodes, partitions) : [],
  }));
}

export interface Loss {
  readonly nodes: number;
  readonly spares: number;
  readonly lost: number;
  /** Partitions that change their loader, and those of them that a living loader prefers: none. */
  readonly moved: number;
  readonly needless: number;
  readonly slots: number;
  /** Partitions a loader, of those that had work before or have now. */
  readonly before: Spread;
  readonly after: Spread;
  /** CPU milliseconds of the assignment before and after. */
  readonly time: number;
  readonly timeAfter: number;
}

/** The loaders that are lost stand together, as a rack does. */
export function lossOf(nodes: number, spares: number, lost: number, partitions: number): Loss {
  const loaders = loadersOf(nodes, spares, partitions);
  const [before, time] = timed(() => assign(loaders, partitions));
  const start = Math.floor(nodes / 3);
  const left = loaders.filter((_, at) => at < start || at >= start + lost);
  const [after, timeAfter] = timed(() => assign(left, partitions));
  const dead = new Set(loaders.slice(start, start + lost));
  const moved = before.filter((owner, partition) => owner !== after[partition]);
  return {
    nodes,
    spares,
    lost,
    moved: moved.length,
    needless: moved.filter((owner) => !dead.has(owner)).length,
    slots: (moved.length * BATCH) / partitions,
    before: spreadOf(sizes(before)),
    after: spreadOf(sizes(after)),
    time,
    timeAfter,
  };
}

function sizes(owners: readonly Candidate[]): number[] {
  return [...Map.groupBy(owners, (owner) => owner).values()].map((own) => own.length);
}

/** The median of several, after one that is not counted. */
function timed<T>(work: () => T): [T, number] {
  const result = work();
  const times = Array.from({ length: 5 }, () => {
    const from = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(from);
    return (user + system) / 1000;
  });
  return [result, times.sort((one, other) => one - other)[2]!];
}

/** How many loaders the clients ask, and are asked by, when each wants its share of every batch. */
export interface Fan {
  /** Loaders that one client asks, most. */
  readonly loaders: number;
  /** Clients that ask one loader, most. */
  readonly clients: number;
  /** Requests a step in all. */
  readonly requests: number;
}

export function fanOf(
  nodes: number,
  partitions: number,
  clients: number,
  share: "in a row" | "strided",
): Fan {
  const owners = assign(loadersOf(nodes, 0, partitions), partitions);
  const perPartition = BATCH / partitions;
  const asked = Array.from({ length: clients }, () => new Set<Candidate>());
  for (let slot = 0; slot < BATCH; slot++) {
    const client = share === "strided" ? slot % clients : Math.floor((slot * clients) / BATCH);
    asked[client]!.add(owners[Math.floor(slot / perPartition)]!);
  }
  const by = new Map<Candidate, number>();
  for (const one of asked) for (const loader of one) by.set(loader, (by.get(loader) ?? 0) + 1);
  return {
    loaders: Math.max(...asked.map(({ size }) => size)),
    clients: Math.max(...by.values()),
    requests: asked.reduce((sum, { size }) => sum + size, 0),
  };
}

/** CPU milliseconds of a client that asks for a whole batch: its slots by loader. */
export function routeTime(nodes: number, partitions: number): number {
  const owners = assign(loadersOf(nodes, 0, partitions), partitions);
  const perPartition = BATCH / partitions;
  const [, time] = timed(() => {
    const by = new Map<Candidate, number[]>();
    for (let slot = 0; slot < BATCH; slot++) {
      const owner = owners[Math.floor(slot / perPartition)]!;
      const slots = by.get(owner);
      if (slots) slots.push(slot);
      else by.set(owner, [slot]);
    }
    return by;
  });
  return time;
}
