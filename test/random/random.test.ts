import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Philox } from "../../src/random/philox.ts";
import { derive, permutation, type KeyPart } from "../../src/random/random.ts";
import { sipHash128 } from "../../src/random/siphash.ts";

function vectors(name: string): unknown {
  return JSON.parse(
    readFileSync(new URL(`../vectors/random/${name}.json`, import.meta.url), "utf8"),
  );
}

interface Derived {
  readonly seed: number;
  readonly parts: readonly KeyPart[];
  readonly uint32: readonly number[];
  readonly below: readonly (readonly [bound: number, value: number])[];
  readonly between: readonly (readonly [low: number, high: number, value: number])[];
  readonly unit: readonly number[];
  readonly uniform: readonly (readonly [low: number, high: number, value: number])[];
  readonly chance: readonly (readonly [p: number, value: boolean])[];
  readonly shuffle: readonly number[];
}

const seeds = fc.maxSafeNat();
const parts = fc.array(fc.oneof(fc.maxSafeNat(), fc.string({ unit: "grapheme", maxLength: 12 })), {
  maxLength: 6,
});

describe("published vectors", () => {
  test("SipHash-2-4, 128 bits: the authors' 64 messages", () => {
    const { outputs } = vectors("siphash") as { outputs: readonly string[] };
    expect(outputs).toHaveLength(64);
    const key = new Uint32Array(Uint8Array.from({ length: 16 }, (_, at) => at).buffer);
    const message = Uint8Array.from({ length: 80 }, (_, at) => at);
    const out = new Uint32Array(4);
    for (const [length, output] of outputs.entries()) {
      sipHash128(key, message, length, out);
      expect(Buffer.from(out.buffer).toString("hex"), `${length} bytes`).toBe(output);
    }
  });

  test("Philox4x32-10: Random123's known answers", () => {
    const { rows } = vectors("philox") as {
      rows: readonly { counter: string[]; key: string[]; output: string[] }[];
    };
    expect(rows).toHaveLength(3);
    for (const row of rows) {
      const [c0, c1, c2, c3] = row.counter.map((word) => Number.parseInt(word, 16));
      const [k0, k1] = row.key.map((word) => Number.parseInt(word, 16));
      const random = new Philox(k0!, k1!, c2!, c3!, c0, c1);
      expect(row.output.map(() => random.uint32().toString(16).padStart(8, "0"))).toEqual(
        row.output,
      );
    }
  });

  test("the block counter carries into its second word", () => {
    const random = new Philox(1, 2, 3, 4, 0xffff_ffff, 5);
    for (let word = 0; word < 4; word++) random.uint32();
    const next = new Philox(1, 2, 3, 4, 0, 6);
    for (let word = 0; word < 4; word++) expect(random.uint32()).toBe(next.uint32());
  });
});

