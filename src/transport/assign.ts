import { hash } from "node:crypto";

/** A loader as far as it matters for which partitions are asked from it. */
export interface Candidate {
  /** As the client has it. */
  readonly address: string;
  /** Partitions that it prefers; none: a spare. Numbers that are no partition have no meaning. */
  readonly near?: readonly number[] | undefined;
}

/**
 * The loader that each partition is asked from (docs/cluster.md, "Which loader a slot is asked from"). Depends on nothing but its arguments, not even on the
 * order of the loaders, whose addresses differ. There must be one.
 */
export function assign<T extends Candidate>(
  loaders: readonly T[],
  partitions: number,
): readonly T[] {
  const preferring = Array.from({ length: partitions }, (): T[] => []);
  const spares: T[] = [];
  for (const loader of loaders) {
    const near = new Set(loader.near?.filter((partition) => partition < partitions));
    for (const partition of near) preferring[partition]!.push(loader);
    if (near.size === 0) spares.push(loader);
  }

  const share = Math.ceil(partitions / loaders.length);
  const counts = new Map<T, number>(loaders.map((loader) => [loader, 0]));
  const owners = preferring.map((group, partition) => best(group, partition));
  const take = (loader: T): T => {
    counts.set(loader, counts.get(loader)! + 1);
    return loader;
  };
  for (const owner of owners) if (owner !== undefined) take(owner);

  const roomy = (loader: T): boolean => counts.get(loader)! < share;
  return owners.map(
    (owner, partition) =>
      owner ??
      take(
        best(spares.filter(roomy), partition) ??
          best(loaders.filter(roomy), partition) ??
          best(loaders, partition)!,
      ),
  );
}

function best<T extends Candidate>(loaders: readonly T[], partition: number): T | undefined {
  if (loaders.length <= 1) return loaders[0];
  let found: T | undefined;
  let highest = -1n;
  for (const loader of loaders) {
    const score = scoreOf(partition, loader.address);
    if (score <= highest) continue;
    found = loader;
    highest = score;
  }
  return found;
}

function scoreOf(partition: number, address: string): bigint {
  return hash("sha256", `${partition} ${address}`, "buffer").readBigUInt64BE();
}
