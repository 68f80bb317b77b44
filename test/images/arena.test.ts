import { expect, test } from "vitest";
import { createArena, createMemory } from "../../src/images/arena.ts";

test("offsets are multiples of 16, pieces and their 16 spare bytes do not overlap, memory grows as needed", () => {
  const memory = createMemory();
  const arena = createArena(memory, 5);
  let end = 5;
  for (const bytes of [0, 1, 15, 16, 17, 3_000_000, 7]) {
    const at = arena.alloc(bytes);
    expect(at % 16).toBe(0);
    expect(at).toBeGreaterThanOrEqual(end);
    end = at + bytes + 16;
    expect(memory.buffer.byteLength).toBeGreaterThanOrEqual(end);
  }
});

test("release gives back all that came after mark", () => {
  const arena = createArena(createMemory(), 0);
  arena.alloc(100);
  const mark = arena.mark();
  const first = arena.alloc(1000);
  arena.picture(64, 48);
  arena.release(mark);
  expect(arena.alloc(1)).toBe(first);
});

test.each([1000, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 40])(
  "%d bytes more than the limit leaves are refused, and nothing is lost",
  (bytes) => {
    const memory = createMemory();
    const arena = createArena(memory, 0, 1000);
    const before = memory.buffer.byteLength;
    expect(() => arena.alloc(bytes)).toThrow(RangeError);
    expect(memory.buffer.byteLength).toBe(before);
    expect(arena.alloc(900)).toBe(0);
  },
);
