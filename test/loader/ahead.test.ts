import fc from "fast-check";
import { expect, test } from "vitest";
import { ahead, type Releasable } from "../../src/ahead.ts";
import { createGate } from "../../src/gate.ts";
import { take } from "./streams.ts";

/** Work that ends when the test says so, and keeps count of what becomes of it. */
function workshop(): {
  readonly make: (item: number) => Promise<Releasable & { readonly item: number }>;
  readonly finish: (item: number, error?: Error) => void;
  readonly running: number[];
  readonly released: number[];
} {
  const ends = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
  const running: number[] = [];
  const released: number[] = [];
  return {
    running,
    released,
    async make(item) {
      running.push(item);
      await new Promise<void>((resolve, reject) => ends.set(item, { resolve, reject }));
      return { item, release: () => void released.push(item) };
    },
    finish(item, error) {
      if (error) ends.get(item)?.reject(error);
      else ends.get(item)?.resolve();
    },
  };
}

const numbers = function* (): Generator<number> {
  for (let item = 0; ; item++) yield item;
};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("results come in order, whatever the order of completion", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 6 }),
      fc.array(fc.nat(5), { minLength: 1, maxLength: 20 }),
      async (limit, waits) => {
        let running = 0;
        let most = 0;
        const make = async (item: number): Promise<Releasable & { item: number }> => {
          most = Math.max(most, ++running);
          for (let wait = waits[item]!; wait > 0; wait--) await Promise.resolve();
          running--;
          return { item, release() {} };
        };
        const items = await take(
          ahead(waits.keys(), () => limit, make),
          waits.length + 1,
        );
        expect(items.map(({ item }) => item)).toEqual([...waits.keys()]);
        expect(most).toBeLessThanOrEqual(limit);
      },
    ),
    { seed: 1 },
  );
});

test("no more is begun for a consumer that does not read; nothing before it asks", async () => {
  const shop = workshop();
  const made = ahead(numbers(), () => 3, shop.make);
  await turn();
  expect(shop.running).toEqual([]);
  const first = made.next();
  await turn();
  expect(shop.running).toEqual([0, 1, 2]);
  for (const item of [0, 1, 2]) shop.finish(item);
  await first;
  await turn();
  await turn();
  expect(shop.running).toEqual([0, 1, 2]);
  await made.return();
  expect(shop.released).toEqual([1, 2]);
});

test("the limit is asked anew, and is one at least", async () => {
  const shop = workshop();
  let limit = 0;
  const made = ahead(numbers(), () => limit, shop.make);
  const first = made.next();
  await turn();
  expect(shop.running).toEqual([0]);
  shop.finish(0);
  await first;
  limit = 4;
  const second = made.next();
  await turn();
  expect(shop.running).toEqual([0, 1, 2, 3, 4]);
  for (const item of [1, 2, 3, 4]) shop.finish(item);
  await second;
  await made.return();
  expect(shop.released).toEqual([2, 3, 4]);
});

test("a failure comes in its turn; what was made behind it is given back", async () => {
  const shop = workshop();
  const made = ahead(numbers(), () => 4, shop.make);
  const first = made.next();
  await turn();
  shop.finish(1, new Error("one"));
  shop.finish(2);
  await turn();
  shop.finish(0);
  shop.finish(3);
  expect((await first).value).toMatchObject({ item: 0 });
  const second = made.next();
  await turn();
  shop.finish(4);
  await expect(second).rejects.toThrow("one");
  expect(shop.released).toEqual([2, 3, 4]);
});

test("who breaks off has the rest told to end, and waits for that", async () => {
  const leaving = new AbortController();
  let ended = 0;
  const until = Promise.withResolvers<never>();
  leaving.signal.addEventListener("abort", () => until.reject(new Error("told")));
  const make = async (item: number): Promise<{ item: number; release(): void }> => {
    if (item > 0) await until.promise.finally(() => ended++);
    return { item, release() {} };
  };
  for await (const { item } of ahead(
    [0, 1, 2, 3],
    () => 3,
    make,
    () => leaving.abort(),
  )) {
    expect(item).toBe(0);
    break;
  }
  expect(ended).toBe(2);
});

test("items that can't be told come in their turn, too", async () => {
  const items = function* (): Generator<number> {
    yield 0;
    yield 1;
    throw new Error("no more");
  };
  const seen: number[] = [];
  await expect(async () => {
    for await (const { item } of ahead(
      items(),
      () => 5,
      async (item) => ({ item, release() {} }),
    ))
      seen.push(item);
  }).rejects.toThrow("no more");
  expect(seen).toEqual([0, 1]);
});

test("a gate lets in so many, in order, and forgets who was aborted", async () => {
  const gate = createGate(2);
  const forever = new AbortController();
  const gone = new AbortController();
  const entered: string[] = [];
  const enter = (name: string, { signal } = forever): Promise<void> =>
    gate.enter(signal).then(() => void entered.push(name));
  const waiting = [enter("a"), enter("b"), enter("c"), enter("d", gone), enter("e")];
  await turn();
  expect(entered).toEqual(["a", "b"]);
  gone.abort();
  await expect(waiting[3]).rejects.toMatchObject({ code: "ABORTED" });
  gate.leave();
  await turn();
  expect(entered).toEqual(["a", "b", "c"]);
  gate.leave();
  gate.leave();
  gate.leave();
  await turn();
  expect(entered).toEqual(["a", "b", "c", "e"]);
  await expect(enter("f", gone)).rejects.toMatchObject({ code: "ABORTED" });
  await Promise.all([enter("g"), enter("h")].slice(0, 1));
  expect(entered).toContain("g");
});

test("who is let in and aborted in one turn hands the room on", async () => {
  const gate = createGate(1);
  const gone = new AbortController();
  const forever = new AbortController();
  await gate.enter(forever.signal);
  const second = gate.enter(gone.signal);
  const third = gate.enter(forever.signal);
  gate.leave();
  gone.abort();
  await expect(second).rejects.toMatchObject({ code: "ABORTED" });
  await third;
});
