import { deepEqual } from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer as createSocketServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { StreamError } from "../../src/errors.ts";
import type { CellMaker } from "../../src/model.ts";
import type { ServerMessage } from "../../src/transport/messages.ts";
import { createServer, type Server, type ServerOptions } from "../../src/transport/server.ts";
import { createFake, pixel, type FakeMaker, type FakeOptions } from "./fake.ts";
import { dial as dialPeer, hello, type Peer } from "./peer.ts";

let folder: string;
let maker: FakeMaker;
let server: Server | undefined;
let errors: StreamError[];
const peers = new Set<Peer>();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "wire-"));
  errors = [];
});

afterEach(async () => {
  for (const peer of peers) peer.socket.destroy();
  peers.clear();
  await server?.close();
  server = undefined;
  rmSync(folder, { recursive: true, force: true });
  // Whatever the test did: each cell was given back once, each iterator was closed.
  const { made, released, twice, opened, closed } = maker.tally;
  deepEqual({ released, twice, closed }, { released: made, twice: 0, closed: opened });
  deepEqual(errors, []);
});

async function serve(
  fake: FakeOptions = {},
  options: Partial<ServerOptions> = {},
): Promise<Server> {
  maker = createFake(fake);
  server = await createServer(maker, {
    listen: "tcp://127.0.0.1:0",
    onError: (error) => errors.push(error),
    ...options,
  });
  return server;
}

async function dial(address = server?.address ?? ""): Promise<Peer> {
  const peer = await dialPeer(address);
  peers.add(peer);
  return peer;
}

async function greeted(address?: string): Promise<Peer> {
  const peer = await dial(address);
  peer.send(hello);
  expect(await peer.next()).toMatchObject({ kind: "welcome", protocol: 1, info: maker.info() });
  return peer;
}

type CellMessage = Extract<ServerMessage, { kind: "cell" }>;

function cellsOf(messages: readonly ServerMessage[]): CellMessage[] {
  return messages.filter((message) => message.kind === "cell");
}

function slotsOf(messages: readonly ServerMessage[]): number[] {
  return cellsOf(messages).flatMap(({ puzzles }) => puzzles.map(({ slot }) => slot));
}

function expectPixels(messages: readonly ServerMessage[]): void {
  for (const { puzzles } of cellsOf(messages)) {
    for (const { index, images } of puzzles) {
      for (const [number, { data }] of images.entries()) {
        expect(data.every((value, at) => value === pixel(index, number, at))).toBe(true);
      }
    }
  }
}

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
};

