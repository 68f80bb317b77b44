import { deepEqual } from "node:assert/strict";
import { connect as connectSocket, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { createBucket } from "../../src/transport/bucket.ts";
import { createBudget, type Account } from "../../src/transport/budget.ts";
import { createDoor } from "../../src/transport/door.ts";
import { limitsOf, type Limits } from "../../src/transport/limits.ts";
import { packMessage } from "../../src/transport/messages.ts";
import { createServer, type Server, type ServerOptions } from "../../src/transport/server.ts";
import { open as openStream } from "../loader/streams.ts";
import { createFake, type FakeMaker, type FakeOptions } from "./fake.ts";
import { dial as dialPeer, greeted as greet, hello, type Peer } from "./peer.ts";

let maker: FakeMaker;
let server: Server;
let time: number;
const sockets = new Set<Socket>();

async function serve(
  limits: Partial<Limits>,
  fake: FakeOptions = {},
  more: Partial<ServerOptions> = {},
): Promise<void> {
  maker = createFake(fake);
  time = 0;
  server = await createServer(
    maker,
    { listen: "tcp://127.0.0.1:0", limits, ...more },
    { now: () => time, every: 5 },
  );
}

const keep = (peer: Peer): Peer => {
  sockets.add(peer.socket);
  return peer;
};
const dial = async (): Promise<Peer> => keep(await dialPeer(server.address));
const greeted = async (): Promise<Peer> => keep(await greet(server.address));

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  if (server === undefined) return;
  await server.close();
  const { made, released, twice, opened, closed } = maker.tally;
  deepEqual({ released, twice, closed }, { released: made, twice: 0, closed: opened });
});

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await sleep(5);
};

/** The server is there for somebody else. */
async function served(): Promise<void> {
  const peer = await greeted();
  peer.send({ kind: "get", id: 1, step: 3, slots: [0, 1] });
  expect((await peer.until("end", "error")).at(-1)).toMatchObject({ kind: "end", id: 1 });
  peer.socket.destroy();
}

/** As fast as the kernel takes it, never reading. */
function flood(socket: Socket, bytes: Uint8Array, times: number): Promise<void> {
  socket.pause();
  const many = Buffer.concat(Array.from({ length: 100 }, () => bytes));
  return new Promise((resolve) => {
    let left = times / 100;
    const go = (): void => {
      while (left-- > 0) if (!socket.write(many)) return void socket.once("drain", go);
      resolve();
    };
    socket.once("close", () => resolve());
    go();
  });
}

describe("before hello", () => {
  test("one that says its hello byte by byte is shown out when its time is over", async () => {
    await serve({ handshake: 60 });
    const peer = await dial();
    const bytes = packMessage(hello);
    let at = 0;
    const drip = setInterval(() => peer.socket.write(bytes.subarray(at, ++at)), 10);
    const answer = await peer.next();
    clearInterval(drip);
    expect(answer).toMatchObject({ kind: "error", code: "PROTOCOL" });
    expect(at).toBeLessThan(bytes.length);
    await served();
  });

  test("hundreds that say nothing lose their places to each other, not to clients", async () => {
    await serve({ strangers: 40, handshake: 60_000 });
    const early = await greeted();
    const { port } = new URL(server.address.replace("tcp:", "http:"));
    const silent = Array.from({ length: 600 }, () => connectSocket(Number(port), "127.0.0.1"));
    for (const socket of silent) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.resume();
    }
    await Promise.all(silent.map((socket) => new Promise((done) => socket.once("connect", done))));
    await until(() => server.clients.length <= 41);
    await served();
    early.send({ kind: "poll", id: 1 });
    expect(await early.next()).toMatchObject({ kind: "info" });
    expect(server.clients.length).toBeLessThanOrEqual(42);
  });

  test("the last place of an address is its own: others are not turned away for it", () => {
    const door = createDoor({ connections: 100, perAddress: 100, strangers: 5 });
    const gone: string[] = [];
    door.enter("good", () => gone.push("good"));
    for (let at = 0; at < 20; at++) door.enter("bad", () => gone.push("bad"));
    expect(gone).toEqual(Array.from({ length: 16 }, () => "bad"));
  });
});

