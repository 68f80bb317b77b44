// Milliseconds of each pixel kernel on one thread, the median of many runs: node bench/kernels.ts
// Rules: pictures with hashed noise (no kernel's time depends on its pixels), memory warm, arguments as the puzzles use them; a run is as many calls as last about
// 4 ms. The last line is the same as JSON.
import { cpus } from "node:os";
import { createArena, createMemory } from "../src/images/arena.ts";
import { createDraw } from "../src/images/draw.ts";
import type { Picture } from "../src/images/picture.ts";

const arena = createArena(createMemory(), 0);
const draw = createDraw(arena);

function noise(width: number, height: number): Picture {
  const picture = arena.picture(width, height);
  const bytes = arena.bytes(picture.at, width * height * 3);
  bytes.forEach((_, i) => (bytes[i] = Math.imul(i + 1, 0x9e3779b1) >>> 24));
  return picture;
}

const photo = noise(640, 480);
const other = noise(640, 480);
const upright = noise(480, 640);
const view = noise(224, 224);
const thumbnail = noise(32, 32);
const large = noise(1280, 960);
const whole = { x: 0, y: 0, width: 640, height: 480 };

const kernels: readonly (readonly [name: string, work: () => void])[] = [
  [
    "crop 400 x 300 to 224",
    () => draw.resize(photo, { x: 70, y: 60, width: 400, height: 300 }, view),
  ],
  [
    "crop 100 x 80 to 224",
    () => draw.resize(photo, { x: 70, y: 60, width: 100, height: 80 }, view),
  ],
  ["640 x 480 to thumbnail 32", () => draw.resize(photo, whole, thumbnail)],
  ["640 x 480 to 1280 x 960", () => draw.resize(photo, whole, large)],
  ["brightness 224", () => draw.brightness(view, 1.0001)],
  ["contrast 224", () => draw.contrast(view, 1.0001)],
  ["saturation 224", () => draw.saturation(view, 1.0001)],
  ["hue 224", () => draw.hue(view, 0.1)],
  [
    "jitter, all four, 224",
    () => {
      draw.brightness(view, 1.0001);
      draw.contrast(view, 1.0001);
      draw.saturation(view, 1.0001);
      draw.hue(view, 0.1);
    },
  ],
  ["grayscale 224", () => draw.grayscale(view)],
  ["blur sigma 2, 224", () => draw.blur(view, 2)],
  ["blur sigma 0.5, 224", () => draw.blur(view, 0.5)],
  ["flip 224", () => draw.flip(view)],
  [
    "warp 640 x 480",
    () => draw.warp(photo, other, [0.889, 0.189, 2.3, -0.189, 0.889, 66], [114, 114, 114]),
  ],
  ["turn 90, 640 x 480", () => draw.turn(photo, upright, 1)],
  ["turn 180, 640 x 480", () => draw.turn(photo, other, 2)],
  ["turn 270, 640 x 480", () => draw.turn(photo, upright, 3)],
  ["copy 640 x 480", () => draw.copy(photo, whole, other, 0, 0)],
  ["fill 640 x 480", () => draw.fill(other, whole, [1, 2, 3])],
  ["marker", () => draw.marker(other, 300, 200, 4, [200, 30, 40])],
  ["gray deviation 224", () => void draw.grayDeviation(view)],
  ["difference 32", () => void draw.difference(thumbnail, thumbnail)],
];

const RUNS = 61;

function median(work: () => void): number {
  const time = (calls: number): number => {
    const start = performance.now();
    for (let i = 0; i < calls; i++) work();
    return (performance.now() - start) / calls;
  };
  for (const start = performance.now(); performance.now() - start < 100;) work();
  const calls = Math.max(1, Math.round(4 / Math.max(time(3), 1e-4)));
  const times = Array.from({ length: RUNS }, () => time(calls)).toSorted((a, b) => a - b);
  return times[RUNS >> 1]!;
}

const results: { [name: string]: number } = {};
for (const [name, work] of kernels) {
  results[name] = Number(median(work).toFixed(4));
  console.log(`${name.padEnd(28)} ${results[name].toFixed(3).padStart(8)} ms`);
}
console.log(
  JSON.stringify({ node: process.version, cpu: cpus()[0]?.model, milliseconds: results }),
);
