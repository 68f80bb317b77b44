import { expect, test } from "vitest";
import { createPace } from "../../src/shards/pace.ts";

/** A pace on a clock of its own; `read(ms)` is a read of so many milliseconds and says whether it was waited for. */
function paced(): (milliseconds: number) => boolean {
  let now = 0;
  const pace = createPace(() => now);
  return (milliseconds) => pace.now(() => (now += milliseconds)) !== undefined;
}

const counted = (times: number, work: () => boolean): number =>
  Array.from({ length: times }, work).filter(Boolean).length;

test("fast files are always waited for, an odd slow read among them too", () => {
  const read = paced();
  expect(counted(10_000, () => read(0.02))).toBe(10_000);
  expect(read(20)).toBe(true);
  expect(counted(10_000, () => read(0.02))).toBe(10_000);
});

test("slow files are read in the background, with a look now and then that costs ever less", () => {
  const read = paced();
  const waited = counted(200_000, () => read(10));
  expect(waited).toBeGreaterThan(9);
  expect(waited).toBeLessThan(40);
});

test("one read that hangs is enough", () => {
  const read = paced();
  expect(read(30_000)).toBe(true);
  expect(counted(1_000, () => read(0.01))).toBe(0);
});

test("files that become fast again are waited for again", () => {
  const read = paced();
  counted(5_000, () => read(10));
  expect(counted(100_000, () => read(0.02))).toBeGreaterThan(90_000);
  expect(counted(10_000, () => read(0.02))).toBe(10_000);
});

test("what the work throws comes through", () => {
  const pace = createPace();
  expect(() =>
    pace.now(() => {
      throw new Error("no such file");
    }),
  ).toThrow("no such file");
});
