/** `npm run soak [-- --minutes 60]`: two loaders and a trainer of each language at full speed, every batch compared; what they hold must not grow. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { root } from "../fixtures/serve.ts";
import { listed } from "./during.ts";
import { startLoader, usage } from "./loader.ts";
import { startTrainer } from "./trainer.ts";
import { cheap, createUndisturbed } from "./undisturbed.ts";

/** What the straight line through the last 80 % of the samples may rise by: MiB, and numbers. */
const RISE = { rss: 32, heap: 16, descriptors: 1, handles: 1 };
type Kind = keyof typeof RISE;

const { values } = parseArgs({ options: { minutes: { type: "string", default: "60" } } });
process.chdir(root);
const folder = mkdtempSync(join(tmpdir(), "ssl-r1-soak-"));
const config = join(folder, "stream.yaml");
writeFileSync(config, JSON.stringify(cheap));
const preload = new URL("gauge.ts", import.meta.url);
const loaders = await Promise.all(
  [0, 1].map((node) =>
    startLoader({
      address: `unix://${join(folder, `${node}.sock`)}`,
      args: ["shards", "--config", config, "--node", `${node}/2`],
      preload,
    }),
  ),
);
// Its batches repeat what all others must be; it goes along with the trainers, a step at a time.
const undisturbed = await createUndisturbed("shards");
const languages = ["TypeScript", "Python"] as const;
const trainers = languages.map((language) => startTrainer(language, listed(loaders), undisturbed));
const samples = new Map<string, number[]>();
const note = (who: string, kind: Kind, value: number | undefined): void => {
  if (value !== undefined)
    samples.set(`${who} ${kind}`, [...(samples.get(`${who} ${kind}`) ?? []), value]);
};
const end = performance.now() + Number(values.minutes) * 60_000;
while (performance.now() < end && trainers.every(({ problems }) => problems.length === 0)) {
  await sleep(1_000);
  for (const [at, loader] of loaders.entries()) {
    const { heap, handles } = gauge(loader.said.at(-1));
    const { rss, descriptors } = usage(loader.pid) ?? {};
    for (const [kind, value] of Object.entries({ rss, heap, descriptors, handles }))
      note(`loader ${at}`, kind as Kind, value);
  }
  for (const [at, { pid }] of trainers.entries()) {
    const { rss, descriptors } = usage(pid) ?? {};
    note(languages[at]!, "rss", rss);
    note(languages[at]!, "descriptors", descriptors);
  }
}
for (const trainer of trainers) await trainer.leave();
for (const loader of loaders) await loader.kill("SIGTERM");
await undisturbed.close();
rmSync(folder, { recursive: true });

let wrong = 0;
for (const { problems } of trainers)
  for (const problem of problems) {
    wrong++;
    process.stdout.write(`${problem}\n`);
  }
for (const [name, all] of samples) {
  const late = all.slice(Math.floor(all.length / 5));
  const rise = slope(late) * late.length;
  const most = RISE[name.split(" ").at(-1) as Kind];
  if (!(rise < most)) wrong++;
  process.stdout.write(
    `${name.padEnd(24)} ${Math.max(...all).toFixed(1)} at most, rises by ${rise.toFixed(2)} over the last ${late.length} s (${most} allowed)${rise < most ? "" : ": TOO MUCH"}\n`,
  );
}
process.stdout.write(
  `${trainers.map(({ batches }, at) => `${languages[at]} ${batches} batches`).join(", ")}: ${wrong === 0 ? "all equal, nothing grows" : `${wrong} problems`}\n`,
);
process.exitCode = wrong > 0 ? 1 : 0;

function gauge(line: string | undefined): { heap?: number; handles?: number } {
  const { gauge: found = {} } = JSON.parse(line ?? "{}") as {
    gauge?: { heap: number; handles: number };
  };
  return found;
}

/** Least squares, per sample. */
function slope(all: readonly number[]): number {
  const middle = (all.length - 1) / 2;
  const mean = all.reduce((sum, one) => sum + one, 0) / all.length;
  const over = all.reduce((sum, one, at) => sum + (at - middle) * (one - mean), 0);
  return over / all.reduce((sum, _, at) => sum + (at - middle) ** 2, 0);
}
