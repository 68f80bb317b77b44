import {
  blueLanes,
  clampLanes,
  greenLanes,
  joinLanes,
  lumaLanes,
  redLanes,
  storeFirst,
  storeFour,
} from "./vector";

function scaleShiftLanes(lanes: v128, factor: v128, offset: v128): v128 {
  return i32x4.shr_s(i32x4.add(i32x4.mul(lanes, factor), offset), 16);
}

function scaleShiftBytes(bytes: v128, factor: v128, offset: v128): v128 {
  const low = i16x8.extend_low_i8x16_u(bytes);
  const high = i16x8.extend_high_i8x16_u(bytes);
  return i8x16.narrow_i16x8_u(
    i16x8.narrow_i32x4_s(
      scaleShiftLanes(i32x4.extend_low_i16x8_u(low), factor, offset),
      scaleShiftLanes(i32x4.extend_high_i16x8_u(low), factor, offset),
    ),
    i16x8.narrow_i32x4_s(
      scaleShiftLanes(i32x4.extend_low_i16x8_u(high), factor, offset),
      scaleShiftLanes(i32x4.extend_high_i16x8_u(high), factor, offset),
    ),
  );
}

/** Every byte v becomes floor((v * factor + offset) / 65536), clamped: brightness, and contrast about a mean. */
export function scaleShift(at: usize, bytes: i32, factor: i32, offset: i32): void {
  const factors = i32x4.splat(factor);
  const offsets = i32x4.splat(offset);
  const end = at + bytes;
  for (; at + 16 <= end; at += 16) v128.store(at, scaleShiftBytes(v128.load(at), factors, offsets));
  if (at < end) storeFirst(at, scaleShiftBytes(v128.load(at), factors, offsets), <i32>(end - at));
}

function blendLanes(channel: v128, luma: v128, factor: v128, slack: v128): v128 {
  const part = i32x4.shr_s(i32x4.add(i32x4.mul(i32x4.sub(channel, luma), factor), slack), 16);
  return clampLanes(i32x4.add(luma, part));
}

function saturateFour(pixels: v128, factor: v128, slack: v128): v128 {
  const luma = lumaLanes(pixels);
  return joinLanes(
    blendLanes(redLanes(pixels), luma, factor, slack),
    blendLanes(greenLanes(pixels), luma, factor, slack),
    blendLanes(blueLanes(pixels), luma, factor, slack),
  );
}

/** Every channel v of luma l becomes l + floor(((v - l) * factor + slack) / 65536), clamped. */
export function saturate(at: usize, pixels: i32, factor: i32, slack: i32): void {
  const factors = i32x4.splat(factor);
  const slacks = i32x4.splat(slack);
  const end = at + <usize>(pixels * 3);
  for (; at + 12 <= end; at += 12) storeFour(at, saturateFour(v128.load(at), factors, slacks));
  if (at < end) storeFirst(at, saturateFour(v128.load(at), factors, slacks), <i32>(end - at));
}

/** min + round(clamp(weight, 0, full) / 65536), where full is the chroma. */
function hueChannel(weight: v128, full: v128, minimum: v128): v128 {
  const inside = i32x4.min_s(i32x4.max_s(weight, i32x4.splat(0)), full);
  return i32x4.add(minimum, i32x4.shr_s(i32x4.add(inside, i32x4.splat(32768)), 16));
}

/**
 * The hue of HSV in sixths of a turn, multiplied by the chroma, is a difference of two channels plus a multiple of the chroma: no division is
 * needed, neither there nor back. `full` is the chroma * 65536; hue runs from 0 to 6 * full.
 */
function turnHueFour(pixels: v128, shift: v128): v128 {
  const red = redLanes(pixels);
  const green = greenLanes(pixels);
  const blue = blueLanes(pixels);
  const maximum = i32x4.max_s(i32x4.max_s(red, green), blue);
  const minimum = i32x4.min_s(i32x4.min_s(red, green), blue);
  const chroma = i32x4.sub(maximum, minimum);
  const isRed = i32x4.eq(maximum, red);
  const isGreen = i32x4.eq(maximum, green);
  const sector = v128.andnot(
    v128.bitselect(i32x4.splat(2 << 16), i32x4.splat(4 << 16), isGreen),
    isRed,
  );
  const difference = v128.bitselect(
    i32x4.sub(green, blue),
    v128.bitselect(i32x4.sub(blue, red), i32x4.sub(red, green), isGreen),
    isRed,
  );
  const full = i32x4.shl(chroma, 16);
  const full2 = i32x4.shl(chroma, 17);
  const full4 = i32x4.shl(chroma, 18);
  const full6 = i32x4.add(full2, full4);
  // -full .. 11 full before the turns are taken off
  let hue = i32x4.add(i32x4.mul(i32x4.add(sector, shift), chroma), i32x4.shl(difference, 16));
  hue = i32x4.add(hue, v128.and(i32x4.lt_s(hue, i32x4.splat(0)), full6));
  hue = i32x4.sub(hue, v128.and(i32x4.ge_s(hue, full6), full6));
  return joinLanes(
    hueChannel(i32x4.sub(i32x4.abs(i32x4.sub(hue, i32x4.add(full, full2))), full), full, minimum),
    hueChannel(i32x4.sub(full2, i32x4.abs(i32x4.sub(hue, full2))), full, minimum),
    hueChannel(i32x4.sub(full2, i32x4.abs(i32x4.sub(hue, full4))), full, minimum),
  );
}

/** shift: 0 .. 6 * 65536 - 1, a whole turn being 6 * 65536. */
export function turnHue(at: usize, pixels: i32, shift: i32): void {
  const shifts = i32x4.splat(shift);
  const end = at + <usize>(pixels * 3);
  for (; at + 12 <= end; at += 12) storeFour(at, turnHueFour(v128.load(at), shifts));
  if (at < end) storeFirst(at, turnHueFour(v128.load(at), shifts), <i32>(end - at));
}

function grayFour(pixels: v128): v128 {
  return i8x16.swizzle(
    lumaLanes(pixels),
    i8x16(0, 0, 0, 4, 4, 4, 8, 8, 8, 12, 12, 12, -1, -1, -1, -1),
  );
}

export function gray(at: usize, pixels: i32): void {
  const end = at + <usize>(pixels * 3);
  for (; at + 12 <= end; at += 12) storeFour(at, grayFour(v128.load(at)));
  if (at < end) storeFirst(at, grayFour(v128.load(at)), <i32>(end - at));
}
