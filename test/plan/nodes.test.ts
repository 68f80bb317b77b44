import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { partitionsOf } from "../../src/plan/nodes.ts";

/** Partitions as options allow them; nodes up to far beyond any cluster. */
const sizes = fc.record({
  nodes: fc.oneof(
    fc.integer({ min: 1, max: 40 }),
    fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  ),
  partitions: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 1024 })),
});

function split(nodes: number, partitions: number): number[][] {
  return Array.from({ length: Math.min(nodes, partitions) }, (_, node) =>
    partitionsOf(node, nodes, partitions),
  );
}

describe("partitionsOf", () => {
  it("is the rule of docs/cluster.md: floor(c * n / C) = i", () => {
    fc.assert(
      fc.property(sizes, ({ nodes, partitions }) => {
        const n = BigInt(Math.min(nodes, partitions));
        const all = Array.from({ length: partitions }, (_, c) => c);
        for (const [node, got] of split(nodes, partitions).entries())
          expect(got).toEqual(
            all.filter((c) => (BigInt(c) * n) / BigInt(partitions) === BigInt(node)),
          );
      }),
      { numRuns: 60 },
    );
  });

  it("gives every partition to one node, in stretches whose sizes differ by one at most", () => {
    fc.assert(
      fc.property(sizes, ({ nodes, partitions }) => {
        const parts = split(nodes, partitions);
        // in this order, without a gap: disjoint, complete and contiguous
        expect(parts.flat()).toEqual(Array.from({ length: partitions }, (_, c) => c));
        const lengths = parts.map(({ length }) => length);
        expect(Math.min(...lengths)).toBeGreaterThanOrEqual(1);
        expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThanOrEqual(1);
      }),
    );
  });

  it("leaves nothing for nodes beyond the partitions", () => {
    fc.assert(
      fc.property(sizes, fc.nat(), ({ nodes, partitions }, beyond) => {
        const node = partitions + beyond;
        if (node < nodes) expect(partitionsOf(node, nodes, partitions)).toEqual([]);
      }),
    );
  });

  it("known cases", () => {
    expect(split(1, 4)).toEqual([[0, 1, 2, 3]]);
    expect(split(3, 4)).toEqual([[0, 1], [2], [3]]);
    expect(split(6, 4)).toEqual([[0], [1], [2], [3]]);
    expect(partitionsOf(5, 6, 4)).toEqual([]);
    expect(split(3, 8)).toEqual([
      [0, 1, 2],
      [3, 4, 5],
      [6, 7],
    ]);
  });
});
