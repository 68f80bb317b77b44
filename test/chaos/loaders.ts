/** What is done to loaders. */
import { setTimeout as sleep } from "node:timers/promises";
import { during, finish, listed, type Scenario } from "./during.ts";
import type { Loader } from "./loader.ts";

const killed: Scenario = {
  name: "loaders killed",
  async play(stage) {
    const loaders = await stage.loaders();
    const starting = new Map<Loader, Promise<void>>();
    const trainer = stage.train(listed(loaders), { reconnect: 120_000 });
    await during(stage, trainer, stage.long ? 200 : 4, async () => {
      const loader = stage.chance.one(loaders);
      // Now and then it is killed before it serves.
      if (stage.chance.happens(0.8)) await starting.get(loader);
      await loader.kill();
      stage.count("SIGKILL");
      starting.set(loader, loader.start());
    });
    await Promise.all(starting.values());
  },
};

const stopped: Scenario = {
  name: "loaders stopped",
  async play(stage) {
    const loaders = await stage.loaders();
    const trainer = stage.train(listed(loaders), { stall: 300 });
    await during(stage, trainer, stage.long ? 60 : 4, async () => {
      const loader = stage.chance.one(loaders);
      loader.signal("SIGSTOP");
      stage.count("SIGSTOP");
      // less and more than the client's patience
      await sleep(stage.chance.between(1, 600));
      loader.signal("SIGCONT");
    });
  },
};

/** All at once, and for longer than any pause: the trainer waits. */
const gone: Scenario = {
  name: "all loaders gone",
  async play(stage) {
    const loaders = await stage.loaders();
    const trainer = stage.train(listed(loaders));
    await during(stage, trainer, stage.long ? 10 : 1, async () => {
      await Promise.all(loaders.map((loader) => loader.kill()));
      stage.count("SIGKILL", loaders.length);
      await sleep(stage.chance.between(100, 1_000));
      await Promise.all(loaders.map((loader) => loader.start()));
    });
  },
};

/** Ends in order (SIGTERM) and others take its place: a restart of all, one by one. */
const replaced: Scenario = {
  name: "loaders restarted",
  async play(stage) {
    const loaders = await stage.loaders();
    const trainer = stage.train(listed(loaders));
    await trainer.reached(3);
    for (const loader of stage.long ? [...loaders, ...loaders, ...loaders] : loaders.slice(1)) {
      await loader.kill("SIGTERM");
      stage.count("SIGTERM");
      await trainer.reached(trainer.batches + 2);
      await loader.start();
      await trainer.reached(trainer.batches + 2);
    }
    await finish(trainer);
  },
};

export const ofLoaders: readonly Scenario[] = [killed, stopped, gone, replaced];
