import fc from "fast-check";
import { expect, test } from "vitest";
import { StreamError } from "../../src/errors.ts";
import type { Cell } from "../../src/model.ts";
import { isOpenWay, parseAddress } from "../../src/transport/address.ts";
import { cellFrames, type CellFrame } from "../../src/transport/cells.ts";
import { createReader, MAX_FRAME_BYTES, PREFIX_BYTES } from "../../src/transport/frame.ts";
import { readServerMessage, type ServerMessage } from "../../src/transport/messages.ts";
import { createFake } from "./fake.ts";

async function makeCell(size: number, side: number): Promise<Cell> {
  const maker = createFake({ batch: size, cell: size, side, failing: [1] });
  for await (const cell of maker.cells([{ step: 3 }])) return cell;
  throw new Error("no cell");
}

function read(frames: readonly CellFrame[]): Extract<ServerMessage, { kind: "cell" }>[] {
  const reader = createReader(MAX_FRAME_BYTES);
  const bytes = frames.flatMap(({ head, images }) => [head, ...images]);
  return bytes
    .flatMap((chunk) => [...reader.push(chunk)])
    .map((frame) => readServerMessage(frame))
    .filter((message) => message.kind === "cell");
}

test("a cell above the limit is split between puzzles, and nothing gets lost", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 2, max: 12 }),
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 2_000, max: 20_000 }),
      async (size, side, limit) => {
        const cell = await makeCell(size, side);
        const frames = cellFrames(9, cell, { limit });
        for (const { bytes, head, images } of frames) {
          expect(bytes).toBe(images.reduce((sum, image) => sum + image.length, head.length));
          expect(bytes).toBeLessThanOrEqual(limit);
        }
        const messages = read(frames);
        expect(
          messages.every(({ id, step, cell: ordinal }) => id === 9 && step === 3 && ordinal === 0),
        ).toBe(true);
        const puzzles = messages.flatMap((message) => message.puzzles);
        const failed = messages.flatMap((message) => message.failed);
        const slots = puzzles.map(({ slot }) => slot);
        expect(slots).toEqual(slots.toSorted((a, b) => a - b));
        const all = [...slots, ...failed.map(({ slot }) => slot)].toSorted((a, b) => a - b);
        expect(all).toEqual(Array.from({ length: size }, (_, slot) => slot));
        for (const { slot, images } of puzzles) {
          const source = cell.puzzles.find((puzzle) => puzzle.slot === slot);
          expect(images.map(({ data }) => [...data])).toEqual(
            source?.images.map(({ data }) => [...data]),
          );
        }
        for (const { slot, error } of failed) {
          expect(error.code).toBe(slot === 1 ? "SLOT_FAILED" : "FRAME_TOO_LARGE");
        }
      },
    ),
    { numRuns: 60 },
  );
});

test("a cell that fits is one frame whose images are the cell's own memory", async () => {
  const cell = await makeCell(4, 50);
  const frames = cellFrames(1, cell);
  expect(frames).toHaveLength(1);
  const images = cell.puzzles.flatMap((puzzle) => puzzle.images.map(({ data }) => data));
  expect(frames[0]?.images).toEqual(images);
  expect(frames[0]?.images.every((image, i) => image === images[i])).toBe(true);
});

test("a checksum where one is asked for: no byte of the frame may change", async () => {
  const cell = await makeCell(2, 8);
  expect(read(cellFrames(1, cell))).toEqual(read(cellFrames(1, cell, { sealed: true })));
  const bytesOf = (sealed: boolean): Buffer => {
    const [{ head, images }] = cellFrames(1, cell, { sealed }) as [CellFrame];
    return Buffer.concat([head, ...images]);
  };
  const changed = (bytes: Buffer, at: number): unknown => {
    const other = Buffer.from(bytes);
    other[at]! ^= 1;
    return readServerMessage([...createReader(MAX_FRAME_BYTES).push(other)][0]!);
  };
  const sealed = bytesOf(true);
  const key = sealed.indexOf("crc"); // a field of another name is ignored, and so is the checksum
  for (let at = PREFIX_BYTES; at < sealed.length; at++)
    if (at < key || at >= key + 3) expect(() => changed(sealed, at)).toThrow(StreamError);
  const plain = bytesOf(false);
  expect(() => changed(plain, plain.length - 1)).not.toThrow();
});

test.each([
  ["tcp://10.0.0.7:1", true],
  ["tcp://[fe80::1]:1", true],
  ["tcp://loader.example:1", true],
  ["tcp://127.0.0.9:1", false],
  ["tcp://localhost:1", false],
  ["tcp://[::1]:1", false],
  ["tls://10.0.0.7:1", false],
  ["unix:///run/a.sock", false],
])("%s: bytes may be damaged on the way: %s", (address, is) => {
  expect(isOpenWay(parseAddress(address))).toBe(is);
});