describe("how many", () => {
  test("clients in all: told after hello, and room again when one leaves", async () => {
    await serve({ connections: 2 });
    const [first] = [await greeted(), await greeted()];
    const third = await dial();
    third.send(hello);
    expect(await third.next()).toMatchObject({ kind: "error", code: "LIMIT" });
    expect(await third.next()).toBeUndefined();
    first.socket.destroy();
    await until(() => server.clients.length === 1);
    await greeted();
  });

  test("clients of one address", async () => {
    await serve({ perAddress: 1 });
    await greeted();
    const second = await dial();
    second.send(hello);
    expect(await second.next()).toMatchObject({ kind: "error", code: "LIMIT" });
  });

  test("a door counts right, whatever comes and goes", () => {
    const address = fc.constantFrom("a", "b", "unix");
    const event = fc.tuple(fc.constantFrom("enter", "admit", "leave"), address, fc.nat(30));
    fc.assert(
      fc.property(fc.array(event, { maxLength: 200 }), (events) => {
        const limits = { connections: 6, perAddress: 4, strangers: 3 };
        const door = createDoor(limits);
        type One = { address: string; state: string; guest: ReturnType<typeof door.enter> };
        const all: One[] = [];
        for (const [what, at, which] of events) {
          if (what === "enter") {
            const one: Partial<One> = { address: at, state: "stranger" };
            one.guest = door.enter(at, () => (one.state = "away"));
            all.push(one as One);
          }
          const one = all[which % Math.max(1, all.length)];
          if (one && what === "admit" && one.state === "stranger") {
            const inside = all.filter(({ state }) => state === "client");
            const same = inside.filter((other) => other.address === one.address).length;
            const full = inside.length >= 6 || (one.address !== "unix" && same >= 4);
            if (full) expect(() => one.guest.admit()).toThrow(/at most/);
            else {
              one.guest.admit();
              one.state = "client";
            }
          }
          if (one && what === "leave") {
            one.guest.leave();
            one.state = "away";
          }
          expect(all.filter(({ state }) => state === "stranger").length).toBeLessThanOrEqual(3);
        }
      }),
    );
  });

  test("limits that are none are refused with their name", () => {
    expect(() => limitsOf({ idel: 1 } as never)).toThrow(/no idel.*connections/);
    expect(() => limitsOf({ idle: 0 })).toThrow(/idle must be above 0/);
    expect(() => limitsOf({ idle: Number.NaN })).toThrow(/idle/);
    expect(limitsOf({ idle: 5 }).idle).toBe(5);
  });
});

describe("how often", () => {
  test("requests and polls beyond the rate end with LIMIT and their id; time gives new ones", async () => {
    await serve({ requestRate: 3 });
    const peer = await greeted();
    for (const id of [1, 2, 3, 4]) peer.send({ kind: "get", id, step: id, slots: [0] });
    peer.send({ kind: "poll", id: 9 });
    const ends: unknown[] = [];
    while (ends.length < 5) {
      const message = await peer.next();
      if (message?.kind !== "cell") ends.push(message);
    }
    const refused = ends.filter((end) => (end as { code?: string }).code === "LIMIT");
    expect(refused).toMatchObject([{ id: 4 }, { id: 9 }]);
    time = 1_000;
    peer.send({ kind: "poll", id: 10 });
    expect(await peer.next()).toMatchObject({ kind: "info", id: 10 });
  });

  test("a flood of feedback is read later; others are served meanwhile", async () => {
    let rows = 0;
    await serve(
      { messageRate: 20_000 },
      {},
      { onFeedback: ({ rewards }) => (rows += rewards.length) },
    );
    const peer = await greeted();
    const feedback = packMessage({ kind: "feedback", step: 1, rewards: [{ index: 1, reward: 1 }] });
    void flood(peer.socket, feedback, 60_000);
    await until(() => rows >= 20_000);
    await served();
    // Nothing more than what came in one piece is taken while the clock stands.
    const early = rows;
    expect(early).toBeLessThan(30_000);
    await served();
    expect(rows).toBe(early);
    await until(() => {
      time += 1_000;
      return rows === 60_000;
    });
  });

  test("a bucket gives its rate at once and then as time goes by, never more", () => {
    const waits = fc.array(fc.nat(700), { maxLength: 60 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), waits, (rate, pauses) => {
        let now = 0;
        const bucket = createBucket(rate, () => now);
        let taken = 0;
        for (const pause of pauses) {
          now += pause;
          while (bucket.debt === 0) {
            bucket.take();
            taken++;
          }
          // One more than there is puts it into debt.
          const owed = (now / 1000) * rate + rate + pauses.length;
          expect(taken).toBeLessThanOrEqual(owed + 1);
          expect(bucket.debt).toBeLessThanOrEqual(1000 / rate + 1e-6);
        }
      }),
    );
  });

  test("a storm of cancels, of what runs and of what does not", async () => {
    await serve({ messageRate: 1e9, requestRate: 1e9 });
    const peer = await greeted();
    for (let round = 0; round < 200; round++) {
      peer.send({ kind: "stream", id: 1, step: round, credit: 1 });
      for (let id = 1; id <= 20; id++) peer.send({ kind: "cancel", id });
      await peer.until("done");
    }
    await served();
  });

  test("polls whose answers nobody reads are not answered without end", async () => {
    await serve({ messageRate: 1e9, requestRate: 1e9 });
    const peer = await greeted();
    void flood(peer.socket, packMessage({ kind: "poll", id: 1 }), 400_000);
    await until(() => server.counts().queuedBytes > 2 ** 20);
    await served();
    await served();
    // What came in one piece may be answered behind the limit of 1 MiB: 64 KiB of polls, 50 times as long as these.
    expect(server.counts().queuedBytes).toBeLessThan(8 * 2 ** 20);
  });
});

