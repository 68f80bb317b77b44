/** Pixels in a worker's WebAssembly memory, and what can be done to them. docs/tasks.md has the conventions. */

/** H x W x 3 bytes of RGB at byte offset `at`, rows contiguous (stride = width * 3). At least 16 readable bytes follow the last pixel. */
export interface Picture {
  readonly at: number;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
}

/** Pixels; x, y is the top left corner. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Continuous coordinates, pixel centres at integer + 0.5: x' = a x + b y + c, y' = d x + e y + f.
 */
export type Affine = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

export type Rgb = readonly [r: number, g: number, b: number];

/** Pixel operations. All are integer arithmetic, the same bits on every machine. No operation allocates memory that outlives it. */
export interface Draw {
  /** Copies `box` of src to dst with its top left corner at (x, y). Must lie inside both. */
  copy(src: Picture, box: Box, dst: Picture, x: number, y: number): void;
  fill(dst: Picture, box: Box, colour: Rgb): void;
  /** `box` of src, taken as an image of its own (as torchvision's resized_crop), scaled to all of dst: bilinear with antialias. */
  resize(src: Picture, box: Box, dst: Picture): void;
  /** Mirrors left and right, in place. */
  flip(picture: Picture): void;
  /** In place, as torchvision's adjust_brightness and so on: factor >= 0, 1 changes nothing. */
  brightness(picture: Picture, factor: number): void;
  contrast(picture: Picture, factor: number): void;
  saturation(picture: Picture, factor: number): void;
  /** Turns, -0.5 .. 0.5. */
  hue(picture: Picture, turns: number): void;
  /** Three equal channels, ITU-R 601 luma, cut to a whole number (as torchvision). In place. */
  grayscale(picture: Picture): void;
  /** Gaussian, in place, kernel of 23 taps a side direction (reflected border), sigma in pixels, 0.1 .. 2. */
  blur(picture: Picture, sigma: number): void;
  /** Turned clockwise by quarters * 90 degrees (1, 2 or 3) into dst, whose sides are swapped for 1 and 3. */
  turn(src: Picture, dst: Picture, quarters: number): void;
  /**
   * dst(x, y) = src(inverse(x, y)), bilinear to 1 / 128 pixel; outside of src: fill, mixed with src within half a pixel of its edge. Returns the
   * map really used (the coefficients are rounded to 1 / 65536), so that points can go through the very same one.
   */
  warp(src: Picture, dst: Picture, inverse: Affine, fill: Rgb): Affine;
  /** A numbered disc centred on the pixel that holds (x, y): radius 11 px, white digit, a white and a black ring. Clipped. digit 0 .. 9. */
  marker(dst: Picture, x: number, y: number, digit: number, colour: Rgb): void;
  /** Standard deviation of the luma over all pixels, 0 .. 127.5. */
  grayDeviation(picture: Picture): number;
  /** Mean absolute difference of all channels of two pictures of one size, 0 .. 255. */
  difference(one: Picture, other: Picture): number;
}

/** A stack of memory: everything allocated after mark() is given back by release(mark). */
export interface Arena {
  readonly memory: WebAssembly.Memory;
  /** Byte offset, 16-byte aligned, followed by 16 spare bytes; contents undefined. Grows the memory where needed. */
  alloc(bytes: number): number;
  picture(width: number, height: number): Picture;
  mark(): number;
  release(mark: number): void;
  /** A fresh view: memory may grow. */
  bytes(at: number, length: number): Uint8Array;
}
