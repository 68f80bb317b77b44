import { decodeJpeg, jpegHeader } from "./jpeg.ts";
import type { Arena, Draw, Picture } from "./picture.ts";
import { loadSharp } from "./sharp.ts";

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
    arena.release(mark);
    if (error instanceof RangeError) throw error; // the worker's memory is full: not the image's fault
    return refusal(error, limits);
  }
}

/** The colour spaces that reach 8-bit RGB by integers alone: CIE Lab and the like go through floating point, which differs between CPUs. */
const spaces: ReadonlySet<string | undefined> = new Set(["srgb", "rgb16", "b-w", "grey16", "cmyk"]);

async function decodeOther(
  bytes: Uint8Array,
  arena: Arena,
  draw: Draw,
  limits: DecodeLimits,
): Promise<Picture | Undecodable> {
  if (!isImage(bytes)) {
    const detail =
      bytes.length === 0 ? "an empty file" : "not a JPEG, PNG, WebP, GIF, TIFF or AVIF";
    return { reason: "unreadable", detail };
  }
  const input = Buffer.from(bytes); // a copy: sharp reads it in another thread
  const sharp = await loadSharp();
  const image = sharp(input, {
    ignoreIcc: true,
    failOn: "warning",
    limitInputPixels: limits.maxInputPixels,
  });
  const { width, height, orientation = 1, space, depth } = await image.metadata();
  const tooMany = checkSize(width, height, limits);
  if (tooMany) return tooMany;
  if (!spaces.has(space) || (depth !== "uchar" && depth !== "ushort"))
    return { reason: "unreadable", detail: `colour space ${space}, ${depth}` };
  if (space === "cmyk") image.pipelineColourspace("cmyk").toColourspace("cmyk");
  const { data, info } = await image.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
  if (info.channels > 4 && space !== "cmyk")
    return { reason: "unreadable", detail: `${info.channels} channels` };
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
  if (width < 1 || height < 1) return { reason: "unreadable", detail: "no width or no height" };
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

/** EXIF orientation to upright: turns first, then mirrors. The result lies where `stored`, the last thing in the arena, lay. */
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
    const { width, height, at } = picture;
    const bytes = width * height * 3;
    arena.bytes(stored.at, at - stored.at + bytes).copyWithin(0, at - stored.at);
    arena.release(stored.at);
    picture = arena.picture(width, height);
  }
  if (mirrored) draw.flip(picture);
  return picture;
}

/** The formats that are let through to libvips, by their first bytes: it would draw an SVG as well, with whatever fonts and files it names. */
function isImage(bytes: Uint8Array): boolean {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, 12));
  const text = head.toString("latin1");
  return (
    text.startsWith("\xff\xd8") ||
    text.startsWith("\x89PNG\r\n\x1a\n") ||
    text.startsWith("GIF8") ||
    /^RIFF.{4}WEBP/s.test(text) ||
    /^(II[*+]\0|MM\0[*+])/.test(text) ||
    /^.{4}ftyp(avi[fs]|mif1|msf1)/s.test(text)
  );
}

function refusal(error: unknown, limits: DecodeLimits): Undecodable {
  const text = (error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ").trim();
  if (text.includes("exceeds pixel limit"))
    return { reason: "too-many-pixels", detail: `more than ${limits.maxInputPixels} pixels` };
  return { reason: "unreadable", detail: text.replace(/:$/, "").slice(0, 200) };
}
