import { storeFour } from "./vector";

/** Columns that are turned together: as many destination rows are open at a time, and all stay in the first-level cache. */
const BLOCK = 32;

/** Destination row i, column j takes source row j, column i. */
function transposeSome(
  src: usize,
  srcStep: i32,
  dst: usize,
  dstStep: i32,
  i0: i32,
  i1: i32,
  j0: i32,
  j1: i32,
): void {
  for (let i = i0; i < i1; i++) {
    let from = src + j0 * srcStep + i * 3;
    let to = dst + i * dstStep + j0 * 3;
    for (let j = j0; j < j1; j++) {
      store<u16>(to, load<u16>(from));
      store<u8>(to, load<u8>(from, 2), 2);
      from += srcStep;
      to += 3;
    }
  }
}

function transposeFour(src: usize, srcStep: i32, dst: usize, dstStep: i32): void {
  const row0 = v128.load(src);
  const row1 = v128.load(src + srcStep);
  const row2 = v128.load(src + srcStep * 2);
  const row3 = v128.load(src + srcStep * 3);
  // columns 0 and 1, then 2 and 3, of two rows
  const a = i8x16.shuffle(row0, row1, 0, 1, 2, 16, 17, 18, 3, 4, 5, 19, 20, 21, 0, 0, 0, 0);
  const b = i8x16.shuffle(row0, row1, 6, 7, 8, 22, 23, 24, 9, 10, 11, 25, 26, 27, 0, 0, 0, 0);
  const c = i8x16.shuffle(row2, row3, 0, 1, 2, 16, 17, 18, 3, 4, 5, 19, 20, 21, 0, 0, 0, 0);
  const d = i8x16.shuffle(row2, row3, 6, 7, 8, 22, 23, 24, 9, 10, 11, 25, 26, 27, 0, 0, 0, 0);
  storeFour(dst, i8x16.shuffle(a, c, 0, 1, 2, 3, 4, 5, 16, 17, 18, 19, 20, 21, 0, 0, 0, 0));
  storeFour(
    dst + dstStep,
    i8x16.shuffle(a, c, 6, 7, 8, 9, 10, 11, 22, 23, 24, 25, 26, 27, 0, 0, 0, 0),
  );
  storeFour(
    dst + dstStep * 2,
    i8x16.shuffle(b, d, 0, 1, 2, 3, 4, 5, 16, 17, 18, 19, 20, 21, 0, 0, 0, 0),
  );
  storeFour(
    dst + dstStep * 3,
    i8x16.shuffle(b, d, 6, 7, 8, 9, 10, 11, 22, 23, 24, 25, 26, 27, 0, 0, 0, 0),
  );
}

/** A quarter turn is a transposition with the source read, or the destination written, from its last row up. */
export function turnQuarter(
  src: usize,
  width: i32,
  height: i32,
  dst: usize,
  clockwise: bool,
): void {
  let srcStep = width * 3;
  let dstStep = height * 3;
  if (clockwise) {
    src += <usize>((height - 1) * srcStep);
    srcStep = -srcStep;
  } else {
    dst += <usize>((width - 1) * dstStep);
    dstStep = -dstStep;
  }
  const columns = width & ~3;
  const rows = height & ~3;
  for (let block = 0; block < columns; block += BLOCK) {
    const end = min(columns, block + BLOCK);
    for (let j = 0; j < rows; j += 4) {
      for (let i = block; i < end; i += 4) {
        transposeFour(src + j * srcStep + i * 3, srcStep, dst + i * dstStep + j * 3, dstStep);
      }
    }
  }
  transposeSome(src, srcStep, dst, dstStep, 0, columns, rows, height);
  transposeSome(src, srcStep, dst, dstStep, columns, width, 0, height);
}

/** All pixels in reverse order. A store of 16 bytes spoils the byte before its five pixels, which the next one writes. */
export function turnHalf(src: usize, pixels: i32, dst: usize): void {
  const end = src + <usize>(pixels * 3);
  let to = dst + <usize>(pixels * 3);
  for (; src + 18 <= end; src += 15) {
    to -= 15;
    v128.store(
      to - 1,
      i8x16.swizzle(v128.load(src), i8x16(15, 12, 13, 14, 9, 10, 11, 6, 7, 8, 3, 4, 5, 0, 1, 2)),
    );
  }
  for (; src < end; src += 3) {
    to -= 3;
    store<u16>(to, load<u16>(src));
    store<u8>(to, load<u8>(src, 2), 2);
  }
}
