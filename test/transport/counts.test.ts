import {
  connect as connectSocket,
  createServer as createSocketServer,
  type Socket,
} from "node:net";
import { afterEach, expect, test } from "vitest";
import type { CountedShard, CountsFile } from "../../src/model.ts";
import { connect, type Client } from "../../src/transport/client.ts";
import { createReader, MAX_FRAME_BYTES } from "../../src/transport/frame.ts";
import {
  calls,
  packMessage,
  readClientMessage,
  type ClientMessage,
  type ServerMessage,
} from "../../src/transport/messages.ts";
import { createServer, type Server } from "../../src/transport/server.ts";
import { createFake, type FakeOptions } from "./fake.ts";

const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function serve(options: FakeOptions): Promise<Server> {
  const server = await createServer(createFake(options), { listen: "tcp://127.0.0.1:0" });
  cleanups.push(() => server.close());
  return server;
}

async function dial(url: string): Promise<Client> {
  const client = await connect(url, { reconnect: 0 });
  cleanups.push(() => client.close());
  return client;
}

const counted = (shards: number, name: (shard: number) => string): CountsFile => ({
  version: 1,
  image: "seg.png",
  shards: Array.from({ length: shards }, (_, shard): CountedShard => ({
    name: name(shard),
    size: 2 ** 40 + shard,
    ...(shard % 3 > 0 && { hash: `sha256:${String(shard).padStart(64, "0")}` }),
    rows: shard % 1000,
  })),
});

test.each([
  ["none", 0, () => ""],
  ["one", 1, () => "a.tar"],
  ["100,000", 100_000, (shard: number) => `train/photos-é-${shard}.tar`],
  ["a few with long names", 40, (shard: number) => `${shard}${"x".repeat(50_000)}`],
])("counts arrive as they are: %s", async (_, shards, name) => {
  const counts = counted(shards, name);
  const client = await dial((await serve({ counted: counts })).address);
  // not toEqual: it takes seconds for 100,000 maps
  expect(JSON.stringify(await client.counts()) === JSON.stringify(counts)).toBe(true);
});

test("every frame is small, whatever there is to tell, and one may be last", async () => {
  const server = await serve({ counted: counted(5_000, (shard) => `${shard}.tar`) });
  const frames: number[] = [];
  const kinds = new Set<number>();
  const client = await dial(
    await between(server.address, (kind, bytes) => {
      kinds.add(kind);
      if (kind === 71) frames.push(bytes);
    }),
  );
  expect((await client.counts()).shards).toHaveLength(5_000);
  expect(frames.length).toBeGreaterThan(1);
  expect(Math.max(...frames)).toBeLessThan(2 ** 19);
  expect([...kinds]).toEqual([65, 71, 68]);
});

test("several at once, beside other requests", async () => {
  const counts = counted(20_000, (shard) => `${shard}.tar`);
  const client = await dial((await serve({ counted: counts })).address);
  const [one, batch, other] = await Promise.all([client.counts(), client.get(3), client.counts()]);
  expect(one).toEqual(counts);
  expect(other).toEqual(counts);
  expect(batch.puzzles).toHaveLength(8);
});

test("what fails at the loader reaches who asked, and the server's log; the connection stays", async () => {
  const errors: string[] = [];
  const fake = createFake({
    counted: () => {
      throw new Error("no counts today");
    },
  });
  const server = await createServer(fake, {
    listen: "tcp://127.0.0.1:0",
    onError: ({ message }) => errors.push(message),
  });
  cleanups.push(() => server.close());
  const client = await dial(server.address);
  await expect(client.counts()).rejects.toMatchObject({
    code: "INTERNAL",
    message: expect.stringMatching(/^internal error [0-9a-f]{8};/) as string,
  });
  expect(errors).toEqual([expect.stringMatching(/^[0-9a-f]{8}: no counts today$/)]);
  expect((await client.get(0)).step).toBe(0);
});

