import { expect, test } from "vitest";
import { createTrays } from "../../src/trays.ts";

test("rooms of one tray are shared memory and do not overlap", () => {
  const tray = createTrays().take();
  const rooms = Array.from({ length: 10 }, (_, at) => tray.room(1000 + at).fill(at + 1));
  for (const [at, room] of rooms.entries()) {
    expect(room.length).toBe(1000 + at);
    expect(room.every((byte) => byte === at + 1)).toBe(true);
    expect(room.buffer).toBeInstanceOf(SharedArrayBuffer);
  }
  expect(new Set(rooms.map(({ buffer }) => buffer)).size).toBe(1);
});

test("what does not fit has memory of its own, and the next tray is large enough", () => {
  const trays = createTrays();
  const tray = trays.take();
  const asked = [700_000, 700_000, 700_000];
  expect(asked.map((length) => tray.room(length).buffer instanceof SharedArrayBuffer)).toEqual([
    true,
    false,
    false,
  ]);
  tray.release();
  const next = trays.take();
  const buffers = asked.map((length) => next.room(length).buffer);
  expect(new Set(buffers).size).toBe(1);
});

test("a tray is used again, and never by two at once", () => {
  const trays = createTrays();
  const one = trays.take();
  const other = trays.take();
  const { buffer } = one.room(10);
  expect(other.room(10).buffer).not.toBe(buffer);
  one.release();
  expect(trays.take().room(10).buffer).toBe(buffer);
});

test("a cleared tray starts anew", () => {
  const tray = createTrays().take();
  const first = tray.room(10);
  tray.clear();
  expect(tray.room(10).byteOffset).toBe(first.byteOffset);
});