describe("requests", () => {
  test("get: the cells of a step and its end, pixels intact", async () => {
    await serve({ failing: [5] });
    const peer = await greeted();
    peer.send({ kind: "get", id: 7, step: 3 });
    const messages = await peer.until("end");
    expect(messages.map(({ kind }) => kind)).toEqual(["cell", "cell", "end"]);
    expect(slotsOf(messages)).toEqual([0, 1, 2, 3, 4, 6, 7]);
    expect(cellsOf(messages)[1]?.failed).toMatchObject([
      { slot: 5, error: { code: "SLOT_FAILED" } },
    ]);
    expectPixels(messages);
  });

  test("pixels are intact although cells are released and overwritten at once, over megabytes", async () => {
    await serve({ side: 300, batch: 16 });
    const peer = await greeted();
    peer.send({ kind: "stream", id: 1, step: 0, steps: 3, credit: 2 ** 30 });
    expectPixels(await peer.until("done"));
  });

  test("an id is free, and counts no more, when the answer has arrived", async () => {
    const slow = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 3));
    await serve({ after: slow, steps: 100 }, { limits: { requests: 1 } });
    const peer = await greeted();
    for (let step = 0; step < 20; step++) {
      peer.send({ kind: "get", id: 1, step });
      expect(slotsOf(await peer.until("end", "error"))).toHaveLength(8);
      peer.send({ kind: "stream", id: 1, step, steps: 1, credit: 1 });
      expect((await peer.until("cell", "error")).at(-1)).toMatchObject({ kind: "cell" });
      peer.send({ kind: "cancel", id: 1 });
      await peer.until("done");
    }
  });

  test("get of some slots", async () => {
    await serve({ steps: 4 });
    const peer = await greeted();
    peer.send({ kind: "get", id: 1, step: 3, slots: [6, 0] });
    expect(slotsOf(await peer.until("end"))).toEqual([0, 6]);
  });

  test("requests of one connection interleave and each is answered", async () => {
    await serve();
    const peer = await greeted();
    for (let id = 1; id <= 10; id++) peer.send({ kind: "get", id, step: id });
    const messages: ServerMessage[] = [];
    for (let left = 10; left > 0; left--) messages.push(...(await peer.until("end")));
    for (let id = 1; id <= 10; id++) {
      const own = cellsOf(messages).filter((message) => message.id === id);
      expect(own.every(({ step }) => step === id)).toBe(true);
      expect(slotsOf(own)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    }
  });

  test("several clients, each in its own format", async () => {
    await serve();
    const formats = ["raw", "jpeg", "png"] as const;
    const found = await Promise.all(
      formats.map(async (format, step) => {
        const peer = await dial();
        peer.send({ ...hello, format }, { kind: "get", id: 1, step });
        return cellsOf(await peer.until("end"));
      }),
    );
    expect(found.map((cells) => cells[0]?.puzzles[0]?.images[0]?.format)).toEqual(formats);
    expect(found.map((cells) => cells[0]?.step)).toEqual([0, 1, 2]);
    expect(server?.clients.map(({ format }) => format).toSorted()).toEqual(formats.toSorted());
  });

  test("stream of a finite stream ends with done, also when it starts at the end", async () => {
    await serve({ steps: 5 });
    const peer = await greeted();
    peer.send({ kind: "stream", id: 1, step: 3, credit: 1e9 });
    const ends = (await peer.until("done")).filter(({ kind }) => kind === "end");
    expect(ends).toMatchObject([{ step: 3 }, { step: 4 }]);
    peer.send({ kind: "stream", id: 2, step: 5, credit: 0 });
    expect(await peer.until("done")).toHaveLength(1);
  });

  test.each([
    ["a slot out of range", { step: 0, slots: [8] }, "BAD_SLOTS"],
    ["a slot twice", { step: 0, slots: [1, 1] }, "BAD_SLOTS"],
    ["no slot", { step: 0, slots: [] }, "BAD_SLOTS"],
    ["a step behind the end", { step: 4 }, "STEP_OUT_OF_RANGE"],
    ["a step beyond exact indices", { step: 2 ** 53 - 1 }, "STEP_OUT_OF_RANGE"],
  ])("%s ends the request, not the connection", async (_, asked, code) => {
    await serve({ steps: 4 });
    const peer = await greeted();
    peer.send({ kind: "get", id: 1, ...asked });
    expect(await peer.next()).toMatchObject({ kind: "error", id: 1, code });
    peer.send({ kind: "get", id: 1, step: 0 });
    expect(slotsOf(await peer.until("end"))).toHaveLength(8);
  });

  test("a maker that fails in the middle of a step", async () => {
    await serve({
      before: (_, cell) => {
        if (cell === 1) throw new Error("disk on fire");
      },
    });
    const peer = await greeted();
    peer.send({ kind: "get", id: 1, step: 0 });
    const messages = await peer.until("error");
    expect(messages.map(({ kind }) => kind)).toEqual(["cell", "error"]);
    expect(messages[1]).toMatchObject({
      id: 1,
      code: "INTERNAL",
      message: expect.stringMatching(/^internal error [0-9a-f]{8};/) as string,
    });
    const [logged] = errors.splice(0);
    expect(logged?.message).toBe(
      `${messages[1]?.kind === "error" ? messages[1].message.slice(15, 23) : ""}: disk on fire`,
    );
    peer.send({ kind: "poll", id: 2 });
    expect(await peer.next()).toMatchObject({ kind: "info", id: 2 });
  });

  test("an endless stream whose maker stops is our bug, and said so", async () => {
    maker = createFake();
    const endless: CellMaker = {
      info: () => maker.info(),
      counts: () => maker.counts(),
      cells: (requests, options) => maker.cells(Iterator.from(requests).take(2), options),
    };
    server = await createServer(endless, {
      listen: "tcp://127.0.0.1:0",
      onError: (error) => errors.push(error),
    });
    const peer = await greeted();
    peer.send({ kind: "stream", id: 1, step: 5, credit: 1e9 });
    expect((await peer.until("error")).at(-1)).toMatchObject({ id: 1, code: "INTERNAL" });
    expect(errors.splice(0)).toHaveLength(1);
  });

  test("steps without a cell end all the same", async () => {
    maker = createFake({ steps: 5 });
    const short: CellMaker = {
      info: () => maker.info(),
      counts: () => maker.counts(),
      cells: (requests, options) =>
        maker.cells(
          Iterator.from(requests).filter(({ step }) => step === 1 || step === 3),
          options,
        ),
    };
    server = await createServer(short, { listen: "tcp://127.0.0.1:0" });
    const peer = await greeted();
    peer.send({ kind: "stream", id: 1, step: 0, credit: 1e9 });
    const messages = await peer.until("done");
    const told = messages.map(
      (message) => `${message.kind} ${"step" in message ? message.step : ""}`,
    );
    const one = "end 0, cell 1, cell 1, end 1, end 2";
    expect(told.join(", ")).toBe(`${one}, cell 3, cell 3, end 3, end 4, done `);
    peer.send({ kind: "get", id: 1, step: 2 });
    expect(await peer.until("end")).toMatchObject([{ kind: "end", step: 2 }]);
  });

  test("feedback is handed on and counted", async () => {
    const given: unknown[] = [];
    await serve({}, { onFeedback: (feedback) => given.push(feedback) });
    const peer = await greeted();
    const rewards = [{ index: 8, reward: 1.5 }];
    peer.send({ kind: "feedback", step: 1, rewards }, { kind: "poll", id: 1 });
    await peer.until("info");
    expect(given).toEqual([{ client: "test", step: 1, rewards }]);
    expect(server?.clients).toMatchObject([{ name: "test", rewards: 1 }]);
  });

  test("bye ends it", async () => {
    await serve();
    const peer = await greeted();
    peer.send({ kind: "stream", id: 1, step: 0, credit: 1e9 }, { kind: "bye" });
    while ((await peer.next()) !== undefined);
    await until(() => server?.clients.length === 0);
  });
});

