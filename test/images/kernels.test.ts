import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { createMemory, MAXIMUM_PAGES } from "../../src/images/arena.ts";
import { buildKernels, kernelsFile } from "../../src/images/assembly/build.ts";
import { bindKernels } from "../../src/images/kernels.ts";

/** A name as the binary format writes it. */
const text = (word: string): number[] => [word.length, ...Buffer.from(word)];

/** The module's sections by number, from the binary format (webassembly.github.io/spec/core/binary/modules.html). */
function sections(wasm: Uint8Array): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  let at = 8;
  const number = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = wasm[at++]!;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  while (at < wasm.length) {
    const id = wasm[at++]!;
    const length = number();
    found.set(id, wasm.subarray(at, at + length));
    at += length;
  }
  return found;
}

test("the committed module is what its sources build to", async () => {
  const [built, committed] = await Promise.all([buildKernels(), readFile(kernelsFile)]);
  expect(Buffer.compare(built, committed)).toBe(0);
});

test("it imports a shared memory of the arena's size and nothing else, and puts no bytes of its own there", async () => {
  const found = sections(await readFile(kernelsFile));
  const pages: number[] = [];
  for (let rest = MAXIMUM_PAGES; ; rest = Math.floor(rest / 128)) {
    pages.push((rest % 128) | (rest >= 128 ? 128 : 0));
    if (rest < 128) break;
  }
  // one import; kind 2 is a memory; flag 3: shared and with a maximum; initial 1
  expect(Array.from(found.get(2)!)).toEqual([
    1,
    ...text("env"),
    ...text("memory"),
    2,
    3,
    1,
    ...pages,
  ]);
  expect(found.has(11), "data section").toBe(false);
  expect(found.has(8), "start section").toBe(false);
});

test("every export is a kernel that the types name", () => {
  expect(Object.keys(bindKernels(createMemory())).toSorted()).toEqual([
    "absoluteDifference",
    "blur",
    "copyRows",
    "fillBox",
    "flip",
    "gray",
    "lumaSums",
    "resizeColumns",
    "resizeRows",
    "saturate",
    "scaleShift",
    "turnHalf",
    "turnHue",
    "turnQuarter",
    "warp",
  ]);
});
