import { once } from "node:events";
import { deepEqual } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { batchDigest } from "../../src/digest.ts";
import type { ErrorCode, StreamError } from "../../src/errors.ts";
import { connect, type Client, type ClientSeams } from "../../src/transport/client.ts";
import type { LoaderEvent } from "../../src/transport/fleet.ts";
import { createServer, type Server, type ServerOptions } from "../../src/transport/server.ts";
import { certificate } from "../fixtures/certificates.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { createFakeClock, type FakeClock } from "./fake-clock.ts";
import { createFake, type FakeMaker, type FakeOptions } from "./fake.ts";
import { createRogue, type Rogue, type RogueOptions, type Turn } from "./rogue.ts";

const BATCH = 12;
const PARTITIONS = 6;
const STEPS = 8;
const shape = { batch: BATCH, partitions: PARTITIONS, cell: 2, failing: [7] };

const makers: FakeMaker[] = [];
const cleanups: (() => Promise<void> | void)[] = [];
let clock: FakeClock;
let events: LoaderEvent[] = [];
/** Of the undisturbed steps. */
let undisturbed: readonly string[];

beforeAll(async () => {
  undisturbed = await Promise.all(
    Array.from({ length: STEPS }, async (_, step) => {
      const puzzles = [];
      const failed = [];
      for await (const cell of createFake(shape).cells([{ step }])) {
        puzzles.push(...cell.puzzles);
        failed.push(...cell.failed);
      }
      return batchDigest({ step, puzzles, failed });
    }),
  );
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  for (const { tally } of makers.splice(0))
    deepEqual({ ...tally, made: tally.released, twice: 0, opened: tally.closed }, tally);
});

/** Partitions that node i of n prefers. */
function near(node: number, nodes: number): readonly number[] {
  return Array.from({ length: PARTITIONS }, (_, c) => c).filter(
    (c) => Math.floor((c * Math.min(nodes, PARTITIONS)) / PARTITIONS) === node,
  );
}

async function serve(
  fake: FakeOptions = {},
  options: Partial<ServerOptions> = {},
): Promise<Server> {
  const maker = createFake({ ...shape, ...fake });
  makers.push(maker);
  const server = await createServer(maker, { listen: "tcp://127.0.0.1:0", ...options });
  cleanups.push(() => server.close());
  return server;
}

/** Nodes 0 .. n - 1 of as many. */
async function serveAll(nodes: number): Promise<Server[]> {
  return await Promise.all(
    Array.from({ length: nodes }, (_, node) => serve({ near: near(node, nodes) })),
  );
}

async function rogue(options: RogueOptions = {}): Promise<Rogue> {
  const made = await createRogue({ ...shape, ...options });
  cleanups.push(() => made.close());
  return made;
}

async function dial(
  url: string | readonly string[],
  options: Parameters<typeof connect>[1] = {},
  seams: ClientSeams = {},
): Promise<Client> {
  clock = createFakeClock();
  events = [];
  const client = await connect(
    url,
    { onEvent: (event) => events.push(event), ...options },
    { clock, ...seams },
  );
  cleanups.push(async () => {
    await client.close();
    await clock.sleeping(0);
  });
  return client;
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "answered",
    (error: StreamError) => error.code,
  );

/** All steps, each batch equal to the undisturbed one, none lost, none twice, in order. */
async function expectAll(
  client: Client,
  onStep: (step: number) => Promise<void> | void = () => {},
): Promise<void> {
  const found: string[] = [];
  for await (const batch of client.stream({ from: 0, steps: STEPS })) {
    expect(batch.step).toBe(found.length);
    expect(batch.puzzles.map(({ slot }) => slot)).toEqual([0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11]);
    expect(batch.failed.map(({ slot }) => slot)).toEqual([7]);
    found.push(batchDigest(batch));
    await onStep(batch.step);
  }
  expect(found).toEqual(undisturbed);
}

/** What is on its way over loopback arrives. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await setImmediate();
}

/** Lets time pass until it is there. */
async function passing<T>(promise: Promise<T>, milliseconds = 1_000): Promise<T> {
  const over = new AbortController();
  const done = promise.finally(() => over.abort());
  done.catch(() => {});
  for (;;) {
    // Sockets first: time passes when nothing else happens.
    await turns();
    if (over.signal.aborted) return await done;
    await clock.advance(milliseconds);
  }
}

const told = (event: LoaderEvent["event"]): LoaderEvent[] =>
  events.filter((each) => each.event === event);