describe("credit", () => {
  /** Frames that must come for these grants, by the rule of docs/protocol.md. */
  function allowed(size: number, grants: readonly number[]): number {
    let [balance, frames] = [0, 0];
    for (const grant of grants) {
      balance += grant;
      for (; balance > 0; frames++) balance -= size;
    }
    return frames;
  }

  test("frames come exactly as far as the balance goes, one frame below zero at most", async () => {
    // Steps of three digits, so that all frames have the same length.
    await serve();
    const peer = await greeted();
    peer.send({ kind: "get", id: 1, step: 500 });
    const size = (await peer.next())?.bytes ?? 0;
    await peer.until("end");
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 3 * size }), { minLength: 1, maxLength: 4 }),
        async (grants) => {
          const [first = 0, ...later] = grants;
          peer.send({ kind: "stream", id: 2, step: 500, credit: first });
          let received = 0;
          for (const [i, bytes] of [first, ...later].entries()) {
            if (i > 0 && bytes > 0) peer.send({ kind: "credit", id: 2, bytes });
            const wanted = allowed(size, [first, ...later.slice(0, i)]);
            while (received < wanted) {
              const message = await peer.next();
              if (message?.kind === "cell") {
                expect(message.bytes).toBe(size);
                received++;
              }
            }
            // An answer to something asked later: had there been another cell ready to go, it would have come first.
            peer.send({ kind: "get", id: 3, step: 900, slots: [0] });
            const rest = (await peer.until("end")).filter(
              (message) => message.kind !== "end" || message.id === 3,
            );
            const last = rest.at(-1);
            const between = last?.kind === "end" && last.id === 3 ? rest : await peer.until("end");
            expect(cellsOf(between).filter(({ id }) => id === 2)).toEqual([]);
          }
          peer.send({ kind: "cancel", id: 2 });
          expect(cellsOf(await peer.until("done"))).toEqual([]);
        },
      ),
      { numRuns: 25 },
    );
  });

  test("a stream without credit pulls nothing from the maker", async () => {
    await serve();
    const peer = await greeted();
    peer.send({ kind: "stream", id: 1, step: 0, credit: 0 }, { kind: "get", id: 2, step: 1 });
    await peer.until("end");
    expect(maker.tally.made).toBe(2);
  });

  test("too much credit is an error", async () => {
    await serve({}, { limits: { credit: 1000 } });
    const peer = await greeted();
    peer.send({ kind: "stream", id: 1, step: 0, steps: 0, credit: 1001 });
    expect(await peer.next()).toMatchObject({ kind: "error", code: "PROTOCOL" });
  });
});

