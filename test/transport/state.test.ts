import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { batchDigest } from "../../src/digest.ts";
import type { StreamError } from "../../src/errors.ts";
import type { StreamOptions } from "../../src/options.ts";
import { connect, type Client } from "../../src/transport/client.ts";
import { createServer, type Server } from "../../src/transport/server.ts";
import { makeState, stepOf } from "../../src/transport/state.ts";
import { open, samples } from "../loader/streams.ts";
import { createFake, type FakeOptions } from "./fake.ts";

const mix = "the mix, its tasks' options or prompts (entries)";
const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function serve(fake: FakeOptions = {}): Promise<Server> {
  const maker = createFake({ batch: 12, partitions: 6, cell: 2, ...fake });
  const server = await createServer(maker, { listen: "tcp://127.0.0.1:0" });
  cleanups.push(() => server.close());
  return server;
}

async function dial(servers: readonly Server[]): Promise<Client> {
  const client = await connect(servers.map(({ address }) => address));
  cleanups.push(() => client.close());
  return client;
}

const lines = async (client: Client, steps?: number): Promise<string[]> => {
  const found: string[] = [];
  for await (const batch of client.stream({ ...(steps !== undefined && { steps }) }))
    found.push(`${batch.step} ${batchDigest(batch)}`);
  return found;
};

const thrown = (action: () => unknown): StreamError => {
  try {
    action();
  } catch (error) {
    return error as StreamError;
  }
  throw new Error("it is taken");
};

