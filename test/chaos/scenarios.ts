/** What is done to loaders, links and clients. Each scenario has to end with the batches of an undisturbed run. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Loader } from "./loader.ts";
import type { Fault, FaultKind, Script } from "./proxy.ts";
import type { Stage } from "./stage.ts";
import type { Chance } from "./chance.ts";
import type { Language, Trainer } from "./trainer.ts";

export interface Scenario {
  readonly name: string;
  readonly play: (stage: Stage) => Promise<void>;
  /** Both where they are not named. */
  readonly clients?: readonly Language[];
}

/** Loaders of one run, where several are used. */
const LOADERS = 1;
/** Batches after the last fault: what comes then must be right, too. */
const TAIL = 15;

const listed = (addresses: readonly { readonly address: string }[]): string =>
  addresses.map(({ address }) => address).join(",");

/** Does something at random moments of a run, counted in batches so that the seed decides when. */
async function during(
  { chance }: Stage,
  trainer: Trainer,
  times: number,
  work: () => Promise<void>,
): Promise<void> {
  await trainer.reached(1);
  for (let done = 0; done < times && trainer.problems.length === 0; done++) {
    await trainer.reached(trainer.batches + chance.between(1, 5));
    await sleep(chance.below(40));
    await work();
  }
  await trainer.reached(trainer.batches + TAIL);
  await trainer.leave();
}

async function killed(stage: Stage): Promise<void> {
  const loaders = await stage.loaders(LOADERS);
  const starting = new Map<Loader, Promise<void>>();
  await during(stage, stage.train(listed(loaders)), stage.long ? 200 : 6, async () => {
    const loader = stage.chance.one(loaders);
    await starting.get(loader);
    await loader.kill();
    stage.count("SIGKILL");
    starting.set(loader, loader.start());
  });
  await Promise.all(starting.values());
}

async function stopped(stage: Stage): Promise<void> {
  const loaders = await stage.loaders(LOADERS);
  await during(stage, stage.train(listed(loaders)), stage.long ? 60 : 8, async () => {
    const loader = stage.chance.one(loaders);
    loader.signal("SIGSTOP");
    stage.count("SIGSTOP");
    await sleep(stage.chance.between(1, 200));
    loader.signal("SIGCONT");
  });
}

/** Bytes of a connection within which faults happen: about five batches. */
const REACH = 6_000_000;

const fault = (chance: Chance, kind: FaultKind): Fault => ({
  kind,
  way: chance.happens(0.15) ? "up" : "down",
  // often in the first frames, whose heads are small
  at: chance.below(chance.one([100, 10_000, REACH])),
  bytes: chance.between(1, chance.one([16, 5_000])),
  milliseconds: chance.between(1, 150),
});

/** Faults in the first connections; then the link is good. */
function badLink(
  kinds: readonly FaultKind[],
  connections: number,
): (stage: Stage) => Promise<void> {
  return async (stage) => {
    const loaders = await stage.loaders(LOADERS);
    const proxies = await Promise.all(loaders.map((loader) => stage.proxy(loader)));
    const bad = connections * (stage.long ? 10 : 1);
    const faults = Array.from({ length: bad * LOADERS }, () =>
      Array.from({ length: stage.chance.between(1, 2) }, () =>
        fault(stage.chance, stage.chance.one(kinds)),
      ),
    );
    // The first connection of a client is tried once, by its contract.
    const script: Script = (connection) => (connection === 0 ? [] : (faults.pop() ?? []));
    for (const proxy of proxies) proxy.script = script;
    const trainer = stage.train(listed(proxies));
    let before = -1;
    while (faults.length > 0 && trainer.batches !== before) {
      before = trainer.batches;
      // A connection whose fault lies behind what the client asks for would last for ever.
      await trainer.reached(trainer.batches + 12);
      if (faults.length > 0) for (const proxy of proxies) proxy.cutAll();
    }
    await trainer.reached(trainer.batches + TAIL);
    await trainer.leave();
  };
}

export const scenarios: readonly Scenario[] = [
  { name: "loaders killed", play: killed },
  { name: "loaders stopped", play: stopped },
  { name: "links cut", play: badLink(["cut", "reset", "half-close", "refuse"], 8) },
  { name: "links slow", play: badLink(["delay", "throttle"], 5) },
];