const slotsOf = (moves: readonly LoaderEvent[]): number =>
  moves.reduce((sum, { slots = 0 }) => sum + slots, 0);
const addressesOf = (loaders: readonly { address: string }[]): string[] =>
  loaders.map(({ address }) => address);

describe("routing", () => {
  test.each([1, 2, 3, 4, 6, 7])("each of %i loaders is asked for what it prefers", async (n) => {
    const rogues = await Promise.all(
      Array.from({ length: n }, (_, node) => rogue({ near: near(node, n) })),
    );
    const client = await dial(addressesOf(rogues).join(","));
    await expectAll(client);
    for (const [node, { gets, accepted }] of rogues.entries()) {
      const own = near(node, n).flatMap((c) => [2 * c, 2 * c + 1]);
      expect(accepted).toBe(1);
      expect(gets.map(({ step }) => step)).toEqual(
        own.length === 0 ? [] : Array.from({ length: STEPS }, (_, step) => step),
      );
      for (const { slots } of gets) expect(slots).toEqual(n === 1 ? undefined : own);
    }
    expect(client.loaders).toEqual(
      rogues.map(({ address }, node) => ({
        address,
        state: "in use",
        near: near(node, n),
        partitions: near(node, n),
        reason: undefined,
      })),
    );
    expect(events.map(({ event }) => event)).toEqual(rogues.map(() => "joined"));
  });

  test("slots in the order asked for, from two loaders; none, or wrong ones, are refused", async () => {
    const servers = await serveAll(2);
    const client = await dial(addressesOf(servers));
    const batch = await client.get(1, [11, 0, 7, 5]);
    expect(batch.puzzles.map(({ slot }) => slot)).toEqual([11, 0, 5]);
    expect(batch.failed.map(({ slot }) => slot)).toEqual([7]);
    for (const slots of [[], [12], [-1], [0.5], [1, 1]])
      expect(await codeOf(client.get(0, slots))).toBe("BAD_SLOTS");
    for (const step of [-1, 0.5, 2 ** 53])
      expect(await codeOf(client.get(step))).toBe("STEP_OUT_OF_RANGE");
  });

  test("many requests at once are more than a server takes at a time", async () => {
    const servers = [
      ...(await serveAll(2)).slice(0, 1),
      await serve({ near: near(1, 2) }, { limits: { requests: 3 } }),
    ];
    const client = await dial(addressesOf(servers));
    const batches = await Promise.all(
      Array.from({ length: 100 }, (_, at) => client.get(at % STEPS)),
    );
    expect(batches.map(batchDigest)).toEqual(batches.map((_, at) => undisturbed[at % STEPS]));
    expect(told("left")).toEqual([]);
  });

  test("a stream that ends, whose last batch is short", async () => {
    const some = { steps: 3 };
    const servers = await Promise.all(
      [0, 1].map((node) => serve({ ...some, near: near(node, 2) })),
    );
    const short = await rogue({
      ...some,
      near: [5],
      onGet: async ({ get, answer, say }) =>
        get.step < 2 ? await answer() : say({ kind: "end", id: get.id, step: get.step }),
    });
    const client = await dial([...addressesOf(servers.slice(0, 1)), short.address]);
    const sizes: number[] = [];
    for await (const { puzzles, failed } of client.stream())
      sizes.push(puzzles.length + failed.length);
    expect(sizes).toEqual([12, 12, 6]);
    expect(await codeOf(client.get(3))).toBe("STEP_OUT_OF_RANGE");
    expect(await codeOf(client.stream({ from: 4 }).next())).toBe("STEP_OUT_OF_RANGE");
    expect((await client.stream({ from: 3 }).next()).done).toBe(true);
    expect(told("left")).toEqual([]);
  });
});

