import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type * as Turbo from "@julusian/jpeg-turbo";
import { createArena, createMemory } from "../../src/images/arena.ts";
import { createDraw } from "../../src/images/draw.ts";
import type { Picture } from "../../src/images/picture.ts";
import { derive } from "../../src/random/random.ts";
import type { Made, MakeContext, Sizes, Task } from "../../src/tasks/task.ts";

// CommonJS whose exports Node can't see without running it.
const { FORMAT_RGB, SAMP_420, compressSync, decompressSync } = createRequire(import.meta.url)(
  "@julusian/jpeg-turbo",
) as typeof Turbo;

/** H x W x 3 bytes of RGB outside of any arena. */
export interface Photo {
  readonly name: string;
  /** Crops of one photograph share it. */
  readonly group: string;
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

export const sizes28: Sizes = { factor: 28, minPixels: 3_136, maxPixels: 401_408, fit: "crop" };
export const sizes32: Sizes = { factor: 32, minPixels: 65_536, maxPixels: 401_408, fit: "crop" };

function decodePhoto(name: string, jpeg: Uint8Array, group: string = name): Photo {
  const { data, width, height } = decompressSync(Buffer.from(jpeg), { format: FORMAT_RGB });
  return { name, group, width, height, data: new Uint8Array(data.subarray(0, width * height * 3)) };
}

/** Regular files of a plain ustar archive; an oracle beside src/shards, and no more than the sample shards need. */
function untar(archive: Uint8Array): { name: string; data: Uint8Array }[] {
  const text = (from: number, length: number): string =>
    Buffer.from(archive.subarray(from, from + length))
      .toString("latin1")
      .replace(/\0.*$/s, "");
  const files: { name: string; data: Uint8Array }[] = [];
  for (let at = 0; at + 512 <= archive.length && archive[at] !== 0;) {
    const size = Number.parseInt(text(at + 124, 12).trim(), 8);
    const kind = text(at + 156, 1);
    if (kind === "0" || kind === "")
      files.push({ name: text(at, 100), data: archive.subarray(at + 512, at + 512 + size) });
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

/** The JPEG photos of the sample shards, in order of shard and member. */
export function samplePhotos(limit: number = Infinity): readonly Photo[] {
  const folder = new URL("../../shards/", import.meta.url);
  const photos: Photo[] = [];
  for (const shard of readdirSync(folder)
    .filter((name) => name.endsWith(".tar"))
    .toSorted()) {
    const files = untar(readFileSync(new URL(shard, folder)));
    const groups = new Map<string, string>();
    for (const { name, data } of files) {
      if (name.endsWith(".json"))
        groups.set(name.slice(0, -5), JSON.parse(Buffer.from(data).toString()).group);
    }
    for (const { name, data } of files) {
      if (photos.length >= limit) return photos;
      const key = /^(.*)\.jpe?g$/i.exec(name)?.[1];
      if (key !== undefined) photos.push(decodePhoto(`${shard}/${key}`, data, groups.get(key)));
    }
  }
  return photos;
}

/**
 * A photo-like texture: soft colour gradients, a few hard-edged discs and bars, grain. Cheap, all different, and none of it symmetric under turns.
 */
export function syntheticPhoto(seed: number, width: number = 300, height: number = 280): Photo {
  const random = derive(seed, "synthetic");
  const data = new Uint8Array(width * height * 3);
  const tone = (): [number, number, number] => [
    random.below(256),
    random.below(256),
    random.below(256),
  ];
  const corners = [tone(), tone(), tone(), tone()] as const;
  const shapes = Array.from({ length: 14 }, () => ({
    x: random.below(width),
    y: random.below(height),
    rx: random.between(6, 60),
    ry: random.between(6, 60),
    disc: random.chance(0.5),
    tone: tone(),
  }));
  const grain = random.between(1, 24);
  let noise = random.uint32() | 1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const u = x / width;
      const v = y / height;
      const shape = shapes.findLast(({ x: sx, y: sy, rx, ry, disc }) => {
        const dx = Math.abs(x - sx) / rx;
        const dy = Math.abs(y - sy) / ry;
        return disc ? dx * dx + dy * dy <= 1 : dx <= 1 && dy <= 1;
      });
      noise = (Math.imul(noise, 1_664_525) + 1_013_904_223) | 0;
      const speck = ((noise >>> 16) % (2 * grain + 1)) - grain;
      for (let c = 0; c < 3; c++) {
        const top = corners[0][c]! * (1 - u) + corners[1][c]! * u;
        const bottom = corners[2][c]! * (1 - u) + corners[3][c]! * u;
        const soft = shape === undefined ? top * (1 - v) + bottom * v : shape.tone[c]!;
        data[(y * width + x) * 3 + c] = Math.max(0, Math.min(255, soft + speck));
      }
    }
  }
  return { name: `synthetic-${seed}`, group: `synthetic-${seed}`, width, height, data };
}

/**
 * Soft-edged discs and grain, through JPEG at quality 75: no direction is special but that of the JPEG blocks and the pixels, so whatever tells turns
 * apart comes from how the images are made, not from what they show.
 */
export function isotropicPhoto(seed: number, width: number, height: number): Photo {
  const random = derive(seed, "isotropic");
  const pixels = new Float64Array(width * height * 3).fill(128);
  for (let disc = 0; disc < (width * height) / 700; disc++) {
    const [x, y, radius] = [random.below(width), random.below(height), random.between(3, 50)];
    const tone = [random.below(256), random.below(256), random.below(256)];
    for (let row = Math.max(0, y - radius - 1); row < Math.min(height, y + radius + 2); row++) {
      for (
        let column = Math.max(0, x - radius - 1);
        column < Math.min(width, x + radius + 2);
        column++
      ) {
        const inside = Math.min(
          1,
          Math.max(0, radius + 0.5 - Math.sqrt((column - x) ** 2 + (row - y) ** 2)),
        );
        const at = (row * width + column) * 3;
        for (let c = 0; c < 3; c++)
          pixels[at + c] = pixels[at + c]! * (1 - inside) + tone[c]! * inside;
      }
    }
  }
  const grain = random.between(0, 16);
  const data = Buffer.alloc(pixels.length);
  for (let at = 0; at < data.length; at += 3) {
    const speck = random.between(-grain, grain);
    for (let c = 0; c < 3; c++) data[at + c] = Math.max(0, Math.min(255, pixels[at + c]! + speck));
  }
  const jpeg = compressSync(data, {
    format: FORMAT_RGB,
    width,
    height,
    subsampling: SAMP_420,
    quality: 75,
  });
  return decodePhoto(`isotropic-${seed}`, jpeg);
}

/** A box of a photo as a photo of its own. */
export function cutPhoto(photo: Photo, x: number, y: number, width: number, height: number): Photo {
  const data = new Uint8Array(width * height * 3);
  for (let row = 0; row < height; row++) {
    const from = ((y + row) * photo.width + x) * 3;
    data.set(photo.data.subarray(from, from + width * 3), row * width * 3);
  }
  return { name: photo.name, group: photo.group, width, height, data };
}

/** One gray level all over. */
export function flatPhoto(width: number, height: number, level: number = 128): Photo {
  return paintedPhoto("flat", width, height, () => [level, level, level]);
}

/** A photo drawn by a formula: red, green, blue (0 .. 255) at the pixel centre (x, y). */
export function paintedPhoto(
  name: string,
  width: number,
  height: number,
  paint: (x: number, y: number) => readonly [number, number, number],
): Photo {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) data.set(paint(x + 0.5, y + 0.5), (y * width + x) * 3);
  return { name, group: name, width, height, data };
}

