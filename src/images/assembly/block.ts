import { storeFirst, storeFour } from "./vector";

export function copyRows(
  src: usize,
  srcStride: i32,
  dst: usize,
  dstStride: i32,
  rowBytes: i32,
  rows: i32,
): void {
  for (let y = 0; y < rows; y++) {
    memory.copy(dst, src, rowBytes);
    src += srcStride;
    dst += dstStride;
  }
}

/** One colour over `pixels` pixels in a row; rgb is r | g << 8 | b << 16. */
export function fillPixels(at: usize, pixels: i32, rgb: i32): void {
  const pattern = i8x16.swizzle(
    i32x4.splat(rgb),
    i8x16(0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, -1, -1, -1, -1),
  );
  const end = at + <usize>(pixels * 3);
  for (; at + 12 <= end; at += 12) storeFour(at, pattern);
  storeFirst(at, pattern, <i32>(end - at));
}

export function fillBox(at: usize, stride: i32, width: i32, height: i32, rgb: i32): void {
  for (let y = 0; y < height; y++) {
    fillPixels(at, width, rgb);
    at += stride;
  }
}

function loadPixel(at: usize): i32 {
  return <i32>load<u16>(at) | ((<i32>load<u8>(at, 2)) << 16);
}

function storePixel(at: usize, rgb: i32): void {
  store<u16>(at, rgb);
  store<u8>(at, rgb >> 16, 2);
}

/** Mirrors left and right, in place: five pixels from each end are swapped at a time. */
export function flip(at: usize, width: i32, height: i32): void {
  const stride = width * 3;
  for (let y = 0; y < height; y++) {
    let left = at;
    let right = at + stride;
    while (right - left >= 30) {
      right -= 15;
      const one = v128.load(left);
      const other = v128.load(right);
      storeFirst(
        right,
        i8x16.swizzle(one, i8x16(12, 13, 14, 9, 10, 11, 6, 7, 8, 3, 4, 5, 0, 1, 2, -1)),
        15,
      );
      storeFirst(
        left,
        i8x16.swizzle(other, i8x16(12, 13, 14, 9, 10, 11, 6, 7, 8, 3, 4, 5, 0, 1, 2, -1)),
        15,
      );
      left += 15;
    }
    while (right - left >= 6) {
      right -= 3;
      const one = loadPixel(left);
      storePixel(left, loadPixel(right));
      storePixel(right, one);
      left += 3;
    }
    at += stride;
  }
}