/** How a loader can go wrong with a request. What it is left for, where it is. */
const faults: { [name: string]: readonly [(turn: Turn) => unknown, reason: RegExp] } = {
  "is gone before it answers": [({ socket }) => socket.destroy(), /CONNECTION_LOST/],
  "is killed within a frame": [
    async ({ cells, socket }) => {
      const frames = await cells();
      const last = frames.at(-1)!;
      for (const frame of frames.slice(0, -1)) socket.write(frame);
      socket.end(last.subarray(0, last.length / 2));
    },
    /CONNECTION_LOST/,
  ],
  "sends bytes that are no frame": [
    ({ socket }) => socket.write("HTTP/1.1 200 OK\r\n\r\n"),
    /BAD_FRAME/,
  ],
  "sends a frame that is too large": [
    ({ socket }) => socket.write(Buffer.from("5231530141000000ffffffff00000000", "hex")),
    /FRAME_TOO_LARGE/,
  ],
  "sends another slot": [
    async ({ cells, socket }) => socket.write((await cells([0]))[0]!),
    /PROTOCOL.*slot 0/,
  ],
  "sends a cell twice": [
    async ({ cells, socket }) => {
      const [first] = await cells();
      socket.write(first!);
      socket.write(first!);
    },
    /PROTOCOL.*slot 4/,
  ],
  "sends another step": [
    async ({ cells, get, socket }) => socket.write((await cells(get.slots, get.step + 1))[0]!),
    /PROTOCOL.*step/,
  ],
  "ends another step": [
    async ({ get, say }) => say({ kind: "end", id: get.id, step: get.step + 1 }),
    /PROTOCOL.*step/,
  ],
  "ends without all slots": [
    async ({ cells, get, socket, say }) => {
      socket.write((await cells())[0]!);
      say({ kind: "end", id: get.id, step: get.step });
    },
    /PROTOCOL.*without 2/,
  ],
  "is done although nobody cancelled": [
    ({ get, say }) => say({ kind: "done", id: get.id }),
    /PROTOCOL.*unasked/,
  ],
  "answers something else": [
    ({ get, say }) => say({ kind: "counted", id: get.id, image: null, shards: [] }),
    /PROTOCOL.*counted/,
  ],
  "says that it goes": [
    ({ say }) => say({ kind: "error", code: "CLOSED", message: "shutting down" }),
    /CONNECTION_LOST.*shutting down/,
  ],
  "says that the client is wrong": [
    ({ say }) => say({ kind: "error", code: "PROTOCOL", message: "a second hello" }),
    /PROTOCOL.*a second hello/,
  ],
};
const temporary: readonly ErrorCode[] = [
  "CACHE",
  "NETWORK",
  "INTERNAL",
  "WORKER_DIED",
  "SKIP_BUDGET",
  "SHARD_CORRUPT",
  "SOURCE_NOT_FOUND",
  "CLOSED",
];
for (const code of temporary)
  faults[`refuses with ${code}`] = [
    ({ get, say }) => say({ kind: "error", id: get.id, code, message: "not now" }),
    new RegExp(`${code}.*not now`),
  ];

/** Three nodes, the second of which is the rogue. */
async function withRogue(options: RogueOptions): Promise<{ bad: Rogue; addresses: string[] }> {
  const [first, , last] = await serveAll(3);
  const bad = await rogue({ near: near(1, 3), ...options });
  return { bad, addresses: [first!.address, bad.address, last!.address] };
}

