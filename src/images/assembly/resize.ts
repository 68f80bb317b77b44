import { storeFirst } from "./vector";

/**
 * Horizontal pass. For output x: `taps` (a multiple of 4) 16-bit weights at weights + x * taps * 2, for the pixels from firsts[x] on; weights sum to 16384.
 * Writes rows of `columns` pixels to scratch memory, with up to 1 byte after the last.
 */
export function resizeRows(
  src: usize,
  srcStride: i32,
  rows: i32,
  dst: usize,
  columns: i32,
  firsts: usize,
  weights: usize,
  taps: i32,
): void {
  const half = i32x4.splat(8192);
  for (let y = 0; y < rows; y++) {
    let weight = weights;
    for (let x = 0; x < columns; x++) {
      let pixel = src + load<i32>(firsts + ((<usize>x) << 2)) * 3;
      let sum = half;
      for (let k = 0; k < taps; k += 4) {
        const four = v128.load(pixel);
        // r0 r1 g0 g1 b0 b1 as 16-bit numbers, then the same of pixels 2 and 3
        const pair = i8x16.swizzle(
          four,
          i8x16(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1),
        );
        const next = i8x16.swizzle(
          four,
          i8x16(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1),
        );
        sum = i32x4.add(sum, i32x4.dot_i16x8_s(pair, v128.load32_splat(weight)));
        sum = i32x4.add(sum, i32x4.dot_i16x8_s(next, v128.load32_splat(weight, 4)));
        pixel += 12;
        weight += 8;
      }
      const words = i16x8.narrow_i32x4_s(i32x4.shr_s(sum, 14), sum);
      v128.store32_lane(dst, i8x16.narrow_i16x8_u(words, words), 0);
      dst += 3;
    }
    src += srcStride;
  }
}

/** Vertical pass from scratch memory, both with rows of `rowBytes` bytes; taps is even. Reads up to one row past the last that has a weight. */
export function resizeColumns(
  src: usize,
  rowBytes: i32,
  dst: usize,
  rows: i32,
  firsts: usize,
  weights: usize,
  taps: i32,
): void {
  const half = i32x4.splat(8192);
  for (let y = 0; y < rows; y++) {
    const base = src + <usize>(load<i32>(firsts + ((<usize>y) << 2)) * rowBytes);
    const weight = weights + <usize>(y * taps * 2);
    for (let i = 0; i < rowBytes; i += 16) {
      let sum0 = half;
      let sum1 = half;
      let sum2 = half;
      let sum3 = half;
      let at = base + i;
      for (let k = 0; k < taps; k += 2) {
        const pair = v128.load32_splat(weight + ((<usize>k) << 1));
        const one = v128.load(at);
        const next = v128.load(at + rowBytes);
        const low = i8x16.shuffle(
          one,
          next,
          0,
          16,
          1,
          17,
          2,
          18,
          3,
          19,
          4,
          20,
          5,
          21,
          6,
          22,
          7,
          23,
        );
        const high = i8x16.shuffle(
          one,
          next,
          8,
          24,
          9,
          25,
          10,
          26,
          11,
          27,
          12,
          28,
          13,
          29,
          14,
          30,
          15,
          31,
        );
        sum0 = i32x4.add(sum0, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(low), pair));
        sum1 = i32x4.add(sum1, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(low), pair));
        sum2 = i32x4.add(sum2, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(high), pair));
        sum3 = i32x4.add(sum3, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(high), pair));
        at += rowBytes * 2;
      }
      const bytes = i8x16.narrow_i16x8_u(
        i16x8.narrow_i32x4_s(i32x4.shr_s(sum0, 14), i32x4.shr_s(sum1, 14)),
        i16x8.narrow_i32x4_s(i32x4.shr_s(sum2, 14), i32x4.shr_s(sum3, 14)),
      );
      if (i + 16 <= rowBytes) v128.store(dst + i, bytes);
      else storeFirst(dst + i, bytes, rowBytes - i);
    }
    dst += rowBytes;
  }
}