test("an older server is not asked what it does not know", async () => {
  const asked: string[] = [];
  const url = await scripted(undefined, (message) => void asked.push(message.kind));
  const client = await dial(url);
  await expect(client.counts()).rejects.toMatchObject({ code: "PROTOCOL" });
  await client.close();
  expect(asked).not.toContain("counts");
});

const one: CountedShard = { name: "a.tar", size: 1, rows: 1 };
test.each<readonly [string, (id: number) => ServerMessage[], RegExp]>([
  [
    "more shards than it has",
    (id) => [{ kind: "counted", id, image: null, shards: [one, one] }],
    /more than its 1 shards/,
  ],
  [
    "the same again and again",
    (id) => Array.from({ length: 3 }, () => ({ kind: "counted", id, image: null, shards: [one] })),
    /more than its 1 shards/,
  ],
  [
    "two kinds of images",
    (id) => [
      { kind: "counted", id, image: null, shards: [one] },
      { kind: "counted", id, image: "png", shards: [] },
    ],
    /two kinds/,
  ],
  ["nothing at all", (id) => [{ kind: "done", id }], /without an answer/],
  ["something else", (id) => [{ kind: "end", id, step: 0 }], /answered counts with end/],
])("a server that says %s is refused", async (_, answer, message) => {
  const client = await dial(
    await scripted(calls, ({ kind, ...rest }, say) => {
      if (kind === "counts" && "id" in rest) say(answer(rest.id));
    }),
  );
  await expect(client.counts()).rejects.toMatchObject({ code: "PROTOCOL", message });
});

test("a connection lost in the middle is CONNECTION_LOST; with patience it is asked again", async () => {
  let times = 0;
  const counts = counted(1, () => "a.tar");
  const url = await scripted(calls, (message, say, socket) => {
    if (message.kind !== "counts") return;
    const { id } = message;
    say([{ kind: "counted", id, image: counts.image, shards: counts.shards }]);
    if (times++ % 2 === 0) socket.destroySoon();
    else say([{ kind: "done", id }]);
  });
  await expect((await dial(url)).counts()).rejects.toMatchObject({ code: "CONNECTION_LOST" });
  times = 0;
  const patient = await connect(url);
  cleanups.push(() => patient.close());
  expect(await patient.counts()).toEqual(counts);
  expect(times).toBe(2);
});

/** A server of one shard that says what it is told to. */
async function scripted(
  known: readonly string[] | undefined,
  answer: (
    message: ClientMessage,
    say: (messages: readonly ServerMessage[]) => void,
    socket: Socket,
  ) => void,
): Promise<string> {
  const info = createFake().info();
  const server = createSocketServer((socket) => {
    const reader = createReader(MAX_FRAME_BYTES);
    const say = (messages: readonly ServerMessage[]): void => {
      for (const message of messages)
        if (message.kind !== "cell") socket.write(packMessage(message));
    };
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      for (const frame of reader.push(chunk)) {
        const message = readClientMessage(frame);
        if (message.kind === "hello")
          say([{ kind: "welcome", protocol: 1, info, ...(known && { calls: known }) }]);
        answer(message, say, socket);
      }
    });
  });
  return listening(server);
}

/** Passes everything on and tells of each frame of the server. */
async function between(
  target: string,
  saw: (kind: number, bytes: number) => void,
): Promise<string> {
  const [, port] = /:(\d+)$/.exec(target)!;
  const server = createSocketServer((socket) => {
    const onward = connectSocket(Number(port), "127.0.0.1");
    const reader = createReader(MAX_FRAME_BYTES);
    onward.on("data", (chunk: Buffer) => {
      for (const { kind, meta, body } of reader.push(chunk))
        saw(kind, 16 + meta.length + body.length);
      socket.write(chunk);
    });
    for (const each of [socket, onward]) {
      each.on("error", () => {});
      each.on("close", () => (socket.destroy(), onward.destroy()));
    }
    socket.pipe(onward);
  });
  return listening(server);
}

async function listening(server: ReturnType<typeof createSocketServer>): Promise<string> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => void sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `tcp://127.0.0.1:${(server.address() as { port: number }).port}`;
}
