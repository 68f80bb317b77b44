import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { startBeat } from "../../src/ops/beat.ts";
import { whyDead, whyNotReady } from "../../src/ops/health.ts";
import type { Subject } from "../../src/ops/subject.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] }));
afterEach(() => void vi.useRealTimers());

interface Workers {
  readonly ready?: number;
  readonly silent?: number;
}

function subject(more: Partial<Subject> = {}, { ready = 2, silent = 0 }: Workers = {}): Subject {
  const now = (): object => ({
    workers: { threads: 2, ready, restarts: 0, cells: 0, silent, deaths: 0 },
    cells: { making: 0, waiting: 0 },
  });
  return {
    version: "1",
    phase: "serving",
    stream: { now } as unknown as NonNullable<Subject["stream"]>,
    server: {} as NonNullable<Subject["server"]>,
    node: undefined,
    loaders: undefined,
    lastError: undefined,
    ...more,
  };
}

describe("ready", () => {
  test("serving, with a worker", () => {
    expect(whyNotReady(subject())).toBeUndefined();
    expect(whyNotReady(subject({}, { ready: 1 }))).toBeUndefined();
  });

  test("else the reason", () => {
    expect(whyNotReady(subject({ phase: "opening", stream: undefined }))).toContain("listed");
    expect(whyNotReady(subject({ phase: "draining" }))).toBe("draining");
    expect(whyNotReady(subject({ phase: "stopping" }))).toBe("stopping");
    expect(whyNotReady(subject({}, { ready: 0 }))).toBe("no worker thread of 2 is up");
  });
});

describe("alive", () => {
  /** Beats that come so many milliseconds late. */
  function after(...late: readonly number[]): ReturnType<typeof startBeat> {
    let now = 0;
    const beat = startBeat(
      () => {},
      () => now,
    );
    for (const one of late) {
      now += 1_000 + one;
      vi.advanceTimersByTime(1_000);
    }
    return beat;
  }
  const steady = (count: number, late = 0): readonly number[] =>
    Array.from({ length: count }, () => late);

  test("in time, and before there is anything to judge by", () => {
    for (const beat of [after(), after(...steady(3, 60_000)), after(...steady(20, 100))])
      expect(whyDead(subject(), beat)).toBeUndefined();
  });

  test("not where beat after beat is late", () => {
    expect(whyDead(subject(), after(...steady(9, 2_500)))).toBe(
      "the event loop is 2.5 s late, again and again",
    );
    expect(whyDead(subject(), after(...steady(20), ...steady(5, 3_000)))).toContain("3.0 s late");
  });

  test("one long stop, or a few, are forgotten", () => {
    expect(whyDead(subject(), after(...steady(8), 3_600_000))).toBeUndefined();
    expect(whyDead(subject(), after(...steady(20), ...steady(4, 9_000)))).toBeUndefined();
    expect(whyDead(subject(), after(...steady(20, 5_000), ...steady(5)))).toBeUndefined();
  });

  test("not where a thread is silent over a cell", () => {
    expect(whyDead(subject({}, { silent: 119_000 }), after())).toBeUndefined();
    expect(whyDead(subject({}, { silent: 121_000 }), after())).toContain("silent over one cell");
    // also while it drains: it would never end
    expect(whyDead(subject({ phase: "draining" }, { silent: 121_000 }), after())).toBeDefined();
  });

  test("a loader that is not ready lives", () => {
    expect(whyDead(subject({ phase: "opening", stream: undefined }), after())).toBeUndefined();
  });

  test("the beat ends", () => {
    const beat = after(...steady(2));
    beat.stop();
    expect(vi.getTimerCount()).toBe(0);
  });
});