export interface MakeRequest {
  readonly seed?: number;
  readonly index?: number;
  readonly sizes?: Sizes;
  /** Photos of other groups, in the order in which they are offered. */
  readonly others?: readonly Photo[];
}

export interface Outcome {
  readonly rejects: { readonly [reason: string]: number };
  readonly unusable?: string;
  /** Both absent where unusable. */
  readonly made?: Made;
  readonly images?: readonly Photo[];
}

export interface Harness {
  /** Runs a task's make as a worker does: same arena discipline, a fresh generator for every purpose. */
  make<Options extends object>(
    task: Task<Options>,
    options: Options,
    photo: Photo,
    request?: MakeRequest,
  ): Promise<Outcome>;
  /** A context for the helpers of tasks; shown images are returned by `shown`. */
  context(
    photo: Photo,
    request?: MakeRequest,
  ): { context: MakeContext; shown: Picture[]; rejects: { [reason: string]: number } };
  /** The pixels of a picture of this harness, copied out. */
  read(picture: Picture, name?: string): Photo;
  /** Puts a photo into the harness's memory; the same photo gives the same picture, until 512 MiB of photos push it out. */
  load(photo: Photo): Picture;
}

const MEGABYTE = 1 << 20;

/** Loaded photos, scratch and shown images live in three ranges of one memory, so that releasing scratch can't touch the other two. */
export function createHarness(): Harness {
  const memory = createMemory();
  const scratch = createArena(memory, MEGABYTE, 192 * MEGABYTE);
  const results = createArena(memory, 192 * MEGABYTE, 256 * MEGABYTE);
  const photos = createArena(memory, 256 * MEGABYTE, 1024 * MEGABYTE);
  const draw = createDraw(scratch);
  const start = { scratch: scratch.mark(), results: results.mark(), photos: photos.mark() };
  const loaded = new Map<Photo, Picture>();

  function load(photo: Photo): Picture {
    const known = loaded.get(photo);
    if (known !== undefined) return known;
    const picture = photos.picture(photo.width, photo.height);
    photos.bytes(picture.at, photo.data.length).set(photo.data);
    loaded.set(photo, picture);
    return picture;
  }

  function context(photo: Photo, request: MakeRequest = {}): ReturnType<Harness["context"]> {
    scratch.release(start.scratch);
    results.release(start.results);
    if (photos.mark() - start.photos > 512 * MEGABYTE) {
      photos.release(start.photos);
      loaded.clear();
    }
    const shown: Picture[] = [];
    const rejects: { [reason: string]: number } = {};
    const purposes = new Set<string>();
    return {
      shown,
      rejects,
      context: {
        image: load(photo),
        draw,
        arena: scratch,
        sizes: request.sizes ?? sizes28,
        random(purpose) {
          // The same purpose again is the same numbers again, and what they draw is no longer independent.
          if (purposes.has(purpose)) throw new Error(`${purpose} is drawn for twice`);
          purposes.add(purpose);
          return derive(request.seed ?? 1, "puzzle", request.index ?? 0, 0, purpose);
        },
        show(width, height) {
          const picture = results.picture(width, height);
          shown.push(picture);
          return picture;
        },
        // oxlint-disable-next-line require-await
        async others(count, accepts) {
          const found = [];
          for (const other of request.others ?? []) {
            if (found.length === count) break;
            const picture = load(other);
            if (accepts(picture, found.length))
              found.push({ picture, key: other.name, shard: "harness" });
          }
          return found.length === count ? found : undefined;
        },
        reject(reason) {
          rejects[reason] = (rejects[reason] ?? 0) + 1;
        },
      },
    };
  }

  const read: Harness["read"] = ({ at, width, height }, name = "") => ({
    name,
    group: name,
    width,
    height,
    data: new Uint8Array(results.bytes(at, width * height * 3)),
  });

  return {
    load,
    context,
    read,
    async make(task, options, photo, request = {}) {
      const { context: given, shown, rejects } = context(photo, request);
      const made = await task.make(given, options);
      if ("unusable" in made) {
        // A reason is a key of metrics: numbers belong into the detail.
        if (/\d x \d|\d{3}/.test(made.unusable)) throw new Error(`sizes in: ${made.unusable}`);
        const detail = made.detail === undefined ? "" : `: ${made.detail}`;
        return { rejects, unusable: made.unusable + detail };
      }
      if (made.labels.length !== shown.length)
        throw new Error(
          `${task.name} shows ${shown.length} images under ${made.labels.length} labels`,
        );
      return { rejects, made, images: shown.map((picture, i) => read(picture, made.labels[i])) };
    },
  };
}
