/** How many consecutive slots one worker makes at a time, as far as it divides. */
const slotsPerCell = 8;

/** Cells of one partition in one step. `perPartition` slots; `cycle` is the length of the first mix's cycle. In shared order a cell holds whole turns of it, so that an image is decoded once. */
export function cellsOf(
  perPartition: number,
  order: "independent" | "shared",
  cycle: number,
): number {
  return Math.max(
    1,
    order === "shared"
      ? Math.floor(perPartition / (slotsPerCell * cycle))
      : Math.floor((perPartition + slotsPerCell / 2) / slotsPerCell),
  );
}

/** The first place of a cell; of the number of cells: the end of the last. */
export function firstPlace(cell: number, perPartition: number, cells: number): number {
  return Math.floor((cell * perPartition) / cells);
}

/** The cell that holds the place. */
export function cellAt(place: number, perPartition: number, cells: number): number {
  return Math.floor(((place + 1) * cells - 1) / perPartition);
}

/**
 * The largest divisor of the batch up to 8 that leaves a partition a cell's worth of slots, else 1: 8, and in shared order 8 turns of the cycle, without which
 * most strangers would be decoded for one puzzle alone (docs/decisions/004-partitions-in-shared-order.md).
 */
export function defaultPartitions(
  batch: number,
  order: "independent" | "shared",
  cycle: number,
): number {
  const least = order === "shared" ? slotsPerCell * cycle : slotsPerCell;
  for (let partitions = 8; partitions > 1; partitions--) {
    if (batch % partitions === 0 && batch / partitions >= least) return partitions;
  }
  return 1;
}
