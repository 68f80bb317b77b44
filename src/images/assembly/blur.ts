import { storeFirst } from "./vector";

/** Eight outputs of a symmetric filter. weights[0] is the centre's, weights[k] that of both neighbours at distance k * step; radius is even. */
function filterEight(at: usize, step: i32, weights: usize, radius: i32): v128 {
  const middle = v128.load_ext<u8>(at);
  const centre = i32x4.splat(<i32>load<i16>(weights));
  const half = i32x4.splat(8192);
  let low = i32x4.add(i32x4.mul(i32x4.extend_low_i16x8_u(middle), centre), half);
  let high = i32x4.add(i32x4.mul(i32x4.extend_high_i16x8_u(middle), centre), half);
  let before = at - step;
  let after = at + step;
  for (let k = 1; k <= radius; k += 2) {
    const near = i16x8.add(v128.load_ext<u8>(before), v128.load_ext<u8>(after));
    const far = i16x8.add(v128.load_ext<u8>(before - step), v128.load_ext<u8>(after + step));
    const pair = v128.load32_splat(weights + ((<usize>k) << 1));
    const lows = i8x16.shuffle(near, far, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
    const highs = i8x16.shuffle(
      near,
      far,
      8,
      9,
      24,
      25,
      10,
      11,
      26,
      27,
      12,
      13,
      28,
      29,
      14,
      15,
      30,
      31,
    );
    low = i32x4.add(low, i32x4.dot_i16x8_s(lows, pair));
    high = i32x4.add(high, i32x4.dot_i16x8_s(highs, pair));
    before -= step * 2;
    after += step * 2;
  }
  const words = i16x8.narrow_i32x4_s(i32x4.shr_s(low, 14), i32x4.shr_s(high, 14));
  return i8x16.narrow_i16x8_u(words, words);
}

function filter(src: usize, dst: usize, bytes: i32, step: i32, weights: usize, radius: i32): void {
  let i = 0;
  for (; i + 8 <= bytes; i += 8)
    v128.store64_lane(dst + i, filterEight(src + i, step, weights, radius), 0);
  if (i < bytes) storeFirst(dst + i, filterEight(src + i, step, weights, radius), bytes - i);
}

/**
 * Separable symmetric filter with reflected border (the edge pixel is not repeated), in place. weights: radius + 1 16-bit numbers; radius even, 2 .. 12, both sides >= 12.
 * Scratch: rowAt (width + 2 * radius) * 3 + 16 bytes, rowsAt (height + 2 * radius) rows of the picture + 16 bytes.
 */
export function blur(
  at: usize,
  width: i32,
  height: i32,
  weights: usize,
  radius: i32,
  rowAt: usize,
  rowsAt: usize,
): void {
  const rowBytes = width * 3;
  const row = rowAt + radius * 3;
  const first = rowsAt + <usize>(radius * rowBytes);
  for (let y = 0; y < height; y++) {
    const src = at + <usize>(y * rowBytes);
    memory.copy(row, src, rowBytes);
    for (let k = 1; k <= radius; k++) {
      memory.copy(row - k * 3, src + k * 3, 3);
      memory.copy(row + rowBytes + (k - 1) * 3, src + rowBytes - 3 - k * 3, 3);
    }
    filter(row, first + <usize>(y * rowBytes), rowBytes, 3, weights, radius);
  }
  const last = first + <usize>((height - 1) * rowBytes);
  for (let k = 1; k <= radius; k++) {
    memory.copy(first - <usize>(k * rowBytes), first + <usize>(k * rowBytes), rowBytes);
    memory.copy(last + <usize>(k * rowBytes), last - <usize>(k * rowBytes), rowBytes);
  }
  filter(first, at, height * rowBytes, rowBytes, weights, radius);
}
