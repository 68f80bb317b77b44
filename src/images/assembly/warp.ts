import { fillPixels } from "./block";
import { dropFourth, storeFour } from "./vector";

/** One pixel and its right neighbour, and the two below, weighed: top and bottom hold two 14-bit weights each, the right one in the high half. */
function sample(at: usize, stride: i32, top: v128, bottom: v128): v128 {
  const pairs = i8x16(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
  const above = i32x4.dot_i16x8_s(i8x16.swizzle(v128.load64_zero(at), pairs), top);
  const below = i32x4.dot_i16x8_s(i8x16.swizzle(v128.load64_zero(at + stride), pairs), bottom);
  return i32x4.shr_s(i32x4.add(i32x4.add(above, below), i32x4.splat(8192)), 14);
}

/** `count` (a multiple of 4) pixels whose four neighbours all lie inside. u, v are 16.16 indices, rounded for a truncation to 7 bits of fraction. */
function warpInside(
  src: usize,
  stride: i32,
  to: usize,
  count: i32,
  u: i32,
  v: i32,
  du: i32,
  dv: i32,
): void {
  let us = i32x4(u, u + du, u + 2 * du, u + 3 * du);
  let vs = i32x4(v, v + dv, v + 2 * dv, v + 3 * dv);
  const us4 = i32x4.splat(du * 4);
  const vs4 = i32x4.splat(dv * 4);
  const strides = i32x4.splat(stride);
  const mask = i32x4.splat(127);
  const one = i32x4.splat(128);
  for (; count > 0; count -= 4) {
    const right = v128.and(i32x4.shr_s(us, 9), mask);
    const down = v128.and(i32x4.shr_s(vs, 9), mask);
    const across = v128.or(i32x4.sub(one, right), i32x4.shl(right, 16));
    // two products in one: neither half reaches 2^16
    const top = i32x4.mul(across, i32x4.sub(one, down));
    const bottom = i32x4.mul(across, down);
    const column = i32x4.shr_s(us, 16);
    const offset = i32x4.add(
      i32x4.mul(i32x4.shr_s(vs, 16), strides),
      i32x4.add(column, i32x4.shl(column, 1)),
    );
    const first = sample(
      src + i32x4.extract_lane(offset, 0),
      stride,
      i8x16.shuffle(top, top, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3),
      i8x16.shuffle(bottom, bottom, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3),
    );
    const second = sample(
      src + i32x4.extract_lane(offset, 1),
      stride,
      i8x16.shuffle(top, top, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7),
      i8x16.shuffle(bottom, bottom, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7),
    );
    const third = sample(
      src + i32x4.extract_lane(offset, 2),
      stride,
      i8x16.shuffle(top, top, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11),
      i8x16.shuffle(bottom, bottom, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11),
    );
    const fourth = sample(
      src + i32x4.extract_lane(offset, 3),
      stride,
      i8x16.shuffle(top, top, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15),
      i8x16.shuffle(bottom, bottom, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15),
    );
    const rgb0 = i8x16.narrow_i16x8_u(
      i16x8.narrow_i32x4_s(first, second),
      i16x8.narrow_i32x4_s(third, fourth),
    );
    storeFour(to, dropFourth(rgb0));
    to += 12;
    us = i32x4.add(us, us4);
    vs = i32x4.add(vs, vs4);
  }
}

/** A channel of the pixel at (x, y), or of the fill colour outside. */
function channelAt(
  src: usize,
  width: i32,
  height: i32,
  x: i32,
  y: i32,
  channel: i32,
  rgb: i32,
): i32 {
  if (<u32>x >= <u32>width || <u32>y >= <u32>height) return (rgb >> (channel * 8)) & 255;
  return <i32>load<u8>(src + <usize>((y * width + x) * 3 + channel));
}

/** The same arithmetic with a test at each neighbour: the pixels along the edge, and the odd ones of a row. */
function warpEdge(
  src: usize,
  width: i32,
  height: i32,
  to: usize,
  count: i32,
  u: i32,
  v: i32,
  du: i32,
  dv: i32,
  rgb: i32,
): void {
  for (; count > 0; count--) {
    const x = u >> 16;
    const y = v >> 16;
    const right = (u >> 9) & 127;
    const down = (v >> 9) & 127;
    for (let channel = 0; channel < 3; channel++) {
      const sum =
        (channelAt(src, width, height, x, y, channel, rgb) * (128 - right) +
          channelAt(src, width, height, x + 1, y, channel, rgb) * right) *
          (128 - down) +
        (channelAt(src, width, height, x, y + 1, channel, rgb) * (128 - right) +
          channelAt(src, width, height, x + 1, y + 1, channel, rgb) * right) *
          down;
      store<u8>(to + channel, (sum + 8192) >> 14);
    }
    to += 3;
    u += du;
    v += dv;
  }
}

function floorDivide(a: i64, b: i64): i64 {
  const quotient = a / b;
  return quotient * b > a ? quotient - 1 : quotient;
}

/** The stretch of x that clip() narrows. */
let from: i64 = 0;
let to: i64 = 0;

/** Keeps the x with 0 <= start + step * x < limit. */
function clip(start: i64, step: i64, limit: i64): void {
  if (step == 0) {
    if (start < 0 || start >= limit) to = from;
    return;
  }
  let low: i64;
  let high: i64;
  if (step > 0) {
    low = -floorDivide(start, step);
    high = -floorDivide(start - limit, step);
  } else {
    low = floorDivide(start - limit, -step) + 1;
    high = floorDivide(start, -step) + 1;
  }
  // an empty stretch stays between the old ends
  from = min(max(low, from), to);
  to = max(min(high, to), from);
}

/**
 * For destination pixel (x, y) the source index is (a x + b y + c, d x + e y + f) / 65536, in whole numbers of at most 2^52 each. Each row is a
 * stretch of fill, one of edge, one with all neighbours inside, and again edge and fill. 64-bit where a row starts and ends; between
 * these ends every index fits 32 bits.
 */
export function warp(
  src: usize,
  srcWidth: i32,
  srcHeight: i32,
  dst: usize,
  width: i32,
  height: i32,
  a: f64,
  b: f64,
  c: f64,
  d: f64,
  e: f64,
  f: f64,
  rgb: i32,
): void {
  const stride = srcWidth * 3;
  const du = <i64>a;
  const dv = <i64>d;
  // half of 1/128: the fraction is rounded, not cut
  let u = <i64>c + 256;
  let v = <i64>f + 256;
  for (let y = 0; y < height; y++) {
    from = 0;
    to = width;
    clip(u + 65536, du, (<i64>(srcWidth + 1)) << 16);
    clip(v + 65536, dv, (<i64>(srcHeight + 1)) << 16);
    const touched = <i32>from;
    const left = <i32>to;
    clip(u, du, (<i64>(srcWidth - 1)) << 16);
    clip(v, dv, (<i64>(srcHeight - 1)) << 16);
    const inside = <i32>from;
    const four = (<i32>to - inside) & ~3;
    const beyond = inside + four;
    fillPixels(dst, touched, rgb);
    warpEdge(
      src,
      srcWidth,
      srcHeight,
      dst + touched * 3,
      inside - touched,
      <i32>(u + du * touched),
      <i32>(v + dv * touched),
      <i32>du,
      <i32>dv,
      rgb,
    );
    warpInside(
      src,
      stride,
      dst + inside * 3,
      four,
      <i32>(u + du * inside),
      <i32>(v + dv * inside),
      <i32>du,
      <i32>dv,
    );
    warpEdge(
      src,
      srcWidth,
      srcHeight,
      dst + beyond * 3,
      left - beyond,
      <i32>(u + du * beyond),
      <i32>(v + dv * beyond),
      <i32>du,
      <i32>dv,
      rgb,
    );
    fillPixels(dst + left * 3, width - left, rgb);
    dst += width * 3;
    u += <i64>b;
    v += <i64>e;
  }
}