describe("leaving early", () => {
  test("cancel stops the work, is answered with done, and the id is free", async () => {
    await serve();
    const peer = await greeted();
    peer.send({ kind: "stream", id: 1, step: 0, credit: 1e5 });
    await peer.next();
    peer.send({ kind: "cancel", id: 1 });
    await peer.until("done");
    await until(() => maker.tally.closed === 1);
    peer.send({ kind: "cancel", id: 1 }, { kind: "get", id: 1, step: 2 });
    const messages = await peer.until("end");
    expect(messages.map(({ kind }) => kind)).toEqual(["cell", "cell", "end"]);
  });

  test("cancel reaches a maker that is waiting", async () => {
    await serve({
      before: (_step, _cell, signal) =>
        new Promise((_, reject) =>
          signal?.addEventListener("abort", () => reject(new Error("stopped"))),
        ),
    });
    const peer = await greeted();
    peer.send({ kind: "get", id: 1, step: 0 });
    await until(() => maker.tally.opened === 1);
    peer.send({ kind: "cancel", id: 1 });
    expect(await peer.next()).toMatchObject({ kind: "done", id: 1 });
  });

  test("a client that vanishes in the middle of a frame stops the work", async () => {
    await serve({ side: 400, batch: 64 });
    const peer = await greeted();
    peer.send({ kind: "stream", id: 1, step: 0, credit: 1e12 });
    await new Promise((resolve) => peer.socket.once("readable", resolve));
    peer.socket.destroy();
    await until(() => server?.clients.length === 0);
    expect(maker.tally.closed).toBe(1);
  });

  test("a client that never reads holds a bounded number of cells, and the others are served", async () => {
    // Cells of 4 MB; 8 MB may wait for the kernel, whose own buffers take some more.
    await serve({ side: 600, images: 1, batch: 400 }, { limits: { queued: 8e6 } });
    const idle = await greeted();
    idle.socket.pause();
    idle.send({ kind: "stream", id: 1, step: 0, credit: 1e12 });
    const held = (): number => maker.tally.made - maker.tally.released;
    await until(() => held() >= 2);
    const peer = await greeted();
    for (let id = 1; id <= 5; id++) {
      peer.send({ kind: "get", id, step: id, slots: [1, 2] });
      expect(slotsOf(await peer.until("end"))).toEqual([1, 2]);
    }
    expect(held()).toBeLessThanOrEqual(4);
    expect(server?.clients).toMatchObject([{ requests: 1 }, { requests: 0 }]);
  });

  test("closing the server tells its clients and stops their work", async () => {
    await serve();
    const peer = await greeted();
    peer.send({ kind: "stream", id: 1, step: 0, credit: 1 });
    await peer.next();
    const closing = server?.close();
    expect((await peer.until("error")).at(-1)).toMatchObject({ kind: "error", code: "CLOSED" });
    await closing;
    expect(maker.tally.closed).toBe(1);
  });
});