describe("memory", () => {
  const large: FakeOptions = { side: 600, images: 1, batch: 400 };

  test("many that never read hold a bounded number of cells in all, and others are served", async () => {
    await serve({ cells: 12, queued: 1e9 }, large);
    const hogs = await Promise.all(Array.from({ length: 8 }, greeted));
    for (const hog of hogs) {
      hog.socket.pause();
      for (let id = 1; id <= 10; id++) hog.send({ kind: "stream", id, step: id, credit: 2 ** 40 });
    }
    const held = (): number => maker.tally.made - maker.tally.released;
    await until(() => held() >= 9);
    for (let times = 0; times < 3; times++) await served();
    expect(held()).toBeLessThanOrEqual(12);
  });

  test("with real workers: cells that nobody reads do not use up their memory for others", async () => {
    // 112 cells of any size fill the memory of a worker; without a bound on all cells the last get ends with LIMIT.
    const tiny = { minPixels: 3_136, maxPixels: 12_544, entries: ["rotation"] };
    const stream = await openStream({ batch: 40, partitions: 1, ...tiny });
    await using own = await createServer(stream, { listen: "tcp://127.0.0.1:0" });
    for (let hog = 0; hog < 8; hog++) {
      const peer = keep(await greet(own.address));
      peer.socket.pause();
      for (let id = 1; id <= 16; id++)
        peer.send({ kind: "stream", id, step: 100 * id, credit: 2 ** 40 });
    }
    await until(() => own.counts().waiting.socket === 128);
    const peer = keep(await greet(own.address));
    peer.send({ kind: "get", id: 1, step: 0 });
    expect((await peer.until("end", "error")).at(-1)).toMatchObject({ kind: "end" });
    expect(own.counts().requests.stream).toEqual({});
  });

  test("who reads nothing while memory is short has to connect again; who reads stays", async () => {
    await serve({ cells: 4, queued: 1e9, stall: 1_000 }, large);
    const good = await greeted();
    const hogs = await Promise.all(Array.from({ length: 4 }, greeted));
    for (const hog of hogs) {
      hog.socket.pause();
      hog.send({ kind: "stream", id: 1, step: 0, credit: 2 ** 40 });
      hog.send({ kind: "stream", id: 2, step: 0, credit: 2 ** 40 });
    }
    await until(() => maker.tally.made - maker.tally.released >= 3);
    await sleep(50);
    expect(server.clients).toHaveLength(5);
    time = 2_000;
    good.send({ kind: "get", id: 1, step: 1, slots: [0] });
    expect((await good.until("end", "error")).at(-1)).toMatchObject({ kind: "end" });
    await until(() => server.clients.length < 5);
    await served();
  });

  test("a budget is never overdrawn, nobody waits while there is room for him, and it ends empty", async () => {
    type Step = readonly [what: "enter" | "leave" | "abort" | "add", who: number];
    const step = fc.tuple(
      fc.constantFrom("enter", "enter", "leave", "abort", "add"),
      fc.nat(3),
    ) as fc.Arbitrary<Step>;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 120 }), async (steps) => {
        const budget = createBudget({ cells: 7, inAll: 1_000, each: 400 });
        const all = Array.from({ length: 4 }, () => {
          return { account: budget.open(), cells: 0, bytes: 0, waits: [] as AbortController[] };
        });
        const settle = (): Promise<void> => new Promise((done) => setImmediate(done));
        const cells = (): number => all.reduce((sum, one) => sum + one.cells, 0);
        for (const [what, who] of steps) {
          const one = all[who]!;
          if (what === "enter") {
            const abort = new AbortController();
            one.waits.push(abort);
            void one.account.enter(abort.signal).then((entered) => {
              one.waits.splice(one.waits.indexOf(abort), 1);
              if (entered) one.cells++;
            });
          }
          if (what === "abort") one.waits[0]?.abort();
          if (what === "leave" && one.cells > 0) {
            one.cells--;
            one.account.leave();
          }
          if (what === "add" && one.bytes === 0) one.account.add((one.bytes = 150));
          else if (what === "add") one.account.add(-one.bytes + (one.bytes = 0));
          await settle();
          expect(cells()).toBeLessThanOrEqual(7);
          // Somebody with nothing gets something as long as anything is left.
          for (const { waits, cells: own, bytes } of all)
            if (own === 0 && bytes === 0 && cells() < 7) expect(waits).toEqual([]);
        }
        for (const one of all) for (const abort of one.waits) abort.abort();
        await settle();
        for (const one of all) for (; one.cells > 0; one.cells--) one.account.leave();
        expect(budget.tight).toBe(false);
        const fresh: Account = budget.open();
        const bytes = all.reduce((sum, one) => sum + one.bytes, 0);
        if (bytes < 1_000) expect(await fresh.enter(new AbortController().signal)).toBe(true);
      }),
      { numRuns: 150 },
    );
  });
});

