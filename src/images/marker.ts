/** Numbered discs, drawn from strokes of our own: no font is involved. */

/** Pixels. The rings make the disc stand out on any background: the white one on dark, the black one on bright. */
const DISC = 11;
const WHITE_RING = 12.5;
const BLACK_RING = 14;
/** Whole pixels from the middle of the stamp to its edge. */
export const STAMP_REACH = 14;
const STAMP_SIDE = 2 * STAMP_REACH + 1;
/** Half the thickness of a digit's strokes, pixels. */
const PEN = 1.2;
/** Coverage is counted on SAMPLES x SAMPLES points of each pixel. */
const SAMPLES = 8;
export const FULL: number = SAMPLES * SAMPLES;

type Line = readonly [x0: number, y0: number, x1: number, y1: number];

/** A stretch of an ellipse, in quarter turns clockwise from the left (0), top (1), right (2) or bottom (3). */
function arc(
  x: number,
  y: number,
  rx: number,
  ry: number,
  start: number,
  quarters: number,
): Line[] {
  const steps = 8;
  const lines: Line[] = [];
  let last: readonly [number, number] | undefined;
  for (let i = 0; i <= quarters * steps; i++) {
    const quarter = Math.floor(i / steps);
    // the rational form of a quarter of a circle: exact without sine and cosine
    const t = (i - quarter * steps) / steps;
    const along = (1 - t * t) / (1 + t * t);
    const across = (2 * t) / (1 + t * t);
    const turn = (start + quarter) & 3;
    const unit = [
      [-along, -across],
      [across, -along],
      [along, across],
      [-across, along],
    ][turn]!;
    const point = [x + rx * unit[0]!, y + ry * unit[1]!] as const;
    if (last !== undefined) lines.push([...last, ...point]);
    last = point;
  }
  return lines;
}

const six: readonly Line[] = [...arc(0, 2.3, 3.2, 3.2, 0, 4), ...arc(2.1, 2.3, 5.3, 7.8, 0, 1)];

/** Centre lines of the strokes; the middle of the disc is (0, 0), pixels, y down. */
const digits: readonly (readonly Line[])[] = [
  arc(0, 0, 3.2, 5.5, 0, 4),
  [
    [-2.4, -3.1, 0.6, -5.5],
    [0.6, -5.5, 0.6, 5.5],
  ],
  [...arc(0, -2.5, 3.1, 3, 0, 2), [3.1, -2.5, -3.2, 5.5], [-3.2, 5.5, 3.4, 5.5]],
  [...arc(-0.2, -2.8, 3, 2.7, 0, 3), ...arc(-0.2, 2.7, 3.3, 2.8, 1, 3)],
  [
    [1.5, -5.5, -3.6, 2.4],
    [-3.6, 2.4, 3.6, 2.4],
    [1.5, -5.5, 1.5, 5.5],
  ],
  [
    [2.9, -5.5, -2.4, -5.5],
    [-2.4, -5.5, -2.8, -0.4],
    [-2.8, -0.4, -0.2, -1.4],
    ...arc(-0.2, 2.05, 3.3, 3.45, 1, 3),
  ],
  six,
  [
    [-3.3, -5.5, 3.3, -5.5],
    [3.3, -5.5, -1, 5.5],
  ],
  [...arc(0, -2.9, 2.7, 2.6, 0, 4), ...arc(0, 2.6, 3.3, 2.9, 0, 4)],
  six.map(([x0, y0, x1, y1]) => [-x0, -y0, -x1, -y1] as const),
];

/** A plain loop over numbers: it runs a million times before the first puzzle of a stream. */
function near(lines: readonly Line[], x: number, y: number): boolean {
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    const x0 = line[0];
    const y0 = line[1];
    const dx = line[2] - x0;
    const dy = line[3] - y0;
    const t = Math.max(0, Math.min(1, ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy)));
    const ex = x - x0 - t * dx;
    const ey = y - y0 - t * dy;
    if (ex * ex + ey * ey <= PEN * PEN) return true;
  }
  return false;
}

/** Parts of each pixel that are black, white and of the disc's colour, in 1 / FULL; the rest stays as it was. Raster order. */
export interface Stamp {
  readonly side: number;
  readonly black: Uint8Array;
  readonly white: Uint8Array;
  readonly coloured: Uint8Array;
}

const stamps: (Stamp | undefined)[] = [];

/** The marker of a digit 0 .. 9; its middle pixel's centre is the middle of the disc. */
export function stampOf(digit: number): Stamp {
  const known = stamps[digit];
  if (known !== undefined) return known;
  const lines = digits[digit]!;
  // Nothing of the digit lies further from the middle than this, across and down.
  const across = PEN + Math.max(...lines.flatMap(([x0, , x1]) => [Math.abs(x0), Math.abs(x1)]));
  const down = PEN + Math.max(...lines.flatMap(([, y0, , y1]) => [Math.abs(y0), Math.abs(y1)]));
  const stamp: Stamp = {
    side: STAMP_SIDE,
    black: new Uint8Array(STAMP_SIDE * STAMP_SIDE),
    white: new Uint8Array(STAMP_SIDE * STAMP_SIDE),
    coloured: new Uint8Array(STAMP_SIDE * STAMP_SIDE),
  };
  for (let row = 0; row < STAMP_SIDE * SAMPLES; row++) {
    const y = (row + 0.5) / SAMPLES - STAMP_SIDE / 2;
    for (let column = 0; column < STAMP_SIDE * SAMPLES; column++) {
      const x = (column + 0.5) / SAMPLES - STAMP_SIDE / 2;
      const square = x * x + y * y;
      if (square > BLACK_RING * BLACK_RING) continue;
      const pixel = Math.floor(row / SAMPLES) * STAMP_SIDE + Math.floor(column / SAMPLES);
      if (square > WHITE_RING * WHITE_RING) stamp.black[pixel]!++;
      else if (
        square > DISC * DISC ||
        (Math.abs(x) <= across && Math.abs(y) <= down && near(lines, x, y))
      )
        stamp.white[pixel]!++;
      else stamp.coloured[pixel]!++;
    }
  }
  stamps[digit] = stamp;
  return stamp;
}
