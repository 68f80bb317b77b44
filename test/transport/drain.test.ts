import { expect, onTestFinished, test } from "vitest";
import { createServer, type Server } from "../../src/transport/server.ts";
import { rawClient, type RawClient } from "../ops/raw-client.ts";
import { createFake, type FakeMaker, type FakeOptions } from "./fake.ts";

interface Served {
  readonly server: Server;
  readonly maker: FakeMaker;
  readonly client: RawClient;
}

async function served(options: FakeOptions = {}): Promise<Served> {
  const maker = createFake(options);
  const server = await createServer(maker, { listen: "tcp://127.0.0.1:0" });
  onTestFinished(() => server.close());
  const client = await rawClient(server.address, [1, 2]);
  onTestFinished(() => client.link.close());
  return { server, maker, client };
}

/** What came for a request: `cell 3/0`, `end 3`, `error CLOSED`. */
function heard({ answers }: RawClient, id: number): string[] {
  return answers
    .map(([answer]) => answer)
    .filter((answer) => answer.id === id)
    .map((answer) => {
      if (answer.kind === "cell") return `cell ${answer.step}/${answer.cell}`;
      if (answer.kind === "end") return `end ${answer.step}`;
      return answer.kind === "error" ? `error ${answer.code}` : answer.kind;
    });
}

function noneLost({ maker: { tally } }: Served): void {
  expect(tally).toMatchObject({ released: tally.made, twice: 0, closed: tally.opened });
}

test("a stream that has begun no step ends at once, without a last word; it may be asked for elsewhere from there", async () => {
  const begun = Promise.withResolvers<void>();
  const one = await served({
    before(_step, _cell, signal) {
      begun.resolve();
      return new Promise((resolve) => {
        signal?.addEventListener("abort", () => resolve());
      });
    },
  });
  const { server, client } = one;
  client.link.send({ kind: "stream", id: 1, step: 0, credit: 2 ** 30 });
  await begun.promise;
  await server.drain();
  await client.lost;
  expect(heard(client, 1)).toEqual([]);
  expect(server.counts().requests.stream).toEqual({ drained: 1 });
  noneLost(one);
});

test("nor does one wait for credit between two steps", async () => {
  const one = await served({ batch: 4, cell: 4 });
  const { server, client } = one;
  // one cell a step, and credit for the first
  client.link.send({ kind: "stream", id: 1, step: 7, credit: 1 });
  await client.until(({ kind }) => kind === "end");
  await server.drain();
  await client.lost;
  expect(heard(client, 1)).toEqual(["cell 7/0", "end 7"]);
  noneLost(one);
});

test("steps are whole: in the middle of one, it is finished when the client gives credit", async () => {
  const one = await served({ batch: 8, cell: 4 });
  const { server, client } = one;
  client.link.send({ kind: "stream", id: 1, step: 0, credit: 1 });
  await client.until(({ kind }) => kind === "cell");
  const drained = server.drain();
  client.link.send({ kind: "get", id: 2, step: 0 });
  await client.until(({ kind }) => kind === "error");
  expect(server.clients).toHaveLength(1);
  client.link.send({ kind: "credit", id: 1, bytes: 2 ** 30 });
  await drained;
  await client.lost;
  expect(heard(client, 1)).toEqual(["cell 0/0", "cell 0/1", "end 0"]);
  expect(heard(client, 2)).toEqual(["error CLOSED"]);
  noneLost(one);
});

test("a stream in its last step ends as any other, with done", async () => {
  const { server, client } = await served({ batch: 8, cell: 4 });
  client.link.send({ kind: "stream", id: 1, step: 0, steps: 1, credit: 1 });
  await client.until(({ kind }) => kind === "cell");
  const drained = server.drain();
  client.link.send({ kind: "credit", id: 1, bytes: 2 ** 30 });
  await drained;
  await client.lost;
  expect(heard(client, 1)).toEqual(["cell 0/0", "cell 0/1", "end 0", "done"]);
  expect(server.counts().requests.stream).toEqual({ ok: 1 });
});

test("draining twice, and closing while it drains", async () => {
  const one = await served();
  const { server, client } = one;
  client.link.send({ kind: "stream", id: 1, step: 0, credit: 1 });
  await client.until(({ kind }) => kind === "cell");
  const drained = [server.drain(), server.drain()];
  await server.close();
  await Promise.all(drained);
  await client.lost;
  expect(server.clients).toEqual([]);
  expect(server.counts().waiting).toMatchObject({ cells: 0, credit: 0, socket: 0 });
  expect(server.counts().queuedBytes).toBe(0);
  noneLost(one);
});
