import type {
  Cell,
  CellMaker,
  CountsFile,
  FailedSlot,
  ImageFormat,
  Puzzle,
  StepRequest,
  StreamInfo,
} from "../../src/model.ts";

/** A maker of small, deterministic cells in shared memory, which keeps count of what becomes of them. */
export interface FakeOptions {
  readonly batch?: number;
  /** Puzzles in a cell. */
  readonly cell?: number;
  /** Square images of this many pixels a side. */
  readonly side?: number;
  readonly images?: number;
  readonly steps?: number | null;
  readonly fingerprint?: string;
  readonly partitions?: number;
  /** Partitions that it prefers. */
  readonly near?: readonly number[];
  readonly seed?: number;
  /** Slots that fail in every step. */
  readonly failing?: readonly number[];
  /** Called before each cell; may throw or wait. */
  readonly before?: (
    step: number,
    cell: number,
    signal: AbortSignal | undefined,
  ) => Promise<void> | void;
  /** Awaited before the cells' iterator is closed. */
  readonly after?: () => Promise<void>;
  /** What it says that it has counted, all at once or anew each time. */
  readonly counted?: CountsFile | (() => CountsFile);
  /** Makes pixels once and shows the same memory for all cells: for benchmarks. */
  readonly reuse?: boolean;
  /** Real images for the formats other than raw, which otherwise carry raw pixels under another name. */
  readonly encode?: (pixels: Uint8Array, side: number, format: ImageFormat) => Promise<Uint8Array>;
}

export interface FakeMaker extends CellMaker {
  readonly tally: {
    made: number;
    released: number;
    twice: number;
    opened: number;
    closed: number;
  };
}

export function pixel(index: number, image: number, at: number): number {
  return (index * 31 + image * 101 + at * 7 + (at >>> 8)) & 0xff;
}

export function createFake(options: FakeOptions = {}): FakeMaker {
  const {
    batch = 8,
    cell: size = 4,
    side = 6,
    images = 2,
    steps = null,
    failing = [],
    partitions = 1,
    seed = 2 ** 53 - 1,
    near,
    fingerprint = "sha256:fake",
    counted = { version: 1, image: null, shards: [{ name: "a.tar", size: 10, rows: 100 }] },
  } = options;
  const tally = { made: 0, released: 0, twice: 0, opened: 0, closed: 0 };
  let shared: SharedArrayBuffer | undefined;

  const counts = (): CountsFile => (typeof counted === "function" ? counted() : counted);

  const info = (): StreamInfo => ({
    version: 1,
    fingerprint,
    seed,
    batch,
    partitions,
    identity: {},
    entries: [
      {
        name: "rotation",
        task: "rotation",
        weight: 1,
        options: { angles: [0, 90, 180, 270], factor: 1.5 },
        images,
      },
    ],
    shards: typeof counted === "function" ? 1 : counted.shards.length,
    samples: 100,
    counted: true,
    steps,
    skipped: { "not an image": 2 },
  });

  const makePuzzle = (
    step: number,
    slot: number,
    format: ImageFormat,
    memory: SharedArrayBuffer,
    at: number,
  ): Puzzle => {
    const index = step * batch + slot;
    const bytes = side * side * 3;
    return {
      slot,
      index,
      entry: "rotation",
      task: "rotation",
      prompt: [
        { type: "text", text: "Image 1: " },
        { type: "image" },
        { type: "text", text: `\nHow far is it turned (“${index}”, 90°)? \u{1f4d0}` },
        { type: "image" },
      ],
      images: Array.from({ length: images }, (_, image) => {
        const data = new Uint8Array(memory, at + image * bytes, bytes);
        if (options.reuse !== true)
          for (let i = 0; i < bytes; i++) data[i] = pixel(index, image, i);
        return { width: side, height: side, format, data };
      }),
      answer: String((index % 4) * 90),
      recipe: {
        shard: "a.tar",
        row: index,
        drawn: [1, 2.5, null, true],
        nested: { seed: 2 ** 40 + index },
      },
    };
  };

  const makeCell = (
    request: StepRequest,
    ordinal: number,
    slots: readonly number[],
    last: boolean,
    format: ImageFormat,
  ): Cell => {
    const { step } = request;
    const bytes = side * side * 3 * images;
    const padding = 5;
    if (options.reuse === true) shared ??= new SharedArrayBuffer(padding + size * bytes);
    const memory = shared ?? new SharedArrayBuffer(padding + size * bytes);
    const good = slots.filter((slot) => !failing.includes(slot));
    const failed = slots
      .filter((slot) => failing.includes(slot))
      .map((slot): FailedSlot => {
        const error = { code: "SLOT_FAILED", message: "shard a.tar, key 000007: not an image" };
        return { slot, index: step * batch + slot, entry: "rotation", task: "rotation", error };
      });
    let released = false;
    tally.made++;
    return {
      step,
      cell: ordinal,
      puzzles: good.map((slot, i) => makePuzzle(step, slot, format, memory, padding + i * bytes)),
      failed,
      last,
      release() {
        if (released) {
          tally.twice++;
          return;
        }
        released = true;
        tally.released++;
        // Whoever still reads these pixels after the release sees it.
        if (options.reuse !== true) new Uint8Array(memory).fill(0xee);
      },
    };
  };

  return {
    tally,
    near,
    info,
    counts,
    async *cells(requests, { format = "raw", signal } = {}) {
      tally.opened++;
      try {
        for (const request of requests) {
          const slots = (
            request.slots ?? Array.from({ length: batch }, (_, slot) => slot)
          ).toSorted((a, b) => a - b);
          const groups = Map.groupBy(slots, (slot) => Math.floor(slot / size));
          let left = groups.size;
          for (const [ordinal, group] of groups) {
            await options.before?.(request.step, ordinal, signal);
            signal?.throwIfAborted();
            left--;
            const made = makeCell(request, ordinal, group, left === 0, format);
            yield options.encode === undefined || format === "raw"
              ? made
              : await encoded(made, options.encode);
          }
        }
      } finally {
        await options.after?.();
        tally.closed++;
      }
    },
  };
}

async function encoded(cell: Cell, encode: NonNullable<FakeOptions["encode"]>): Promise<Cell> {
  const puzzles = await Promise.all(
    cell.puzzles.map(async (puzzle) => {
      const images = puzzle.images.map(async (image) => {
        return { ...image, data: await encode(image.data, image.width, image.format) };
      });
      return { ...puzzle, images: await Promise.all(images) };
    }),
  );
  return { ...cell, puzzles };
}
