import type { ImageFormat } from "../model.ts";
import { encodeJpeg, jpegBound } from "./jpeg.ts";
import type { Arena, Picture } from "./picture.ts";
import { loadSharp } from "./sharp.ts";

/** Where an encoded image went: byte offset and length in the worker's memory. */
export interface Encoded {
  readonly at: number;
  readonly length: number;
}

/** Memory for encoded bytes: `take` gives room for the most that may be needed, `trim` says how much of it was used. */
export interface Room {
  take(bytes: number): number;
  trim(at: number, used: number): void;
}

/** Encodes a picture of the arena's memory into a room of that same memory. */
export async function encode(
  picture: Picture,
  format: Exclude<ImageFormat, "raw">,
  arena: Arena,
  room: Room,
): Promise<Encoded> {
  const pixels = arena.bytes(picture.at, picture.width * picture.height * 3);
  if (format === "jpeg") {
    const most = jpegBound(picture.width, picture.height);
    const at = room.take(most);
    const length = encodeJpeg(pixels, picture, arena.bytes(at, most));
    room.trim(at, length);
    return { at, length };
  }
  const raw = { width: picture.width, height: picture.height, channels: 3 } as const;
  const sharp = await loadSharp();
  const png = await sharp(Buffer.from(pixels), { raw }).png({ compressionLevel: 3 }).toBuffer();
  const at = room.take(png.length);
  arena.bytes(at, png.length).set(png);
  return { at, length: png.length };
}
