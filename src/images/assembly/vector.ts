// Pixels in vectors. "Four pixels" are RGBRGBRGBRGB in the first 12 bytes; "lanes" are four 32-bit numbers, one a pixel.
// A constant swizzle with negative indices (which give zero) is one instruction on x86 and ARM; a two-source shuffle is three.

export function redLanes(fourPixels: v128): v128 {
  return i8x16.swizzle(
    fourPixels,
    i8x16(0, -1, -1, -1, 3, -1, -1, -1, 6, -1, -1, -1, 9, -1, -1, -1),
  );
}

export function greenLanes(fourPixels: v128): v128 {
  return i8x16.swizzle(
    fourPixels,
    i8x16(1, -1, -1, -1, 4, -1, -1, -1, 7, -1, -1, -1, 10, -1, -1, -1),
  );
}

export function blueLanes(fourPixels: v128): v128 {
  return i8x16.swizzle(
    fourPixels,
    i8x16(2, -1, -1, -1, 5, -1, -1, -1, 8, -1, -1, -1, 11, -1, -1, -1),
  );
}

/**
 * ITU-R 601 luma of four pixels: (19595 R + 38470 G + 7471 B) >> 16, cut, as torchvision cuts it; gray stays itself.
 * 38470 does not fit a signed 16-bit weight, so each of the two products takes half of the green.
 */
export function lumaLanes(fourPixels: v128): v128 {
  const redGreen = i8x16.swizzle(
    fourPixels,
    i8x16(0, -1, 1, -1, 3, -1, 4, -1, 6, -1, 7, -1, 9, -1, 10, -1),
  );
  const blueGreen = i8x16.swizzle(
    fourPixels,
    i8x16(2, -1, 1, -1, 5, -1, 4, -1, 8, -1, 7, -1, 11, -1, 10, -1),
  );
  const sum = i32x4.add(
    i32x4.dot_i16x8_s(redGreen, i16x8(19595, 19235, 19595, 19235, 19595, 19235, 19595, 19235)),
    i32x4.dot_i16x8_s(blueGreen, i16x8(7471, 19235, 7471, 19235, 7471, 19235, 7471, 19235)),
  );
  return i32x4.shr_s(sum, 16);
}

export function clampLanes(lanes: v128): v128 {
  return i32x4.min_s(i32x4.max_s(lanes, i32x4.splat(0)), i32x4.splat(255));
}

/** Lanes of 0 .. 255 to four pixels. */
export function joinLanes(red: v128, green: v128, blue: v128): v128 {
  const rgb0 = v128.or(red, v128.or(i32x4.shl(green, 8), i32x4.shl(blue, 16)));
  return dropFourth(rgb0);
}

/** RGB0 RGB0 RGB0 RGB0 to four pixels. */
export function dropFourth(rgb0: v128): v128 {
  return i8x16.swizzle(rgb0, i8x16(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
}

export function storeFour(at: usize, fourPixels: v128): void {
  v128.store64_lane(at, fourPixels, 0);
  v128.store32_lane(at, fourPixels, 2, 8);
}

/** The first `bytes` (0 .. 15) bytes of a vector: what is left at the end of a row. */
export function storeFirst(at: usize, bytes: v128, count: i32): void {
  if (count & 8) {
    v128.store64_lane(at, bytes, 0);
    at += 8;
    bytes = i8x16.swizzle(
      bytes,
      i8x16(8, 9, 10, 11, 12, 13, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1),
    );
  }
  if (count & 4) {
    v128.store32_lane(at, bytes, 0);
    at += 4;
    bytes = i8x16.swizzle(bytes, i8x16(4, 5, 6, 7, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
  }
  if (count & 2) {
    v128.store16_lane(at, bytes, 0);
    at += 2;
    bytes = i8x16.swizzle(
      bytes,
      i8x16(2, 3, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1),
    );
  }
  if (count & 1) v128.store8_lane(at, bytes, 0);
}