describe("derive", () => {
  test.each(
    (vectors("derive") as { cases: Derived[] }).cases.map((one): [string, Derived] => [
      `${one.seed} ${JSON.stringify(one.parts).slice(0, 60)}`,
      one,
    ]),
  )("draws what the second implementation draws: %s", (_, one) => {
    const fresh = () => derive(one.seed, ...one.parts);
    let random = fresh();
    expect(one.uint32.map(() => random.uint32())).toEqual(one.uint32);
    random = fresh();
    for (const [bound, value] of one.below)
      expect(random.below(bound), `below ${bound}`).toBe(value);
    random = fresh();
    for (const [low, high, value] of one.between) expect(random.between(low, high)).toBe(value);
    random = fresh();
    expect(one.unit.map(() => random.unit())).toEqual(one.unit);
    random = fresh();
    for (const [low, high, value] of one.uniform) expect(random.uniform(low, high)).toBe(value);
    random = fresh();
    for (const [p, value] of one.chance) expect(random.chance(p)).toBe(value);
    expect(fresh().shuffle(one.shuffle.map((_item, at) => at))).toEqual(one.shuffle);
    expect([...permutation(fresh(), one.shuffle.length)]).toEqual(one.shuffle);
  });

  test("the worked numbers of docs/determinism.md", () => {
    const fresh = () => derive(42, "puzzle", 4294967303, 0, "rotation");
    let random = fresh();
    const words = [753310174, 934377046, 1025285600, 3770220094, 3619437616];
    expect(words.map(() => random.uint32())).toEqual(words);
    random = fresh();
    const drawn = [random.below(4), random.below(2 ** 53), random.between(40, 60), random.unit()];
    expect(drawn).toEqual([2, 1959528314478048, 44, 0.8427159897983074]);
    expect(fresh().shuffle([0, 1, 2, 3, 4, 5, 6, 7])).toEqual([5, 7, 3, 0, 4, 2, 1, 6]);
  });

  test("equal keys agree, whatever was derived or drawn in between; different keys do not", () => {
    fc.assert(
      fc.property(seeds, parts, seeds, parts, (seed, key, otherSeed, otherKey) => {
        const first = derive(seed, ...key);
        const start = [first.uint32(), first.uint32(), first.uint32(), first.uint32()];
        const other = derive(otherSeed, ...otherKey);
        const otherStart = [other.uint32(), other.uint32(), other.uint32(), other.uint32()];
        const again = derive(seed, ...key);
        other.uint32();
        expect([again.uint32(), again.uint32(), again.uint32(), again.uint32()]).toEqual(start);
        const same = seed === otherSeed && JSON.stringify(key) === JSON.stringify(otherKey);
        expect(JSON.stringify(start) === JSON.stringify(otherStart)).toBe(same);
      }),
    );
  });

  test("parts do not run together and types are told apart", () => {
    const keys: KeyPart[][] = [
      ["ab", "c"],
      ["a", "bc"],
      ["abc"],
      ["1"],
      [1],
      [1, 0],
      [0, 1],
      [0],
      [],
      [""],
      ["", ""],
    ];
    const starts = keys.map((key) => derive(3, ...key).below(2 ** 53));
    expect(new Set(starts).size).toBe(keys.length);
  });

  test("refuses what is no seed and no key", () => {
    for (const bad of [-1, 0.5, 2 ** 53, Number.NaN, Infinity]) {
      expect(() => derive(bad)).toThrow(expect.objectContaining({ code: "BAD_OPTION" }));
      expect(() => derive(0, bad)).toThrow(expect.objectContaining({ code: "BAD_OPTION" }));
    }
    expect(() => derive(0, "\ud800")).toThrow(expect.objectContaining({ code: "BAD_OPTION" }));
  });
});

describe("draws", () => {
  test("stay in their range", () => {
    fc.assert(
      fc.property(
        seeds,
        fc.oneof(
          fc.integer({ min: 1, max: 100 }),
          fc.integer({ min: 1, max: 2 ** 53 - 1 }),
          fc.constant(2 ** 53),
        ),
        (seed, bound) => {
          const random = derive(seed, "range");
          for (let draw = 0; draw < 20; draw++) {
            const value = random.below(bound);
            expect(Number.isSafeInteger(value) && value >= 0 && value < bound).toBe(true);
            const unit = random.unit();
            expect(unit >= 0 && unit < 1 && Number.isInteger(unit * 2 ** 32)).toBe(true);
          }
        },
      ),
    );
  });

  test("below refuses what is no bound", () => {
    for (const bad of [0, -1, 1.5, 2 ** 53 + 2, Number.NaN]) {
      expect(() => derive(0).below(bad)).toThrow(expect.objectContaining({ code: "INTERNAL" }));
    }
  });

  test("are spread evenly: chi-square over 16 values, words and wide draws", () => {
    for (const draw of [
      (random: ReturnType<typeof derive>) => random.below(16),
      (random: ReturnType<typeof derive>) => Math.floor(random.below(2 ** 53) / 2 ** 49),
    ]) {
      const random = derive(1, "chi");
      const seen = new Float64Array(16);
      for (let at = 0; at < 160_000; at++) seen[draw(random)]! += 1;
      const chi = seen.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
      expect(chi).toBeLessThan(44.3); // 15 degrees of freedom, p = 0.0001
    }
  });

  test("a shuffle is a permutation and every order is equally likely", () => {
    const orders = new Map<string, number>();
    for (let at = 0; at < 24_000; at++) {
      const order = derive(9, "order", at).shuffle([0, 1, 2, 3]).join("");
      orders.set(order, (orders.get(order) ?? 0) + 1);
    }
    expect(orders.size).toBe(24);
    const chi = [...orders.values()].reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    expect(chi).toBeLessThan(58.6); // 23 degrees of freedom, p = 0.00006
    fc.assert(
      fc.property(seeds, fc.nat(300), (seed, count) => {
        expect([...permutation(derive(seed), count)].toSorted((a, b) => a - b)).toEqual(
          Array.from({ length: count }, (_, at) => at),
        );
      }),
    );
  });
});