describe("a loader that", () => {
  test.each(Object.entries(faults))(
    "%s: is left, and batches stay",
    async (name, [fault, reason]) => {
      const { bad, addresses } = await withRogue({
        onGet: async (turn) => void (turn.number === 4 ? await fault(turn) : await turn.answer()),
      });
      const client = await dial(addresses);
      await expectAll(client);
      expect(told("left")).toMatchObject([
        { loader: bad.address, reason: expect.stringMatching(reason) },
      ]);
      expect(told("moved").length).toBeGreaterThan(0);
      for (const moved of told("moved")) {
        expect(moved.from).toBe(bad.address);
        expect(moved.loader).not.toBe(bad.address);
        expect(moved.slots).toBeLessThanOrEqual(4);
      }
      // Slots that had come whole are not asked for again.
      const whole = /within a frame|without all|twice/.test(name) ? 2 : 0;
      expect(slotsOf(told("moved").filter(({ step }) => step === 4))).toBe(4 - whole);
    },
  );

  test("always goes wrong is taken back with growing pauses", async () => {
    const { bad, addresses } = await withRogue({ onGet: ({ socket }) => void socket.destroy() });
    const client = await dial(addresses);
    const tries: number[] = [];
    let seen = 1;
    for (let second = 0; second < 70; second++) {
      await client.get(0);
      await clock.advance(1_000);
      // Whatever was begun has come to its end.
      while (client.loaders.some(({ state }) => state === "trying")) await setImmediate();
      if (bad.accepted > seen) tries.push(second + 1);
      seen = bad.accepted;
    }
    expect(tries).toEqual([1, 3, 7, 15, 31, 63]);
    expect(told("back")).toHaveLength(tries.length);
  });

  test("refuses connections is left from the beginning, and taken back when it is there", async () => {
    const { bad, addresses } = await withRogue({});
    await bad.close();
    const client = await dial(addresses);
    await expectAll(client);
    expect(told("left")).toMatchObject([{ loader: bad.address }]);
    expect(client.loaders[1]).toMatchObject({ state: "left", partitions: [] });
    await bad.listen();
    await clock.advance(1_000);
    while (client.loaders[1]!.state !== "in use") await setImmediate();
    await expectAll(client);
    expect(bad.gets.length).toBe(STEPS);
    expect(events.at(-1)).toEqual({ event: "joined", loader: bad.address });
  });

  test("has another stream is not asked, whichever it is of the list", async () => {
    const { bad, addresses } = await withRogue({ fingerprint: "sha256:other" });
    const client = await dial(addresses);
    await expectAll(client);
    expect(bad.gets).toEqual([]);
    expect(told("left")).toMatchObject([
      { loader: bad.address, reason: expect.stringMatching(/OTHER_STREAM.*sha256:other/) },
    ]);
    const expecting = await dial([addresses[1]!, addresses[0]!], { fingerprint: "sha256:fake" });
    await expectAll(expecting);
    expect(bad.gets).toEqual([]);
  });

  test("does not welcome does not keep the others waiting", async () => {
    const { bad, addresses } = await withRogue({ greet: () => {} });
    const connecting = dial(addresses);
    const client = await passing(connecting, 1_000);
    expect(client.loaders[1]!.state).toBe("trying");
    await expectAll(client);
    await client.close();
    for (const socket of bad.sockets) await once(socket, "close");
  });

  test("welcomes and then sends nothing is left after `stall`", async () => {
    const { bad, addresses } = await withRogue({ onGet: () => {} });
    const client = await dial(addresses, { stall: 8_000 });
    const all = expectAll(client);
    while (bad.gets.length < 3) await setImmediate();
    await clock.advance(7_999);
    expect(told("left")).toEqual([]);
    await clock.advance(1);
    await all;
    expect(told("left")).toMatchObject([
      { loader: bad.address, reason: expect.stringContaining("sent nothing for 8 s") },
    ]);
    expect(slotsOf(told("moved"))).toBe(3 * 4);
  });

  test("stops after half a cell is left, but not while bytes come", async () => {
    let drip = (): void => {};
    const { bad, addresses } = await withRogue({
      onGet: async ({ cells, socket }) => {
        const [first] = await cells();
        let at = 0;
        drip = () => void socket.write(first!.subarray(at, (at += 10)));
        drip();
      },
    });
    const client = await dial(addresses, { stall: 8_000 });
    const got = client.get(0);
    while (bad.gets.length < 1) await setImmediate();
    for (let second = 0; second < 20; second++) {
      await clock.advance(1_000);
      drip();
      await turns();
    }
    expect(told("left")).toEqual([]);
    expect(batchDigest(await passing(got))).toBe(undisturbed[0]);
    expect(told("left")).toHaveLength(1);
  });

  test("is alone is not left while it lives: it is slow, and nobody else could be asked", async () => {
    let alive = true;
    const slow = await rogue({ onGet: () => {}, polls: () => alive });
    const client = await dial([slow.address], { stall: 8_000, reconnect: 0 });
    const got = codeOf(client.get(0));
    while (slow.gets.length < 1) await setImmediate();
    for (let second = 0; second < 60; second++) {
      await clock.advance(1_000);
      await turns();
    }
    expect(told("left")).toEqual([]);
    alive = false;
    expect(await passing(got)).toBe("CONNECTION_LOST");
  });

  test("has enough with one request is left; with one beside others it is asked later", async () => {
    for (const first of [0, 2]) {
      const refused = Promise.withResolvers<void>();
      const { bad, addresses } = await withRogue({
        onGet: async ({ get, number, say, answer }) => {
          if (number < first) await refused.promise;
          if (number !== first) return await answer();
          say({ kind: "error", id: get.id, code: "LIMIT", message: "too many" });
          refused.resolve();
        },
      });
      const client = await dial(addresses);
      await (first === 0 ? client.get(0) : expectAll(client));
      const reason = expect.stringContaining("LIMIT");
      expect(told("left")).toMatchObject(first === 0 ? [{ loader: bad.address, reason }] : []);
      expect(told("moved").length > 0).toBe(first === 0);
    }
  });

  test("answers no poll is left, too, and another is asked", async () => {
    const deaf = await rogue({ polls: () => false });
    const other = await rogue({});
    const client = await dial([deaf.address, other.address], { stall: 8_000 });
    expect((await passing(client.refresh())).batch).toBe(BATCH);
    expect(told("left")).toMatchObject([{ loader: deaf.address }]);
    expect((await passing(client.refresh())).batch).toBe(BATCH);
  });

  test("refuses one request only goes on with the others", async () => {
    for (const code of ["NEEDS_INDEX", "TOO_FEW_ROWS"] as const) {
      const { bad, addresses } = await withRogue({
        onGet: async ({ get, say, answer }) =>
          get.step === 3
            ? say({ kind: "error", id: get.id, code, message: "not this one" })
            : await answer(),
      });
      const client = await dial(addresses);
      await expectAll(client);
      expect(told("left")).toEqual([]);
      expect(slotsOf(told("moved"))).toBe(4);
      for (const moved of told("moved"))
        expect(moved).toMatchObject({ step: 3, from: bad.address });
      expect(bad.gets).toHaveLength(STEPS);
    }
  });
});

