/** Consecutive rows of a partition in an epoch, before the epoch's end cuts the last one off. */
export interface Span {
  /** Number of the window in its epoch. */
  readonly window: number;
  /** Rows of the epoch before it. */
  readonly start: number;
  readonly size: number;
}

export interface Windows {
  /** Size of a full window of a partition. */
  readonly size: number;
  /** The window that holds the r-th row of an epoch. */
  span(epoch: number, row: number): Span;
}

/** In epoch 0 windows double from a few rows, so that the first batch of an unread remote shard waits for little; later epochs start full. */
export function createWindows(window: number, partitions: number): Windows {
  const size = Math.max(64, Math.floor(window / partitions));
  const first = Math.max(16, Math.floor(64 / partitions));
  const growing: Span[] = [];
  let grown = 0;
  for (let next = first; next < size; next *= 2) {
    growing.push({ window: growing.length, start: grown, size: next });
    grown += next;
  }
  return {
    size,
    span(epoch, row) {
      if (epoch === 0 && row < grown) return growing.findLast(({ start }) => start <= row)!;
      const before = epoch === 0 ? grown : 0;
      const full = Math.floor((row - before) / size);
      return {
        window: (epoch === 0 ? growing.length : 0) + full,
        start: before + full * size,
        size,
      };
    },
  };
}
