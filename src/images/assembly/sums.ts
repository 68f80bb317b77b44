import { lumaLanes } from "./vector";

/** Groups whose sums surely fit 32 bits: 8192 * 255 * 255 < 2^31. */
const GROUPS = 8192;

function total(lanes: v128): i64 {
  return (
    <i64>i32x4.extract_lane(lanes, 0) +
    <i64>i32x4.extract_lane(lanes, 1) +
    <i64>i32x4.extract_lane(lanes, 2) +
    <i64>i32x4.extract_lane(lanes, 3)
  );
}

/** Writes the sum of the luma and the sum of its squares, two 64-bit integers, to `result`. */
export function lumaSums(at: usize, pixels: i32, result: usize): void {
  let sum: i64 = 0;
  let squares: i64 = 0;
  while (pixels >= 4) {
    const groups = min(pixels >> 2, GROUPS);
    let sums = i32x4.splat(0);
    let squareSums = i32x4.splat(0);
    for (let i = 0; i < groups; i++) {
      const luma = lumaLanes(v128.load(at));
      sums = i32x4.add(sums, luma);
      // below 256 the upper half of each lane is zero, so the 16-bit product is the square
      squareSums = i32x4.add(squareSums, i32x4.dot_i16x8_s(luma, luma));
      at += 12;
    }
    sum += total(sums);
    squares += total(squareSums);
    pixels -= groups * 4;
  }
  if (pixels > 0) {
    const luma = v128.and(
      lumaLanes(v128.load(at)),
      i32x4.gt_s(i32x4.splat(pixels), i32x4(0, 1, 2, 3)),
    );
    sum += total(luma);
    squares += total(i32x4.dot_i16x8_s(luma, luma));
  }
  store<i64>(result, sum);
  store<i64>(result, squares, 8);
}

/** Sum of |one - other| over all bytes; at most 2^31 bytes, so exact in a float64. */
export function absoluteDifference(one: usize, other: usize, bytes: i32): f64 {
  let sum: i64 = 0;
  while (bytes >= 16) {
    const groups = min(bytes >> 4, GROUPS);
    let sums = i32x4.splat(0);
    for (let i = 0; i < groups; i++) {
      const a = v128.load(one);
      const b = v128.load(other);
      const difference = i8x16.sub(i8x16.max_u(a, b), i8x16.min_u(a, b));
      sums = i32x4.add(
        sums,
        i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(difference)),
      );
      one += 16;
      other += 16;
    }
    sum += total(sums);
    bytes -= groups * 16;
  }
  for (; bytes > 0; bytes--) {
    sum += <i64>abs(<i32>load<u8>(one++) - <i32>load<u8>(other++));
  }
  return <f64>sum;
}
