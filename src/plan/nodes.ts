/**
 * Partitions that node `node` of `nodes` prefers (docs/cluster.md): those with floor(c * n / partitions) = node, where n = min(nodes, partitions).
 * Neighbours, in ascending order; none for a spare. Whole numbers: 0 <= node < nodes, partitions >= 1.
 */
export function partitionsOf(node: number, nodes: number, partitions: number): number[] {
  const used = Math.min(nodes, partitions);
  if (node >= used) return [];
  const first = Math.ceil((node * partitions) / used);
  const end = Math.ceil(((node + 1) * partitions) / used);
  return Array.from({ length: end - first }, (_, at) => first + at);
}
