import { asStreamError } from "../errors.ts";
import { decode } from "../images/decode.ts";
import { encode } from "../images/encode.ts";
import type { Arena, Draw, Picture } from "../images/picture.ts";
import type { FailedSlot, ImageFormat } from "../model.ts";
import { negativeCandidates, substituteOffset } from "../plan/substitutes.ts";
import { derive } from "../random/random.ts";
import { renderPrompt } from "../tasks/prompt.ts";
import { taskByName } from "../tasks/registry.ts";
import type { Made, MakeContext, Other, Unusable } from "../tasks/task.ts";
import type {
  CellJob,
  CellResult,
  ImagePlace,
  PuzzleResult,
  RowData,
  Skip,
  SlotJob,
  WorkerSettings,
} from "./messages.ts";
import type { Slabs } from "./slabs.ts";

/** What making a cell needs of the thread it runs in. */
export interface Workshop {
  /** Decoded photos of the present cell. */
  readonly images: Arena;
  /** Work space of tasks and kernels. */
  readonly scratch: Arena;
  readonly draw: Draw;
  readonly slabs: Slabs;
  /** Another row of the window of a slot. */
  ask(slot: number, offset: number): Promise<RowData>;
  /** Throws CLOSED when nobody wants the cell any more. */
  checkOpen(): void;
}

/** A row whose image could be decoded. */
interface Photo {
  readonly row: RowData;
  readonly picture: Picture;
}

export type CellMade = Omit<CellResult, "memory" | "error">;

/**
 * Makes the wanted puzzles of a cell: a pure function of settings, job and the rows asked for. Each photo is decoded once, and strangers for one
 * puzzle come first from the photos of the others, so a cell needs no other cell.
 */