describe("hedging", () => {
  test("asks a second loader after so long; the first answer counts and the other is cancelled", async () => {
    const { bad, addresses } = await withRogue({
      onGet: async ({ get, answer }) => void (get.step === 2 || (await answer())),
    });
    const client = await dial(addresses, { hedge: 500 });
    const all = expectAll(client);
    while (bad.gets.length < 5) await setImmediate();
    // Each loader is watched; of the requests one is unanswered.
    await clock.sleeping(3 + 1);
    await clock.advance(499);
    expect(told("hedged")).toEqual([]);
    await clock.advance(1);
    await all;
    expect(slotsOf(told("hedged"))).toBe(4);
    for (const hedged of told("hedged"))
      expect(hedged).toMatchObject({ step: 2, from: bad.address });
    expect(told("left")).toEqual([]);
    while (bad.cancels.length < 1) await setImmediate();
    expect(bad.cancels).toEqual([bad.gets.find(({ step }) => step === 2)!.id]);
  });

  test("the late one may still be first", async () => {
    let late = (): Promise<void> => Promise.resolve();
    const onGet = (turn: Turn): void => void (late = turn.answer);
    const { addresses } = await withRogue({ onGet });
    const second = await rogue({ near: [], onGet: () => {} });
    const client = await dial([addresses[0]!, addresses[1]!, addresses[2]!, second.address], {
      hedge: 500,
    });
    const got = client.get(0);
    await clock.sleeping(3 + 1);
    await clock.advance(500);
    while (second.gets.length < 1) await setImmediate();
    await late();
    expect(batchDigest(await got)).toBe(undisturbed[0]);
    while (second.cancels.length < 1) await setImmediate();
  });

  test("is not done where nobody else is there", async () => {
    let late = (): Promise<void> => Promise.resolve();
    const only = await rogue({ onGet: (turn) => void (late = turn.answer) });
    const client = await dial(only.address, { hedge: 500 });
    const got = client.get(0);
    while (only.gets.length < 1) await setImmediate();
    await clock.advance(2_000);
    await late();
    expect(batchDigest(await got)).toBe(undisturbed[0]);
    expect(told("hedged")).toEqual([]);
  });
});

test(
  "whatever goes wrong, at whatever time, batches are the same",
  { timeout: 60_000 },
  async () => {
    const names = [...Object.keys(faults), "sends nothing"];
    await fc.assert(
      fc.asyncProperty(
        // What each of three loaders does with its requests, one after the other.
        fc.array(fc.array(fc.option(fc.constantFrom(...names), { freq: 2 }), { maxLength: 12 }), {
          minLength: 3,
          maxLength: 3,
        }),
        fc.option(fc.constantFrom(300, 2_000), { nil: undefined }),
        async (plans, hedge) => {
          const bad = await Promise.all(
            plans.map((plan, node) =>
              rogue({
                near: near(node, 3),
                onGet: async (turn) => {
                  const name = plan[turn.number];
                  if (name === "sends nothing") return;
                  if (typeof name === "string") await faults[name]![0](turn);
                  else await turn.answer();
                },
              }),
            ),
          );
          const good = await rogue({ near: [] });
          const client = await dial(addressesOf([...bad, good]), {
            stall: 4_000,
            ...(hedge !== undefined && { hedge }),
          });
          await passing(expectAll(client), 500);
          await client.close();
          await clock.sleeping(0);
          for (const each of [...bad, good]) await each.close();
        },
      ),
      { numRuns: 25 },
    );
  },
);

