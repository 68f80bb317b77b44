/** What clients do to loaders. */
import { connect as connectSocket, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { batchDigest } from "../../src/digest.ts";
import { StreamError } from "../../src/errors.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { connect } from "../../src/transport/client.ts";
import { packMessage } from "../../src/transport/messages.ts";
import { during, finish, listed, type Scenario } from "./during.ts";
import { usage, type Loader } from "./loader.ts";
import { eventually, type Stage } from "./stage.ts";

/** File descriptors that a loader may have open beyond those it had when it had served one batch. */
const SPARE = 4;

/** What it has open when it has served; the check for the end that nothing more stays. */
async function descriptorsBack(stage: Stage, loader: Loader): Promise<() => Promise<void>> {
  const client = await connect(loader.address);
  await client.get(0);
  await client.close();
  await sleep(100);
  const before = usage(loader.pid)!.descriptors;
  return async () => {
    const now = (): number => usage(loader.pid)?.descriptors ?? Infinity;
    if (!(await eventually(() => now() <= before + SPARE, 5_000)))
      stage.problem(`a loader has ${now()} descriptors open, it had ${before}`);
  };
}

/** A connection without a client behind it. */
function rawSocket(address: string): Socket {
  const parsed = parseAddress(address);
  const socket = connectSocket(parsed.kind === "unix" ? { path: parsed.path } : { ...parsed });
  socket.on("error", () => socket.destroy());
  return socket;
}

const hello = packMessage({ kind: "hello", protocol: 1, format: "raw", client: "chaos" });
const everything = packMessage({ kind: "stream", id: 1, step: 0, credit: 2 ** 40 });

/** Leaves at a random byte of what it says, or of what it hears. */
async function leaveInMidFrame(stage: Stage, loader: Loader): Promise<void> {
  const { chance } = stage;
  const socket = rawSocket(loader.address);
  const words = Buffer.concat([hello, everything]);
  const said = chance.happens(0.4) ? chance.below(words.length) : words.length;
  let heard = 0;
  const enough = chance.below(3_000_000);
  socket.write(words.subarray(0, said));
  await new Promise<void>((resolve) => {
    socket.on("data", (chunk: Buffer) => {
      heard += chunk.length;
      if (heard >= enough) socket.destroy();
    });
    socket.on("close", () => resolve());
    if (said < words.length) setTimeout(() => socket.destroy(), chance.below(50));
  });
  stage.count("left in mid-frame");
}

const killed: Scenario = {
  name: "clients killed",
  async play(stage) {
    const loaders = await stage.loaders();
    const backs = await Promise.all(loaders.map((loader) => descriptorsBack(stage, loader)));
    const trainer = stage.train(listed(loaders));
    await during(stage, trainer, stage.long ? 60 : 3, async (done) => {
      const victim = done % 4 === 0 ? stage.train(listed(loaders)) : undefined;
      await Promise.all(
        Array.from({ length: 4 }, () => leaveInMidFrame(stage, stage.chance.one(loaders))),
      );
      if (victim === undefined) return;
      await victim.reached(1 + stage.chance.below(10));
      victim.kill();
      stage.count("SIGKILL of a client");
    });
    for (const back of backs) await back();
  },
};

const crowd: Scenario = {
  name: "500 clients",
  clients: ["TypeScript"],
  async play(stage) {
    const loaders = await stage.loaders();
    const backs = await Promise.all(loaders.map((loader) => descriptorsBack(stage, loader)));
    const trainer = stage.train(listed(loaders));
    await trainer.reached(2);
    const requests = Array.from({ length: 500 }, () => ({
      loader: stage.chance.one(loaders),
      step: stage.chance.below(8),
      slot: stage.chance.below(10),
    }));
    await Promise.all(
      requests.map(async ({ loader, step, slot }) => {
        const client = await admitted(stage, loader.address);
        const batch = await client.get(step, [slot]);
        if (batchDigest(batch) !== (await stage.undisturbed.puzzle(step, slot)))
          stage.problem(`slot ${slot} of step ${step} differs`);
        await client.close();
        stage.count("clients");
      }),
    );
    await finish(trainer);
    for (const back of backs) await back();
  },
};

/** A server takes so many clients at a time; the others are told so and come again. */
async function admitted(stage: Stage, address: string): ReturnType<typeof connect> {
  for (let pause = 20; ; pause = Math.min(2 * pause, 400))
    try {
      return await connect(address);
    } catch (error) {
      if (!(error instanceof StreamError) || !["LIMIT", "CONNECTION_LOST"].includes(error.code))
        throw error;
      stage.count(error.code === "LIMIT" ? "told to come again" : "not taken");
      await sleep(pause);
    }
}

const deaf: Scenario = {
  name: "clients that never read",
  async play(stage) {
    const loaders = await stage.loaders();
    const backs = await Promise.all(loaders.map((loader) => descriptorsBack(stage, loader)));
    const trainer = stage.train(listed(loaders));
    await trainer.reached(2);
    const sockets = loaders.flatMap(({ address }) =>
      Array.from({ length: stage.long ? 16 : 6 }, () => {
        const socket = rawSocket(address).pause();
        socket.write(hello);
        socket.write(everything);
        stage.count("never reads");
        return socket;
      }),
    );
    await trainer.reached(trainer.batches + (stage.long ? 100 : 20));
    for (const socket of sockets) socket.destroy();
    await finish(trainer);
    for (const back of backs) await back();
  },
};

export const ofClients: readonly Scenario[] = [killed, crowd, deaf];
