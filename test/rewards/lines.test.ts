import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  emptyTally,
  scoreLines,
  splitLines,
  type ScoreLinesOptions,
} from "../../src/rewards/lines.ts";
import { vectors, wireScore } from "../rewards/vectors.ts";

async function run(lines: readonly string[], options?: ScoreLinesOptions): Promise<unknown[]> {
  const results: unknown[] = [];
  for await (const line of scoreLines(stream(lines), options)) results.push(JSON.parse(line));
  return results;
}

async function* stream(lines: readonly string[]): AsyncGenerator<string> {
  for (const line of lines) {
    await Promise.resolve();
    yield line;
  }
}

const good = { completion: "<think>r</think>\\boxed{A}", answer: "A" };
const full = {
  accuracy: 1,
  format: 1,
  total: 2,
  exact: true,
  exact_string: true,
  parsed: true,
  extracted: "A",
};

describe("scoreLines", () => {
  it("scores every vector with default options as score does", async () => {
    const plain = vectors.vectors.filter(
      (vector) => Object.keys(vector.options).length === 0 && vector.error === undefined,
    );
    const results = await run(
      plain.map(({ completion, answer }) => JSON.stringify({ completion, answer })),
    );
    expect(results).toEqual(plain.map(wireScore));
  });

  it("copies id, index and entry, whatever they hold, and nothing else", async () => {
    const identity = { id: { a: [1] }, index: 7, entry: null };
    expect(await run([JSON.stringify({ ...good, ...identity, model: "m" })])).toEqual([
      { ...identity, ...full },
    ]);
    expect(await run([JSON.stringify({ ...good, index: 0 })])).toEqual([{ index: 0, ...full }]);
  });

  it("takes response for completion, which goes first where both are given", async () => {
    const { completion, answer } = good;
    expect(await run([JSON.stringify({ response: completion, answer })])).toEqual([full]);
    expect(await run([JSON.stringify({ response: "", completion, answer })])).toEqual([full]);
  });

  it("goes on after bad lines, and says which they were and why", async () => {
    const tally = emptyTally();
    const bad = [
      "{",
      "[1]",
      "null",
      "3",
      '{"answer": "A"}',
      '{"completion": 3, "answer": "A"}',
      '{"completion": "", "answer": 90}',
      '{"completion": "", "answer": "E"}',
    ];
    const results = await run([JSON.stringify(good), "", ...bad, JSON.stringify(good)], { tally });
    expect(results).toEqual([
      full,
      ...bad.map((_, place) => ({
        line: place + 3,
        error: { code: "BAD_OPTION", message: expect.any(String) as unknown },
      })),
      full,
    ]);
    expect(tally).toEqual({
      scored: 2,
      bad: bad.length,
      accuracy: 2,
      format: 2,
      total: 4,
      exact: 2,
      exactString: 2,
      parsed: 2,
    });
  });

  it("passes every option on", async () => {
    const line = JSON.stringify({ completion: "r r</think>\\boxed{3, 1, 1}", answer: "3, 1, 2" });
    const options = {
      accuracyWeight: 3,
      formatWeight: 5,
      partial: "plain",
      thinkOpened: true,
      minThink: 2,
    } as const;
    expect(await run([line], options)).toMatchObject([{ accuracy: 2 / 3, format: 1, total: 7 }]);
    expect(await run([line], { ...options, minThink: 3 })).toMatchObject([{ format: 0 }]);
  });

  it("throws for wrong options rather than blaming each line", async () => {
    await expect(run([JSON.stringify(good)], { accuracyWeight: -1 })).rejects.toMatchObject({
      code: "BAD_OPTION",
    });
  });

  it("closes its input when the reader stops early", async () => {
    let closed = false;
    async function* watched(): AsyncGenerator<string> {
      try {
        for (;;) yield await Promise.resolve(JSON.stringify(good));
      } finally {
        closed = true;
      }
    }
    for await (const line of scoreLines(watched())) {
      expect(JSON.parse(line)).toEqual(full);
      break;
    }
    expect(closed).toBe(true);
  });
});

describe("splitLines", () => {
  it("breaks at newlines only, however the text was cut into pieces", async () => {
    const piece = fc.string({
      unit: fc.constantFrom("a", "\n", "\r", "\u2028", "\u2029", "\u0085"),
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 6 }), async (pieces) => {
        const text = pieces.join("");
        const lines: string[] = [];
        for await (const line of splitLines(stream(pieces))) lines.push(line);
        expect(lines).toEqual(text === "" ? [] : text.replace(/\n$/, "").split("\n"));
      }),
    );
  });
});
