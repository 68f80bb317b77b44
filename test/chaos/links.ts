/** What is done to the bytes between loaders and a client. */
import type { Chance } from "./chance.ts";
import { finish, listed, type Scenario } from "./during.ts";
import type { Fault, FaultKind, Script } from "./proxy.ts";

/** Bytes of a connection within which faults happen: about five batches of one loader. */
const REACH = 3_000_000;
/** Milliseconds in which a loader that says nothing is given up. */
const STALL = 400;

const drawn = (chance: Chance, kind: FaultKind): Fault => ({
  kind,
  way: chance.happens(0.15) ? "up" : "down",
  // often in the first frames, whose heads are small
  at: chance.below(chance.one([100, 10_000, REACH])),
  bytes: chance.between(1, chance.one([16, 5_000])),
  milliseconds: chance.between(1, 150),
});

/** Faults in the first connections; then the links are good. */
function bad(
  name: string,
  kinds: readonly FaultKind[],
  connections: number,
  stall?: number,
): Scenario {
  return {
    name,
    async play(stage) {
      const { chance } = stage;
      const loaders = await stage.loaders();
      const proxies = await Promise.all(loaders.map((loader) => stage.proxy(loader)));
      const faults = Array.from({ length: connections * (stage.long ? 10 : 1) }, () =>
        Array.from({ length: chance.between(1, 2) }, () => drawn(chance, chance.one(kinds))),
      );
      // The first connection of a client is tried once, by its contract.
      const script: Script = (connection) => (connection === 0 ? [] : (faults.pop() ?? []));
      for (const proxy of proxies) proxy.script = script;
      const trainer = stage.train(
        listed(proxies),
        stall === undefined ? {} : { stall, timeout: 2 * stall },
      );
      await trainer.reached(2);
      let before = -1;
      while (faults.length > 0 && trainer.batches !== before && trainer.problems.length === 0) {
        before = trainer.batches;
        // A connection whose fault lies behind what the client asks for would last for ever.
        for (const proxy of proxies) proxy.cutAll();
        await trainer.reached(trainer.batches + 8);
      }
      await finish(trainer);
    },
  };
}

export const ofLinks: readonly Scenario[] = [
  bad("links cut", ["cut", "reset", "half-close", "refuse"], 8),
  bad("links slow", ["delay", "throttle"], 4),
  bad("bytes changed", ["truncate", "duplicate", "reorder"], 8, STALL),
  bad("links frozen", ["freeze"], 4, STALL),
];