describe("quiet connections", () => {
  test("one that says nothing for long has to connect again; a message or a frame taken is a sign", async () => {
    await serve({ idle: 1_000 });
    const [quiet, asking, reading] = [await greeted(), await greeted(), await greeted()];
    time = 900;
    asking.send({ kind: "credit", id: 7, bytes: 1 });
    reading.send({ kind: "get", id: 1, step: 0 });
    await reading.until("end");
    asking.send({ kind: "poll", id: 1 });
    await asking.until("info");
    time = 1_500;
    expect(await quiet.next()).toMatchObject({ kind: "error", code: "CLOSED" });
    expect(await quiet.next()).toBeUndefined();
    for (const peer of [asking, reading]) {
      peer.send({ kind: "poll", id: 2 });
      expect(await peer.next()).toMatchObject({ kind: "info", id: 2 });
    }
  });

  test("a stream without credit is quiet, one that waits for its batch is not", async () => {
    let make: (() => void) | undefined;
    await serve({ idle: 1_000 }, { before: () => new Promise((resolve) => (make = resolve)) });
    const [stingy, waiting] = [await greeted(), await greeted()];
    stingy.send({ kind: "stream", id: 1, step: 0, credit: 0 });
    waiting.send({ kind: "get", id: 1, step: 0, slots: [0] });
    await until(() => make !== undefined);
    await until(() => server.counts().waiting.credit === 1);
    time = 5_000;
    expect(await stingy.next()).toMatchObject({ kind: "error", code: "CLOSED" });
    make?.();
    expect((await waiting.until("end")).map(({ kind }) => kind)).toEqual(["cell", "end"]);
  });

  test("a client that has closed its sending side has left", async () => {
    await serve({}, large());
    const peer = await greeted();
    peer.send({ kind: "stream", id: 1, step: 0, credit: 2 ** 40 });
    await until(() => maker.tally.made > 0);
    peer.socket.end();
    peer.socket.resume();
    await until(() => server.clients.length === 0);
    await served();
  });
});

function large(): FakeOptions {
  return { side: 600, images: 1, batch: 400 };
}

describe("credit", () => {
  test("zero, crumbs, for ids that are none, and more than is allowed", async () => {
    await serve({});
    const peer = await greeted();
    for (let id = 1; id <= 16; id++) peer.send({ kind: "stream", id, step: id, credit: 0 });
    for (let id = 1; id <= 40; id++) peer.send({ kind: "credit", id, bytes: 1 });
    const messages = [];
    while (messages.length < 16) {
      const message = await peer.next();
      if (message?.kind === "cell") messages.push(message.id);
    }
    expect(messages.toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 16 }, (_, at) => at + 1),
    );
    await served();
    peer.send({ kind: "credit", id: 3, bytes: 2 ** 52 });
    expect((await peer.until("error")).at(-1)).toMatchObject({ code: "PROTOCOL" });
    await served();
  });
});