describe("an error is the caller's", () => {
  test("when every loader refuses", async () => {
    for (const code of ["SHARD_CORRUPT", "NEEDS_INDEX"] as const) {
      const bad = await Promise.all(
        [0, 1, 2].map((node) =>
          rogue({
            near: near(node, 3),
            onGet: async ({ get, say, answer }) =>
              get.step === 1 && get.slots?.includes(5) === true
                ? say({ kind: "error", id: get.id, code, message: "no row 5" })
                : await answer(),
          }),
        ),
      );
      const client = await dial(addressesOf(bad));
      expect(await codeOf(client.get(1))).toBe(code);
      const asked = bad.flatMap(({ gets }) => gets.filter(({ slots }) => slots?.includes(5)));
      expect(asked).toHaveLength(3);
    }
  });

  test("at once where all would give it", async () => {
    const bad = await Promise.all(
      [0, 1].map((node) =>
        rogue({
          near: near(node, 2),
          onGet: ({ get, say }) =>
            say({ kind: "error", id: get.id, code: "STEP_OUT_OF_RANGE", message: "beyond" }),
        }),
      ),
    );
    const client = await dial(addressesOf(bad));
    expect(await codeOf(client.get(1))).toBe("STEP_OUT_OF_RANGE");
    expect(bad.map(({ gets }) => gets.length)).toEqual([1, 1]);
    expect(told("left")).toEqual([]);
  });

  test("when all answer wrongly", async () => {
    const bad = await Promise.all(
      [0, 1].map((node) =>
        rogue({ near: near(node, 2), onGet: ({ get, say }) => say({ ...get, kind: "end" }) }),
      ),
    );
    const client = await dial(addressesOf(bad));
    expect(await codeOf(client.get(1))).toBe("PROTOCOL");
  });
});

describe("when all are gone", () => {
  test("and come back, the run goes on", async () => {
    const all = await Promise.all([0, 1].map((node) => rogue({ near: near(node, 2) })));
    const client = await dial(addressesOf(all));
    await passing(
      expectAll(client, async (step) => {
        if (step !== 3) return;
        for (const each of all) await each.close();
        await turns();
        await clock.advance(5_000);
        expect(client.loaders.map(({ state }) => state)).toEqual(["left", "left"]);
        setTimeout(() => void Promise.all(all.map((each) => each.listen())), 30);
      }),
      10,
    );
    expect(told("back")).toHaveLength(2);
  });

  test("for too long, CONNECTION_LOST names each; later they may be back", async () => {
    const all = await Promise.all([0, 1].map((node) => rogue({ near: near(node, 2) })));
    const client = await dial(addressesOf(all), { reconnect: 20_000 });
    for (const each of all) await each.close();
    const began = clock.now();
    const error = await passing(client.get(0)).catch((thrown: unknown) => thrown as StreamError);
    expect(error).toMatchObject({ code: "CONNECTION_LOST" });
    for (const { address } of all) expect((error as StreamError).message).toContain(address);
    expect(clock.now() - began).toBeGreaterThanOrEqual(20_000);
    expect(clock.now() - began).toBeLessThan(25_000);
    for (const each of all) await each.listen();
    expect(batchDigest(await passing(client.get(0)))).toBe(undisturbed[0]);
  });

  test("and refuse for good, that is told at once", async () => {
    const first = await serve({ near: near(0, 2) });
    const second = await serve({ near: near(1, 2) });
    const client = await dial([first.address, second.address]);
    await client.get(0);
    await Promise.all([first.close(), second.close()]);
    await serve({ fingerprint: "sha256:other" }, { listen: first.address });
    await serve({}, { listen: second.address, token: "secret" });
    expect(await passing(codeOf(client.get(1)))).toMatch(/OTHER_STREAM|UNAUTHORIZED/);
  });

  test("one that hangs does not hold up those that come back", async () => {
    const hanging = await rogue({ greet: () => {} });
    const other = await rogue({});
    const client = await passing(dial([hanging.address, other.address]));
    await other.close();
    const got = client.get(0);
    // Its own pauses have become long by now.
    for (let second = 0; second < 40; second++) {
      await clock.advance(1_000);
      await turns();
    }
    await other.listen();
    const began = clock.now();
    expect(batchDigest(await passing(got, 100))).toBe(undisturbed[0]);
    expect(clock.now() - began).toBeLessThan(5_000);
  });

  test("requests that flap forever end with patience, too", async () => {
    const flapping = await rogue({ onGet: ({ socket }) => void socket.destroy() });
    const client = await dial(flapping.address, { reconnect: 10_000 });
    expect(await passing(codeOf(client.get(0)), 100)).toBe("CONNECTION_LOST");
    expect(flapping.accepted).toBeLessThan(20);
    const calls = await rogue({ onPoll: (socket) => void socket.destroy() });
    const asking = await dial(calls.address, { reconnect: 9_000 });
    expect(await passing(codeOf(asking.refresh()), 100)).toBe("CONNECTION_LOST");
  });
});