export async function makeCell(
  settings: WorkerSettings,
  job: CellJob,
  workshop: Workshop,
): Promise<CellMade> {
  const { images, scratch, slabs } = workshop;
  const known = new Map(job.rows.map((row) => [row.id, row]));
  const photos = new Map<string, Promise<Photo | undefined>>();
  const byOffset = new Map<string, Promise<RowData>>();
  const readable = new Map<number, Promise<Photo | undefined>>();
  const skips: Skip[] = [];
  const skipped = new Set<string>();
  const rejects: Record<string, number> = {};
  const milliseconds: Record<string, number> = {};
  let lap = performance.now();
  const count = (stage: string): void => {
    const now = performance.now();
    milliseconds[stage] = (milliseconds[stage] ?? 0) + now - lap;
    lap = now;
  };

  function skip(row: RowData, reason: string, detail: string): void {
    const name = `${row.id} ${reason}`;
    if (skipped.has(name)) return;
    skipped.add(name);
    skips.push({ shard: row.shard, key: row.key, reason, detail });
  }

  /** The row at an offset of the window of a slot; the main thread is asked once. */
  function rowAt(job: SlotJob, offset: number): Promise<RowData> {
    if (offset === job.offset) {
      const row = known.get(job.row);
      if (row) return Promise.resolve(row);
    }
    const name = `${job.slot} ${offset}`;
    let row = byOffset.get(name);
    if (!row) {
      row = workshop.ask(job.slot, offset).then((answer) => {
        const first = known.get(answer.id);
        if (!first) known.set(answer.id, answer);
        return first ?? answer;
      });
      byOffset.set(name, row);
    }
    return row;
  }

  function photoOf(row: RowData): Promise<Photo | undefined> {
    let photo = photos.get(row.id);
    if (!photo) {
      photo = decodeRow(row);
      photos.set(row.id, photo);
    }
    return photo;
  }

  async function decodeRow(row: RowData): Promise<Photo | undefined> {
    workshop.checkOpen();
    if (row.unusable !== undefined) {
      skip(row, "too-large", row.unusable);
      return undefined;
    }
    const before = performance.now();
    const picture = await decode(row.bytes, images, workshop.draw, settings);
    const spent = performance.now() - before;
    milliseconds["decode"] = (milliseconds["decode"] ?? 0) + spent;
    lap += spent;
    if ("reason" in picture) {
      skip(row, picture.reason, picture.detail);
      return undefined;
    }
    return { row, picture };
  }

  /** The photo of a slot as others see it: its first substitute that decodes, whatever its own task thinks of it. */
  function readableOf(slot: SlotJob): Promise<Photo | undefined> {
    let photo = readable.get(slot.slot);
    if (!photo) {
      photo = (async () => {
        for (let attempt = 0; ; attempt++) {
          const offset = substituteOffset(slot, attempt, settings.substitutes);
          if (offset === undefined) return undefined;
          const found = await photoOf(await rowAt(slot, offset));
          if (found) return found;
        }
      })();
      readable.set(slot.slot, photo);
    }
    return photo;
  }

  /** docs/determinism.md, "Strangers". */
  async function others(
    slot: SlotJob,
    attempt: number,
    reference: Photo,
    wanted: number,
    accepts: (picture: Picture, accepted: number) => boolean,
  ): Promise<readonly Other[] | undefined> {
    const taken: Photo[] = [];
    const cell = job.slots.filter((other) => other.slot !== slot.slot);
    const isStranger = (row: RowData): boolean =>
      ![reference, ...taken].some((one) => same(one.row, row));
    for (const candidate of negativeCandidates(settings.seed, slot, attempt, cell.length)) {
      if (taken.length === wanted) break;
      let photo: Photo | undefined;
      const before = images.mark();
      let fresh = false;
      if (candidate.from === "cell") photo = await readableOf(cell[candidate.other]!);
      else {
        const row = await rowAt(slot, candidate.offset);
        if (!isStranger(row)) continue; // before it is decoded
        fresh = !photos.has(row.id);
        photo = await photoOf(row);
      }
      if (!photo || !isStranger(photo.row)) continue;
      const after = images.mark();
      if (accepts(photo.picture, taken.length)) taken.push(photo);
      else if (fresh && images.mark() === after) {
        // A window may hold thousands that are refused: they must not fill the memory.
        photos.delete(photo.row.id);
        images.release(before);
      }
    }
    if (taken.length < wanted) return undefined;
    return taken.map(({ row, picture }) => ({ picture, key: row.key, shard: row.shard }));
  }

  async function makeSlot(slot: SlotJob): Promise<PuzzleResult | FailedSlot | undefined> {
    const entry = settings.entries[slot.entry]!;
    const task = taskByName(entry.task);
    const identity = { slot: slot.slot, index: slot.index, entry: entry.name, task: entry.task };
    let last = "no row was tried";
    for (let attempt = 0; ; attempt++) {
      const offset = substituteOffset(slot, attempt, settings.substitutes);
      if (offset === undefined) {
        if (settings.substitutes === 0) return undefined;
        const message = `no usable image for slot ${slot.slot} of step ${job.step} after ${attempt} tries; last: ${last}`;
        return { ...identity, error: { code: "SLOT_FAILED", message } };
      }
      workshop.checkOpen();
      const row = await rowAt(slot, offset);
      const photo = await photoOf(row);
      if (!photo) {
        last = `${row.shard}: ${row.key}: ${skips.findLast((one) => one.key === row.key && one.shard === row.shard)?.detail}`;
        continue;
      }
      const shown: Picture[] = [];
      const slabMark = slabs.mark();
      const scratchMark = scratch.mark();
      const context: MakeContext = {
        image: photo.picture,
        draw: workshop.draw,
        arena: scratch,
        sizes: settings.sizes,
        random: (purpose) => derive(settings.seed, "puzzle", slot.index, attempt, purpose),
        show(width, height) {
          // Raw pixels are drawn where the socket will read them; what will be encoded is drawn beside the photos.
          const picture =
            job.format === "raw"
              ? { at: slabs.take(width * height * 3), width, height }
              : images.picture(width, height);
          shown.push(picture);
          return picture;
        },
        others: (wanted, accepts) => others(slot, attempt, photo, wanted, accepts),
        reject(reason) {
          const what = `${entry.task}: ${reason}`;
          rejects[what] = (rejects[what] ?? 0) + 1;
        },
      };
      lap = performance.now();
      const made: Made | Unusable = await task.make(context, entry.options);
      scratch.release(scratchMark);
      count(entry.task);
      if ("unusable" in made) {
        slabs.rewind(slabMark);
        const { unusable, detail } = made;
        const why = detail === undefined ? unusable : `${unusable}: ${detail}`;
        skip(row, `${entry.task}: ${unusable}`, why);
        last = `${row.shard}: ${row.key}: ${why}`;
        continue;
      }
      const places = await finish(shown, job.format);
      count("encode");
      return {
        ...identity,
        prompt: renderPrompt(entry.template, made, settings.suffix),
        answer: made.answer,
        recipe: { shard: row.shard, key: row.key, attempt, ...made.recipe },
        images: places,
      };
    }
  }

  /** What was decoded for other slots is decoded anew where it left no room for this one. */
  async function makeSlotAnyway(slot: SlotJob): ReturnType<typeof makeSlot> {
    const slabMark = slabs.mark();
    try {
      return await makeSlot(slot);
    } catch (error) {
      if (!(error instanceof RangeError) || photos.size === 0) throw error;
      slabs.rewind(slabMark);
      scratch.release(scratchMark);
      images.release(imagesMark);
      photos.clear();
      readable.clear();
      return await makeSlot(slot);
    }
  }

  async function finish(shown: readonly Picture[], format: ImageFormat): Promise<ImagePlace[]> {
    const places: ImagePlace[] = [];
    for (const picture of shown) {
      const { width, height } = picture;
      if (format === "raw")
        places.push({ width, height, at: picture.at, length: width * height * 3 });
      else places.push({ width, height, ...(await encode(picture, format, images, slabs)) });
    }
    return places;
  }

  const imagesMark = images.mark();
  const scratchMark = scratch.mark();
  const puzzles: PuzzleResult[] = [];
  const failed: FailedSlot[] = [];
  try {
    for (const slot of job.slots) {
      if (!slot.wanted) continue;
      const result = await makeSlotAnyway(slot);
      if (!result) continue;
      if ("error" in result) failed.push(result);
      else puzzles.push(result);
    }
    return { puzzles, failed, skips, rejects, milliseconds, slabs: slabs.finish() };
  } catch (error) {
    slabs.rewind(0);
    throw asStreamError(error, error instanceof RangeError ? "LIMIT" : "INTERNAL");
  } finally {
    images.release(imagesMark);
    scratch.release(scratchMark);
  }
}

function same(one: RowData, other: RowData): boolean {
  return (
    one.group === other.group ||
    (one.bytes.length === other.bytes.length && Buffer.compare(one.bytes, other.bytes) === 0)
  );
}
