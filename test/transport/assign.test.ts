import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { assign, type Candidate } from "../../src/transport/assign.ts";

interface Vectors {
  readonly scores: readonly { partition: number; address: string; score: string }[];
  readonly cases: readonly {
    name: string;
    partitions: number;
    loaders: readonly { address: string; near: readonly number[] | null }[];
    owners: readonly number[];
  }[];
}

const vectors = JSON.parse(
  readFileSync(new URL("../vectors/cluster.json", import.meta.url), "utf8"),
) as Vectors;

/** The preference rule of docs/cluster.md. */
function near(node: number, nodes: number, partitions: number): number[] {
  const n = Math.min(nodes, partitions);
  return Array.from({ length: partitions }, (_, c) => c).filter(
    (c) => Math.floor((c * n) / partitions) === node,
  );
}

const addresses = fc.uniqueArray(
  fc.nat({ max: 10_000 }).map((at) => `tcp://n${at}:7531`),
  { minLength: 1, maxLength: 12 },
);
/** Loaders in the order of their nodes, any number of them against any number of nodes that they believe in. */
const fleets = fc
  .record({
    partitions: fc.integer({ min: 1, max: 40 }),
    names: addresses,
    nodes: fc.integer({ min: 1, max: 14 }),
    plain: fc.boolean(),
  })
  .map(({ partitions, names, nodes, plain }) => ({
    partitions,
    loaders: names.map((address, at): Candidate =>
      plain ? { address } : { address, near: near(at % nodes, nodes, partitions) },
    ),
  }));

test("the scores of the vectors are the hashes that the page tells", () => {
  for (const { partition, address, score } of vectors.scores)
    expect(createHash("sha256").update(`${partition} ${address}`).digest("hex").slice(0, 16)).toBe(
      score,
    );
  // Two loaders that prefer nothing: the one with the higher score has the only partition.
  const [a, b] = ["tcp://a:7531", "tcp://b:7531"].map((address) => ({ address }));
  expect(assign([a!, b!], 1)).toEqual([b]);
});

test.each(vectors.cases)("vector: $name", ({ partitions, loaders, owners }) => {
  const told = loaders.map(({ address, near: own }) => ({ address, near: own ?? undefined }));
  expect(assign(told, partitions)).toEqual(owners.map((at) => told[at]));
});

describe("whatever loaders there are", () => {
  test("every partition has an owner, who prefers it if anybody does", () => {
    fc.assert(
      fc.property(fleets, ({ partitions, loaders }) => {
        const owners = assign(loaders, partitions);
        expect(owners).toHaveLength(partitions);
        for (const [partition, owner] of owners.entries()) {
          expect(loaders).toContain(owner);
          const wanted = loaders.some((loader) => loader.near?.includes(partition));
          if (wanted) expect(owner.near).toContain(partition);
        }
      }),
    );
  });

  test("the order in which a client knows them has no part in it", () => {
    fc.assert(
      fc.property(fleets, fc.infiniteStream(fc.nat()), ({ partitions, loaders }, keys) => {
        const shuffled = loaders
          .map((loader) => ({ loader, key: keys.next().value! }))
          .sort((one, other) => one.key - other.key)
          .map(({ loader }) => loader);
        expect(assign(shuffled, partitions)).toEqual(assign(loaders, partitions));
      }),
    );
  });

  test("nobody is given more than an even share beside what it prefers", () => {
    fc.assert(
      fc.property(fleets, ({ partitions, loaders }) => {
        const owners = assign(loaders, partitions);
        const share = Math.ceil(partitions / loaders.length);
        for (const loader of loaders) {
          const has = owners.filter((owner) => owner === loader).length;
          expect(has).toBeLessThanOrEqual(Math.max(share, loader.near?.length ?? 0));
        }
      }),
    );
  });

  test("when one goes, only its partitions move: first to spares", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 2, max: 12 }),
        fc.integer({ min: 0, max: 3 }),
        fc.nat(),
        (partitions, nodes, more, which) => {
          const loaders = Array.from({ length: nodes + more }, (_, at) => ({
            address: `tcp://n${at}:7531`,
            near: near(at, nodes, partitions),
          }));
          const lost = loaders[which % loaders.length]!;
          const before = assign(loaders, partitions);
          const left = loaders.filter((loader) => loader !== lost);
          const after = assign(left, partitions);
          const share = Math.ceil(partitions / left.length);
          const spares = left.filter((loader) => loader.near.length === 0);
          const moved = after.filter((owner, at) => {
            if (before[at] !== lost) expect(owner).toBe(before[at]);
            return before[at] === lost;
          });
          const room = spares.length * share;
          expect(moved.filter((owner) => spares.includes(owner))).toHaveLength(
            Math.min(moved.length, room),
          );
        },
      ),
    );
  });
});
