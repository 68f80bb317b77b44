import { readFileSync } from "node:fs";

/**
 * The pixel kernels as they are exported (assembly/index.ts): byte offsets into the memory, no checks whatever. draw.ts is their only caller.
 */
export interface Kernels {
  copyRows(
    src: number,
    srcStride: number,
    dst: number,
    dstStride: number,
    rowBytes: number,
    rows: number,
  ): void;
  /** rgb: r | g << 8 | b << 16. */
  fillBox(at: number, stride: number, width: number, height: number, rgb: number): void;
  flip(at: number, width: number, height: number): void;
  scaleShift(at: number, bytes: number, factor: number, offset: number): void;
  saturate(at: number, pixels: number, factor: number, slack: number): void;
  turnHue(at: number, pixels: number, shift: number): void;
  gray(at: number, pixels: number): void;
  resizeRows(
    src: number,
    srcStride: number,
    rows: number,
    dst: number,
    columns: number,
    firsts: number,
    weights: number,
    taps: number,
  ): void;
  resizeColumns(
    src: number,
    rowBytes: number,
    dst: number,
    rows: number,
    firsts: number,
    weights: number,
    taps: number,
  ): void;
  blur(
    at: number,
    width: number,
    height: number,
    weights: number,
    radius: number,
    rowAt: number,
    rowsAt: number,
  ): void;
  turnQuarter(src: number, width: number, height: number, dst: number, clockwise: boolean): void;
  turnHalf(src: number, pixels: number, dst: number): void;
  warp(
    src: number,
    srcWidth: number,
    srcHeight: number,
    dst: number,
    width: number,
    height: number,
    a: number,
    b: number,
    c: number,
    d: number,
    e: number,
    f: number,
    rgb: number,
  ): void;
  lumaSums(at: number, pixels: number, result: number): void;
  absoluteDifference(one: number, other: number, bytes: number): number;
}

let compiled: WebAssembly.Module | undefined;

/** The kernels bound to one memory. The module is read and compiled once a thread. */
export function bindKernels(memory: WebAssembly.Memory): Kernels {
  compiled ??= new WebAssembly.Module(readFileSync(new URL("./kernels.wasm", import.meta.url)));
  return new WebAssembly.Instance(compiled, { env: { memory } }).exports as unknown as Kernels;
}