describe("whatever a client sends", () => {
  const alive = async (): Promise<void> => {
    const peer = await greeted();
    peer.send({ kind: "get", id: 1, step: 1 });
    expect(slotsOf(await peer.until("end"))).toHaveLength(8);
    peer.socket.destroy();
  };

  test("random bytes, before and after hello, end that connection alone", async () => {
    await serve();
    const bytes = fc.uint8Array({ minLength: 4, maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(bytes, fc.boolean(), async (noise, after) => {
        const peer = after ? await greeted() : await dial();
        peer.raw(noise);
        peer.socket.end();
        const answer = await peer.next();
        if (answer !== undefined)
          expect(answer).toMatchObject({ kind: "error", code: "BAD_FRAME" });
      }),
      { numRuns: 60 },
    );
    await alive();
  });

  test.each([
    ["a get before hello", { kind: "get", id: 1, step: 0 }, "PROTOCOL"],
    ["another protocol", { ...hello, protocol: 2 }, "PROTOCOL"],
    ["another stream", { ...hello, fingerprint: "sha256:other" }, "OTHER_STREAM"],
    ["no token", hello, "UNAUTHORIZED"],
    ["a wrong token", { ...hello, token: "secre" }, "UNAUTHORIZED"],
  ] as const)("%s is refused with a reason", async (_, message, code) => {
    await serve({}, code === "UNAUTHORIZED" ? { token: "secret" } : {});
    const peer = await dial();
    peer.send(message);
    expect(await peer.next()).toMatchObject({ kind: "error", code });
    expect(await peer.next()).toBeUndefined();
  });

  test("the right token is welcomed; the refusal does not show it", async () => {
    await serve({}, { token: "secret" });
    const peer = await dial();
    peer.send({ ...hello, token: "secret" });
    expect(await peer.next()).toMatchObject({ kind: "welcome" });
    const other = await dial();
    other.send({ ...hello, token: "wrong" });
    expect(JSON.stringify(await other.next())).not.toContain("secret");
  });

  test.each([
    ["a second hello", [hello]],
    [
      "an id in use",
      [
        { kind: "stream", id: 1, step: 0, credit: 0 },
        { kind: "get", id: 1, step: 0 },
      ],
    ],
  ] as const)("%s ends the connection", async (_, messages) => {
    await serve();
    const peer = await greeted();
    peer.send(...messages);
    expect((await peer.until("error")).at(-1)).toMatchObject({ code: "PROTOCOL" });
    expect(await peer.next()).toBeUndefined();
    await alive();
  });

  test("every bad frame of the vectors is answered with its code", async () => {
    await serve();
    const file = new URL("../vectors/protocol/bad.json", import.meta.url);
    const vectors = JSON.parse(readFileSync(file, "utf8")) as Record<string, string | number>[];
    const bad = vectors.filter(({ from }) => from === "client");
    expect(bad.length).toBeGreaterThan(50);
    for (const { name, hex, code, limit } of bad) {
      const peer = limit === 2 ** 16 ? await dial() : await greeted();
      peer.raw(Buffer.from(String(hex), "hex"));
      expect([name, await peer.next()]).toMatchObject([name, { kind: "error", code }]);
      peer.socket.destroy();
    }
    await alive();
  });

  test("a large hello and a large request are refused by their length alone", async () => {
    await serve();
    const stranger = await dial();
    stranger.raw(Buffer.from("52315301 01000000 00010000 00000000".replaceAll(" ", ""), "hex"));
    expect(await stranger.next()).toMatchObject({ kind: "error", code: "FRAME_TOO_LARGE" });
    const peer = await greeted();
    peer.raw(Buffer.from("52315301 06000000 00100000 00000000".replaceAll(" ", ""), "hex"));
    expect(await peer.next()).toMatchObject({ kind: "error", code: "FRAME_TOO_LARGE" });
    await alive();
  });

  test("one that says nothing is shown out", async () => {
    await serve({}, { limits: { handshake: 20 } });
    const peer = await dial();
    peer.raw(Buffer.from("R1S"));
    expect(await peer.next()).toMatchObject({ kind: "error", code: "PROTOCOL" });
  });

  test("too many requests end themselves, too many clients are refused", async () => {
    await serve({}, { limits: { requests: 2, connections: 2 } });
    const peer = await greeted();
    for (const id of [1, 2, 3]) peer.send({ kind: "stream", id, step: 0, credit: 0 });
    expect(await peer.next()).toMatchObject({ kind: "error", id: 3, code: "LIMIT" });
    await greeted();
    const third = await dial();
    third.send(hello);
    expect(await third.next()).toMatchObject({ kind: "error", code: "LIMIT" });
    expect(await third.next()).toBeUndefined();
  });
});

describe("listening", () => {
  const refused = async (options: ServerOptions): Promise<StreamError> => {
    maker = createFake();
    return await createServer(maker, options).then(
      () => Promise.reject(new Error("it listens")),
      (error: StreamError) => error,
    );
  };

  test.each(["tcp://0.0.0.0:0", "tcp://[::]:0"])(
    "%s is refused, unless in words",
    async (listen) => {
      expect(await refused({ listen, token: "secret" })).toMatchObject({ code: "UNSAFE_LISTEN" });
      await serve({}, { listen: "tcp://0.0.0.0:0", insecure: true });
      const peer = await dial(server?.address.replace("0.0.0.0", "127.0.0.1"));
      peer.send(hello);
      expect(await peer.next()).toMatchObject({ kind: "welcome" });
    },
  );

  test.each([
    "http://127.0.0.1:1",
    "tcp://127.0.0.1",
    "tcp://127.0.0.1:99999",
    "unix://relative",
    "",
  ])("%s is no address", async (listen) => {
    expect(await refused({ listen })).toMatchObject({ code: "BAD_OPTION" });
  });

  test("a port in use is named", async () => {
    const { address } = await serve();
    expect(await refused({ listen: address })).toMatchObject({
      code: "LISTEN_FAILED",
      message: expect.stringContaining(address) as string,
    });
  });

  test("a unix socket is for its owner only, and goes with the server", async () => {
    const path = join(folder, "s.sock");
    const { address } = await serve({}, { listen: `unix://${path}` });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await greeted(address);
    expect(await refused({ listen: address })).toMatchObject({ code: "LISTEN_FAILED" });
    maker = createFake();
    await server?.close();
    expect(existsSync(path)).toBe(false);
  });

  test("a socket file that nobody answers is replaced, any other file is not", async () => {
    const path = join(folder, "s.sock");
    const dead = createSocketServer();
    await new Promise<void>((resolve) => dead.listen(path, resolve));
    const stale = join(folder, "stale.sock");
    renameSync(path, stale);
    await new Promise((resolve) => dead.close(resolve));
    expect(existsSync(stale)).toBe(true);
    await serve({}, { listen: `unix://${stale}` });
    await greeted();
    const file = join(folder, "file");
    writeFileSync(file, "mine");
    chmodSync(file, 0o600);
    const error = await refused({ listen: `unix://${file}` });
    expect(error).toMatchObject({ code: "LISTEN_FAILED" });
    expect(existsSync(file)).toBe(true);
    maker = createFake();
  });
});
