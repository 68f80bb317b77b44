import { createRequire } from "node:module";
import type * as Turbo from "@julusian/jpeg-turbo";
import type { Picture } from "./picture.ts";

// libjpeg-turbo, the one place that knows the package. A CommonJS addon: require keeps it out of the ESM loader's way.
const turbo = createRequire(import.meta.url)("@julusian/jpeg-turbo") as typeof Turbo;

export interface JpegHeader {
  /** Pixels as stored, before the orientation is applied. */
  readonly width: number;
  readonly height: number;
  /** 1 gray, 3 colour, 4 CMYK. */
  readonly components: number;
  /** Bits per sample; 8 nearly always. */
  readonly precision: number;
  /** EXIF orientation, 1 .. 8. */
  readonly orientation: number;
}

/** Reads the markers up to the frame header; undefined where they make no sense (ITU-T T.81, annex B). */
export function jpegHeader(bytes: Uint8Array): JpegHeader | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4 || view.getUint16(0) !== 0xffd8) return undefined;
  let orientation = 1;
  for (let at = 2; at + 4 <= bytes.length;) {
    if (view.getUint8(at) !== 0xff) return undefined;
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) {
      at += 1; // fill byte
      continue;
    }
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7)) {
      at += 2; // no length
      continue;
    }
    if (marker === 0xd9 || marker === 0xda) return undefined; // image data before a frame header
    const length = view.getUint16(at + 2);
    const end = at + 2 + length;
    if (length < 2 || end > bytes.length) return undefined;
    const isFrame =
      marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
    if (isFrame) {
      if (length < 8) return undefined;
      return {
        precision: view.getUint8(at + 4),
        height: view.getUint16(at + 5),
        width: view.getUint16(at + 7),
        components: view.getUint8(at + 9),
        orientation,
      };
    }
    if (marker === 0xe1) orientation = exifOrientation(view, at + 4, end) ?? orientation;
    at = end;
  }
  return undefined;
}

/** Tag 0x0112 of the first image file directory (Exif 2.3, section 4.6.4), where it is there and sane. */
function exifOrientation(view: DataView, start: number, end: number): number | undefined {
  if (end - start < 14 || view.getUint32(start) !== 0x45786966 || view.getUint16(start + 4) !== 0)
    return undefined;
  const tiff = start + 6;
  const order = view.getUint16(tiff);
  if (order !== 0x4949 && order !== 0x4d4d) return undefined;
  const little = order === 0x4949;
  if (view.getUint16(tiff + 2, little) !== 42) return undefined;
  const directory = tiff + view.getUint32(tiff + 4, little);
  if (directory + 2 > end) return undefined;
  const count = view.getUint16(directory, little);
  for (let i = 0; i < count; i++) {
    const entry = directory + 2 + i * 12;
    if (entry + 12 > end) return undefined;
    if (view.getUint16(entry, little) !== 0x0112) continue;
    const value = view.getUint16(entry + 8, little);
    return value >= 1 && value <= 8 ? value : undefined;
  }
  return undefined;
}

/**
 * Decodes gray and colour JPEG to RGB into `target`, which must have exactly the bytes of the size that jpegHeader tells. Throws on damaged data, also
 * where it is only cut short.
 */
export function decodeJpeg(bytes: Uint8Array, target: Uint8Array): void {
  let size: number;
  try {
    ({ size } = turbo.decompressSync(asBuffer(bytes), asBuffer(target), {
      format: turbo.FORMAT_RGB,
    }));
  } catch (cause) {
    // The package asks for the text after it has freed the decoder, and mostly gets this.
    const text = cause instanceof Error ? cause.message : String(cause);
    const detail = text === "" || text === "No error" ? "damaged or cut short" : text;
    throw new Error(`JPEG: ${detail}`, { cause });
  }
  if (size !== target.length) throw new Error("JPEG: two frame headers that differ");
}

/** Bytes that encodeJpeg may need for an image of this size. */
export function jpegBound(width: number, height: number): number {
  return turbo.bufferSize({ width, height, subsampling: turbo.SAMP_444 });
}

/** Quality 95, 4:4:4. Returns how many bytes of `target` were used. */
export function encodeJpeg(pixels: Uint8Array, picture: Picture, target: Uint8Array): number {
  return turbo.compressSync(asBuffer(pixels), asBuffer(target), {
    format: turbo.FORMAT_RGB,
    width: picture.width,
    height: picture.height,
    quality: 95,
    subsampling: turbo.SAMP_444,
  }).length;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
