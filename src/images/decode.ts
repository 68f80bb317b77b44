import sharp from "sharp";
import { decodeJpeg, jpegHeader } from "./jpeg.ts";
import type { Arena, Draw, Picture } from "./picture.ts";

// One image at a time in each worker thread; a cache of libvips would only hold memory.
sharp.concurrency(1);
sharp.cache(false);

export interface DecodeLimits {
  /** Refused before any memory is taken. Pixels. */
  readonly maxInputPixels: number;
}

/** Why bytes are no image for us; `reason` is one of a few words to count by, `detail` is for a person. */
export interface Undecodable {
  readonly reason: "unreadable" | "too-many-pixels";
  readonly detail: string;
}

/**
 * Decodes to RGB, EXIF orientation applied, colour profile ignored, 16 bits cut to 8, alpha laid over white, first frame of an animation.
 * JPEG goes through libjpeg-turbo, everything else (and CMYK or 12-bit JPEG) through sharp. A function of the bytes and the limit alone.
 */
export async function decode(
  bytes: Uint8Array,
  arena: Arena,
  draw: Draw,
  limits: DecodeLimits,
): Promise<Picture | Undecodable> {
  const mark = arena.mark();
  try {
    const header = jpegHeader(bytes);
    if (header === undefined || header.components === 4 || header.precision !== 8)
      return await decodeOther(bytes, arena, draw, limits);
    const tooMany = checkSize(header.width, header.height, limits);
    if (tooMany) return tooMany;
    const stored = arena.picture(header.width, header.height);
    decodeJpeg(bytes, arena.bytes(stored.at, header.width * header.height * 3));
    return orient(stored, header.orientation, arena, draw);
  } catch (error) {
    if (error instanceof RangeError) throw error; // the worker's memory is full: not the image's fault
    arena.release(mark);
    return { reason: "unreadable", detail: firstLine(error) };
  }
}

async function decodeOther(
  bytes: Uint8Array,
  arena: Arena,
  draw: Draw,
  limits: DecodeLimits,
): Promise<Picture | Undecodable> {
  const input = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const image = sharp(input, {
    ignoreIcc: true,
    failOn: "warning",
    limitInputPixels: limits.maxInputPixels,
  });
  const { width, height, orientation = 1, space } = await image.metadata();
  const tooMany = checkSize(width, height, limits);
  if (tooMany) return tooMany;
  if (space === "cmyk") image.pipelineColourspace("cmyk").toColourspace("cmyk");
  const { data, info } = await image.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
  const picture = arena.picture(info.width, info.height);
  toRgb(
    data,
    info.channels,
    space === "cmyk",
    arena.bytes(picture.at, info.width * info.height * 3),
  );
  return orient(picture, orientation, arena, draw);
}

function checkSize(width: number, height: number, limits: DecodeLimits): Undecodable | undefined {
  if (width < 1 || height < 1) return { reason: "unreadable", detail: "an empty image" };
  if (width * height <= limits.maxInputPixels) return undefined;
  return {
    reason: "too-many-pixels",
    detail: `${width} x ${height} pixels, ${limits.maxInputPixels} allowed`,
  };
}

function toRgb(from: Uint8Array, channels: number, cmyk: boolean, to: Uint8Array): void {
  if (channels === 3) {
    to.set(from);
    return;
  }
  for (let p = 0, q = 0; q < to.length; p += channels, q += 3) {
    if (cmyk) {
      const light = 255 - from[p + 3]!;
      for (let c = 0; c < 3; c++)
        to[q + c] = Math.floor(((255 - from[p + c]!) * light + 127) / 255);
    } else {
      const colours = channels === 4 ? 3 : 1;
      const alpha = channels === 1 ? 255 : from[p + colours]!;
      for (let c = 0; c < 3; c++) {
        to[q + c] = Math.floor(
          (from[p + Math.min(c, colours - 1)]! * alpha + 255 * (255 - alpha) + 127) / 255,
        );
      }
    }
  }
}

/** EXIF orientation to upright: turns first, then mirrors. */
function orient(stored: Picture, orientation: number, arena: Arena, draw: Draw): Picture {
  const quarters = [0, 0, 0, 2, 2, 1, 1, 3, 3][orientation] ?? 0;
  const mirrored = orientation === 2 || orientation === 4 || orientation === 5 || orientation === 7;
  let picture = stored;
  if (quarters > 0) {
    picture =
      quarters === 2
        ? arena.picture(stored.width, stored.height)
        : arena.picture(stored.height, stored.width);
    draw.turn(stored, picture, quarters);
  }
  if (mirrored) draw.flip(picture);
  return picture;
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0]!.trim();
}