describe("the position", () => {
  test("is one more than the last step that a stream gave; get does not move it", async () => {
    const client = await dial([await serve()]);
    expect(client.state().step).toBe(0);
    await client.get(40);
    expect(client.state().step).toBe(0);
    for await (const { step } of client.stream({ from: 5, steps: 3 }))
      expect(client.state().step).toBe(step + 1);
    expect(client.state().step).toBe(8);
    const { value } = await client.stream().next();
    expect(value!.step).toBe(8);
  });

  test("restored at every step, with other loaders each time, gives the whole tail", async () => {
    const STEPS = 7;
    const all = await Promise.all(
      [0, 1, 2].map((at) => serve({ steps: STEPS, near: [2 * at, 2 * at + 1] })),
    );
    const whole = await lines(await dial(all.slice(0, 1)));
    expect(whole).toHaveLength(STEPS);
    for (let step = 0; step <= STEPS; step++) {
      const before = await dial(all.slice(0, 1 + (step % 3)));
      expect(await lines(before, step)).toEqual(whole.slice(0, step));
      const saved: unknown = JSON.parse(JSON.stringify(before.state()));
      await before.close();
      const after = await dial(all.slice(step % 3));
      after.loadState(saved);
      expect(after.state()).toEqual(saved);
      expect(await lines(after)).toEqual(whole.slice(step));
    }
  });

  test("of a real stream is some hundred bytes, and holds with another number of workers", async () => {
    const given = { seed: 3, batch: 10, entries: ["rotation"] };
    const [one, two] = await Promise.all([1, 2].map((workers) => open({ ...given, workers })));
    const state = makeState(1200, one!.info());
    const text = JSON.stringify(state);
    expect(text.length).toBeLessThan(700);
    expect(stepOf(JSON.parse(text), two!.info())).toBe(1200);
    expect(state).toMatchObject({
      ssl_r1: 1,
      // SHA-256 of "[]".
      log: {
        length: 0,
        hash: "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
      },
    });
    expect(Object.keys(state.stream.identity)).toEqual(
      expect.arrayContaining(["plan", "entries", "suffix", "sizes", "images", "shards"]),
    );
  });

  test("of another stream is refused with what differs", async () => {
    const [first, second] = ["00", "01"].map((end) => join(samples, `photos-0000${end}.tar`));
    const given = { source: first!, seed: 3, batch: 10, partitions: 1, entries: ["rotation"] };
    const state = makeState(7, (await open(given)).info());
    const others: [Partial<StreamOptions>, string][] = [
      [{ window: 8 }, "the plan: deal, window, order or passes (plan)"],
      [{ entries: ["rotation:8x45"] }, mix],
      [{ factor: 14 }, "image sizes (sizes)"],
      [{ maxInputPixels: 1_000_000 }, "image rules (images)"],
      [{ templates: { suffix: "Think." } }, "the end of the prompts (suffix)"],
      [{ source: second! }, "the data (shards)"],
      [{ seed: 4, factor: 14 }, "seed 3, here 4; image sizes (sizes)"],
    ];
    const infos = await Promise.all(
      others.map(async ([other]) => (await open({ ...given, ...other })).info()),
    );
    for (const [at, [, words]] of others.entries())
      expect(thrown(() => stepOf(state, infos[at]!))).toMatchObject({
        code: "OTHER_STREAM",
        message: `the state is of another stream: ${words}`,
      });
  });

  test("numbers that differ are named, and not again by the parts that hold them", () => {
    const info = createFake().info();
    const state = makeState(7, { ...info, identity: { plan: "a", shards: "b", sizes: "c" } });
    const changed = { plan: "x", shards: "b", sizes: "c" };
    const others: [object, string][] = [
      [{ identity: changed, seed: 4 }, `seed ${info.seed}, here 4`],
      [{ identity: changed, batch: 20 }, "batch 8, here 20"],
      [{ identity: changed, partitions: 2 }, "partitions 1, here 2"],
      [{ identity: { ...changed, shards: "y" }, shards: 9 }, "shards 1, here 9"],
      [{ version: 2, identity: { ...state.stream.identity } }, "version 1, here 2"],
      [{ identity: { ...state.stream.identity, fresh: "z" } }, "fresh"],
    ];
    for (const [other, words] of others)
      expect(
        thrown(() => stepOf(state, { ...info, fingerprint: "sha256:x", ...other })).message,
      ).toBe(`the state is of another stream: ${words}`);
  });

  test("of another version, with a log, or of another format is refused, too", async () => {
    const client = await dial([await serve({ seed: 7 })]);
    const state = client.state();
    const refused = (given: unknown): string => {
      const { code, message } = thrown(() => client.loadState(given));
      return `${code}: ${message}`;
    };
    const { stream } = state;
    expect(
      refused({ ...state, fingerprint: "sha256:x", stream: { ...stream, version: 2 } }),
    ).toContain("OTHER_STREAM: the state is of another stream: version 2, here 1");
    expect(refused({ ...state, log: { length: 1, hash: "sha256:27" } })).toContain(
      "OTHER_STREAM: the state is of another stream: its mix was changed 1 times",
    );
    expect(refused({ ssl_r1: 2, place: "elsewhere" })).toBe(
      "OTHER_STREAM: the state is of format 2, this client knows 1",
    );
    expect(refused({ ...state, fingerprint: "sha256:x" })).toContain(
      "nothing that the state tells",
    );
    expect(client.state()).toEqual(state);
  });

  test("a thing that is no state is BAD_OPTION, whatever it is", async () => {
    const info = createFake().info();
    const state = makeState(3, info);
    const wrong: unknown[] = [
      { ...state, step: -1 },
      { ...state, step: 1.5 },
      { ...state, fingerprint: null },
      { ...state, log: [] },
      { ...state, log: { length: "0", hash: "" } },
      { ...state, stream: { ...state.stream, seed: "7" } },
      { ...state, stream: { ...state.stream, identity: { plan: 1 } } },
      { ...state, ssl_r1: "1" },
      { ...state, ssl_r1: undefined },
    ];
    for (const each of wrong)
      expect(thrown(() => stepOf(each, info)).message).toMatch(/^this is no state of a run: /);
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(thrown(() => stepOf(value, info)).code).toBe("BAD_OPTION");
      }),
    );
  });
});