describe("loaders that join and leave", () => {
  test("by a file", async () => {
    const servers = await serveAll(3);
    const [one, two, three] = addressesOf(servers);
    const file = join(temporaryFolder(), "loaders.txt");
    writeFileSync(file, `${one}\n`);
    const client = await dial(pathToFileURL(file).href);
    await expectAll(client, async (step) => {
      if (step === 1) writeFileSync(file, `${one}\n${two}\n${three}\n`);
      else if (step === 4) writeFileSync(file, `${two}\n${three}\n`);
      else return;
      await clock.advance(1_000);
      const wanted = step === 1 ? [one, two, three] : [two, three];
      const inUse = (): string[] =>
        addressesOf(client.loaders.filter(({ state }) => state === "in use"));
      while (inUse().join() !== wanted.join()) await setImmediate();
    });
    expect(told("gone")).toEqual([{ event: "gone", loader: one }]);
    expect(told("joined").map(({ loader }) => loader)).toEqual([one, two, three]);
    expect(told("left")).toEqual([]);
    expect(makers.every(({ tally }) => tally.opened > 0)).toBe(true);
    while (servers[0]!.clients.length > 0) await setImmediate();
  });

  test("by what one of them tells", async () => {
    const listed: string[] = [];
    const first = await serve({ near: near(0, 3) }, { loaders: () => listed });
    const others = await Promise.all([1, 2].map((node) => serve({ near: near(node, 3) })));
    listed.push(first.address, others[0]!.address);
    const client = await dial(first.address);
    expect(addressesOf(client.loaders)).toEqual(listed);
    await expectAll(client, async (step) => {
      if (step !== 2) return;
      listed.splice(1, 1, others[1]!.address);
      await clock.advance(10_000);
      while (client.loaders[1]?.address !== others[1]!.address) await setImmediate();
      while (client.loaders[1]?.state !== "in use") await setImmediate();
    });
    expect(told("gone")).toEqual([{ event: "gone", loader: others[0]!.address }]);
    expect(makers.every(({ tally }) => tally.opened > 0)).toBe(true);
  });

  test("a loader that is gone from the list finishes what it owes", async () => {
    let late = (): Promise<void> => Promise.resolve();
    const leaving = await rogue({ onGet: (turn) => void (late = turn.answer) });
    const staying = await serve({});
    const file = join(temporaryFolder(), "loaders.txt");
    writeFileSync(file, leaving.address);
    const client = await dial(pathToFileURL(file).href);
    const got = client.get(0);
    while (leaving.gets.length < 1) await setImmediate();
    writeFileSync(file, staying.address);
    await clock.advance(1_000);
    while (client.loaders[0]?.address !== staying.address) await setImmediate();
    await turns();
    expect(leaving.sockets.size).toBe(1);
    await late();
    expect(batchDigest(await got)).toBe(undisturbed[0]);
    while (leaving.sockets.size > 0) await setImmediate();
    expect(told("moved")).toEqual([]);
  });

  test("by a name", async () => {
    // Loopback has many addresses: one port, and servers on some of them.
    const first = await serve({ near: near(0, 2) }, { listen: "tcp://127.0.0.1:0" });
    const port = first.address.split(":")[2]!;
    const second = await serve({ near: near(1, 2) }, { listen: `tcp://127.0.0.2:${port}` });
    let found = ["127.0.0.1"];
    const client = await dial(
      `dns+tcp://loaders.example:${port}`,
      {},
      { resolve: (host) => Promise.resolve(host === "loaders.example" ? found : []) },
    );
    await expectAll(client, async (step) => {
      if (step === 2) found = ["127.0.0.1", "127.0.0.2"];
      else if (step === 5) found = ["127.0.0.2"];
      else return;
      await clock.advance(10_000);
      while (addressesOf(client.loaders).length !== found.length) await setImmediate();
      while (client.loaders.some(({ state }) => state !== "in use")) await setImmediate();
    });
    expect(told("joined").map(({ loader }) => loader)).toEqual([first.address, second.address]);
    expect(told("gone").map(({ loader }) => loader)).toEqual([first.address]);
  });
});

