/** What the first bytes of an encoded image say; nothing is decoded. */
export interface Sniffed {
  /** jpeg, png, gif, webp, avif, tiff or unknown. */
  readonly format: string;
  /** Pixels, as stored: EXIF orientation is not looked at. Absent where the header does not say it in a fixed place. */
  readonly width?: number;
  readonly height?: number;
}

/** By the signatures of the formats, never by name. Any bytes are fine; damaged ones give "unknown" or no size. */
export function sniff(bytes: Uint8Array): Sniffed {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (starts(bytes, 0, "\xff\xd8\xff")) return { format: "jpeg", ...jpegSize(view) };
  if (starts(bytes, 0, "\x89PNG\r\n\x1a\n"))
    return {
      format: "png",
      ...(bytes.length >= 24 && { width: view.getUint32(16), height: view.getUint32(20) }),
    };
  if (starts(bytes, 0, "GIF8"))
    return {
      format: "gif",
      ...(bytes.length >= 10 && {
        width: view.getUint16(6, true),
        height: view.getUint16(8, true),
      }),
    };
  if (starts(bytes, 0, "RIFF") && starts(bytes, 8, "WEBP"))
    return { format: "webp", ...webpSize(bytes, view) };
  if (starts(bytes, 4, "ftypavif") || starts(bytes, 4, "ftypavis")) return { format: "avif" };
  if (starts(bytes, 0, "II*\0") || starts(bytes, 0, "MM\0*")) return { format: "tiff" };
  return { format: "unknown" };
}

function starts(bytes: Uint8Array, at: number, text: string): boolean {
  if (bytes.length < at + text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text.charCodeAt(i)) return false;
  return true;
}

/** Of the first frame header: a segment SOF0 .. SOF15, but for the three codes in that range that mean other things (ITU-T T.81, table B.1). */
function jpegSize(view: DataView): { width: number; height: number } | undefined {
  let at = 2;
  while (at + 9 <= view.byteLength && view.getUint8(at) === 0xff) {
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) {
      at++;
      continue;
    }
    if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) {
      return { height: view.getUint16(at + 5), width: view.getUint16(at + 7) };
    }
    if (marker === 0xda || marker === 0xd9) return undefined;
    at += 2 + view.getUint16(at + 2);
  }
  return undefined;
}

/** VP8X, VP8L (RFC 9649) or the key frame header of VP8 (RFC 6386, 9.1). */
function webpSize(
  bytes: Uint8Array,
  view: DataView,
): { width: number; height: number } | undefined {
  if (bytes.length < 30) return undefined;
  if (starts(bytes, 12, "VP8X"))
    return { width: uint24(view, 24) + 1, height: uint24(view, 27) + 1 };
  if (starts(bytes, 12, "VP8L")) {
    const bits = view.getUint32(21, true);
    return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
  }
  if (starts(bytes, 12, "VP8 "))
    return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
  return undefined;
}

function uint24(view: DataView, at: number): number {
  return view.getUint16(at, true) + view.getUint8(at + 2) * 65_536;
}