test("addresses of a name are checked for its certificate", async () => {
  const own = certificate("ours", { hosts: ["loaders.example"] });
  const files = temporaryFolder({ "cert.pem": own.cert, "key.pem": own.key });
  const [cert, key] = [join(files, "cert.pem"), join(files, "key.pem")];
  const server = await serve({}, { listen: "tls://127.0.0.1:0", tls: { cert, key } });
  const port = server.address.split(":")[2]!;
  const resolve = (): Promise<string[]> => Promise.resolve(["127.0.0.1"]);
  const trusting = { tls: { ca: cert } };
  const client = await dial(`dns+tls://loaders.example:${port}`, trusting, { resolve });
  expect(batchDigest(await client.get(0))).toBe(undisturbed[0]);
  const other = dial(`dns+tls://other.example:${port}`, trusting, { resolve });
  expect(await codeOf(other)).toBe("UNAUTHORIZED");
});

test.each([{ stall: 0 }, { hedge: -1 }, { timeout: 0 }, { reconnect: Number.NaN }])(
  "option %j is refused",
  async (options) => {
    expect(await codeOf(connect("tcp://127.0.0.1:1", options))).toBe("BAD_OPTION");
  },
);

describe("nothing is left behind", () => {
  const idle = async (servers: readonly Server[]): Promise<void> => {
    while (servers.some((each) => each.clients.some(({ requests }) => requests > 0)))
      await setImmediate();
  };

  test("by a consumer that breaks off, throws or aborts", async () => {
    const servers = await serveAll(2);
    const client = await dial(addressesOf(servers), { hedge: 60_000 });
    for await (const { step } of client.stream()) if (step === 2) break;
    await idle(servers);
    const throwing = (async () => {
      for await (const { step } of client.stream()) if (step === 4) throw new Error("mine");
    })();
    await expect(throwing).rejects.toThrow("mine");
    await idle(servers);
    const controller = new AbortController();
    const aborted = (async () => {
      for await (const { step } of client.stream({ from: 0, signal: controller.signal }))
        if (step === 3) controller.abort();
    })();
    expect(await codeOf(aborted)).toBe("ABORTED");
    await idle(servers);
    // The two watches over what was owed end by themselves.
    await clock.advance(30_000);
    await clock.sleeping(0);
  });

  test("by close, whatever was under way", async () => {
    const hanging = await Promise.all(
      [0, 1].map((node) => rogue({ near: near(node, 2), onGet: () => {} })),
    );
    const dead = await rogue({});
    await dead.close();
    const deaf = await rogue({ greet: () => {} });
    const client = await passing(
      dial([...addressesOf(hanging), dead.address, deaf.address], { hedge: 50 }),
    );
    const waiting = [codeOf(client.get(0)), codeOf(client.stream().next()), codeOf(client.get(3))];
    while (hanging.some(({ gets }) => gets.length < 4)) await setImmediate();
    await clock.advance(60);
    await client.close();
    expect(await Promise.all(waiting)).toEqual(["CLOSED", "CLOSED", "CLOSED"]);
    for (const code of [client.get(0), client.stream().next(), client.refresh(), client.counts()])
      expect(await codeOf(code)).toBe("CLOSED");
    for (const { sockets } of [...hanging, deaf]) while (sockets.size > 0) await setImmediate();
    await clock.sleeping(0);
    await client.close();
  });

  test("by close, of a loader that hangs and is no longer listed", async () => {
    const hanging = await rogue({ onGet: () => {} });
    const file = join(temporaryFolder(), "loaders.txt");
    writeFileSync(file, hanging.address);
    const client = await dial(pathToFileURL(file).href);
    const got = codeOf(client.get(0));
    while (hanging.gets.length < 1) await setImmediate();
    const staying = await serve({});
    writeFileSync(file, staying.address);
    await clock.advance(1_000);
    while (client.loaders[0]?.state !== "in use") await setImmediate();
    await client.close();
    expect(await got).toBe("CLOSED");
    while (hanging.sockets.size > 0) await setImmediate();
    await clock.sleeping(0);
  });

  test("by close while no loader is in use", async () => {
    const only = await rogue({});
    const client = await dial(only.address);
    await only.close();
    const waiting = [codeOf(client.get(0)), codeOf(client.refresh())];
    await turns();
    await client.close();
    expect(await Promise.all(waiting)).toEqual(["CLOSED", "CLOSED"]);
    await clock.sleeping(0);
  });

  test("by a connect that fails", async () => {
    const dead = await rogue({});
    await dead.close();
    const other = await rogue({ greet: (socket) => void socket.write("garbage, no frame") });
    clock = createFakeClock();
    const failed = connect([dead.address, other.address], {}, { clock });
    expect(await codeOf(failed)).toBe("CONNECTION_LOST");
    await clock.sleeping(0);
    while (other.sockets.size > 0) await setImmediate();
  });
});
