/**
 * Beyond one machine, by simulation: `node bench/scale.ts` prints docs/scale.md, `node bench/scale.ts --write` writes it.
 *
 * Rules: no node but this machine, no image: the stream's own listing, plan, lookahead and router run over a made-up data set (scale-made.ts). Times are CPU times
 * of the process, collector included, so that a busy machine changes them little: the least of several rounds, but for listing and what comes first, which include what is compiled on the way. Memory is that of
 * a fresh process after a collection, beside the same process with the code alone (scale-process.ts). What no run here has shown is marked "extrapolated".
 */
import { execFile } from "node:child_process";
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { cpus, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startHub } from "../test/fixtures/hub.ts";
import { madeShards, type MadeShard } from "./scale-made.ts";
import { BATCH, balanceOf, costOf, neededAt, type Shape, type Spread } from "./scale-plan.ts";
import type { Asked, Said } from "./scale-process.ts";
import { fanOf, lossOf, routeTime } from "./scale-router.ts";
import type { TarSaid } from "./scale-tar.ts";

const SHARDS = 100_000;
const NODES = 1024;
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "ssl-r1-scale-"));
const tars = madeShards(SHARDS, "tar");
const files = madeShards(SHARDS, "parquet");
const samples = tars.reduce((sum, { rows }) => sum + rows, 0);
const bytes = tars.reduce((sum, { size }) => sum + size, 0);

const whole = (value: number): string => Math.round(value).toLocaleString("en");
const digits = (value: number, count = 1): string => value.toFixed(count);
const MB = (value: number): string => digits(value / 1e6, value < 1e7 ? 1 : 0);
const spread = ({ least, mean, most }: Spread, show = whole): string =>
  least === most ? show(mean) : `${show(least)} – ${show(most)}`;
const ratio = ({ least, most }: Spread): string => digits(most / least, 3);

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** What a script of this folder says, in a process of its own. */
async function fresh(
  script: string,
  args: readonly string[],
  env: { readonly [name: string]: string } = {},
): Promise<unknown> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--expose-gc", here(script), ...args],
    { env: { ...process.env, ...env }, maxBuffer: 1 << 26 },
  );
  return JSON.parse(stdout);
}

/** Files of the right sizes that hold nothing: nobody opens them. */
function placeTars(folder: string): void {
  for (const { name, size } of tars) {
    const path = join(folder, name);
    if (name.endsWith("000.tar")) mkdirSync(dirname(path), { recursive: true });
    const file = openSync(path, "w");
    ftruncateSync(file, size);
    closeSync(file);
  }
}

function countsFile(name: string, shards: readonly MadeShard[], hashed: boolean): string {
  const path = join(scratch, name);
  const counted = shards.map(({ hash, ...shard }) => (hashed ? { ...shard, hash } : shard));
  writeFileSync(path, JSON.stringify({ version: 1, image: null, shards: counted }));
  return path;
}

async function memory(): Promise<string> {
  const folder = join(scratch, "tars");
  placeTars(folder);
  const hub = await startHub();
  const file = ({ name, size, hash }: MadeShard): [string, { size: number; sha256: string }] => [
    name,
    { size, sha256: hash.slice("sha256:".length) },
  ];
  hub.create("o/n").commit(Object.fromEntries(files.map(file)));
  const env = { HF_ENDPOINT: hub.url, HOME: scratch };
  const common = {
    batch: BATCH,
    seed: 7,
    cache: "none",
    deal: "shards",
    partitions: NODES,
  } as const;
  const local = { ...common, source: folder, counts: countsFile("tars.json", tars, false) };
  const remote = {
    ...common,
    source: "hf://datasets/o/n",
    counts: countsFile("files.json", files, true),
  };
  const walk = { from: [0, 1_000_000_000], steps: 50 };
  const node = { node: [3, NODES], ...walk } as const;
  const rows: string[][] = [];
  for (const [name, asked] of [
    ["tars in a folder, node 3 of 1,024", { options: local, ...node }],
    ["files of a Hub repo, node 3 of 1,024", { options: remote, ...node }],
    ["the same, `deal: rows`", { options: { ...remote, deal: "rows" }, ...node }],
    ["the same, all 1,024 partitions in one process", { options: remote, ...walk }],
  ] as const) {
    const said = (await fresh(
      "scale-process.ts",
      [JSON.stringify(asked satisfies Asked)],
      env,
    )) as Said;
    const { bare, listed, planned, walked } = said;
    rows.push([
      name,
      digits(said.list / 1000, 2),
      digits(said.setUp / 1000, 2),
      whole((listed.used - bare.used) / SHARDS),
      MB(planned.used - listed.used),
      MB(walked.used - planned.used),
      MB(walked.rss - bare.rss),
      MB(said.peak),
    ]);
  }
  await hub.close();
  return table(
    [
      "",
      "listing, CPU s",
      "plan and fingerprint, CPU s",
      "catalog, bytes a shard",
      "plan, MB",
      "after 100 steps, MB more",
      "resident, MB over the code",
      "peak resident, MB",
    ],
    rows,
  );
}

const shapes: readonly Shape[] = [1024, 512, 128, 64].flatMap((partitions) =>
  (partitions <= 128 ? (["shards", "rows"] as const) : (["shards"] as const)).flatMap((deal) =>
    (["independent", "shared"] as const).map((order) => {
      return { partitions, deal, order, window: 65_536 };
    }),
  ),
);

async function planning(): Promise<string> {
  const rows: string[][] = [];
  for (const shape of shapes) {
    const cost = await costOf(shape, tars);
    rows.push([
      `${whole(shape.partitions)}, ${shape.deal}, ${shape.order}`,
      digits(cost.own, 2),
      digits(cost.ownFar, 2),
      digits(cost.own + cost.ahead, 2),
      digits(cost.all, 2),
      digits(cost.all + cost.aheadAll, 2),
      digits((cost.all * BATCH) / 1000, 0),
      digits(cost.first, 0),
      digits(cost.far, 0),
    ]);
  }
  return table(
    [
      "C, deal, order",
      "one partition, µs a slot",
      "from step 10^9",
      "with lookahead",
      "all partitions",
      "with lookahead",
      "a whole batch, ms",
      "plan and first step, ms",
      "at step 10^9",
    ],
    rows,
  );
}

/** Shards of which every partition gets as many. */
const divisible = SHARDS - (SHARDS % NODES);

function evenness(): string {
  const all = shapes.map((shape) => [shape, tars] as const);
  const [first] = shapes as readonly [Shape];
  const rows = [...all, [first, tars.slice(0, divisible)] as const].map(([shape, shards]) => {
    const found = balanceOf(shape, shards);
    const some = shards === tars ? "" : `; the first ${whole(shards.length)} shards`;
    const data = shards.reduce((sum, { size }) => sum + size, 0);
    return [
      `${whole(shape.partitions)}, ${shape.deal}, ${shape.order}${some}`,
      whole(BATCH / shape.partitions),
      spread(found.rows),
      ratio(found.rows),
      spread(found.photos),
      spread(found.decoded, (value) => digits(value / 1e6)),
      spread(found.shards),
      `${whole(found.common)} (${digits((100 * found.common) / shards.length)} %)`,
      digits((found.bytes.mean * shape.partitions) / data, 1),
    ];
  });
  return table(
    [
      "C, deal, order",
      "slots",
      "rows",
      "most / least",
      "photos a step",
      "MB of them",
      "shards an epoch",
      "shards with rows of several partitions",
      "data read in all, times its size",
    ],
    rows,
  );
}

function losses(): string {
  const cases: readonly (readonly [number, number, number])[] = [
    [1024, 0, 1],
    [1024, 8, 1],
    [1024, 64, 1],
    [1024, 8, 16],
    [1024, 64, 64],
    [512, 0, 1],
    [512, 8, 1],
    [128, 0, 1],
    [128, 8, 1],
    [64, 0, 1],
    [1000, 0, 1],
  ];
  const rows = cases.map(([nodes, spares, lost]) => {
    const found = lossOf(nodes, spares, lost, NODES);
    return [
      whole(nodes),
      whole(spares),
      whole(lost),
      whole(found.moved),
      whole(found.slots),
      spread(found.before),
      spread(found.after),
      digits(found.after.most / (NODES / nodes), 2),
      digits(found.time, 1),
      digits(found.timeAfter, 1),
    ];
  });
  return table(
    [
      "nodes",
      "spares",
      "lost",
      "partitions that move",
      "slots of a step",
      "partitions a node before",
      "after",
      "busiest node, times an even share",
      "assignment, ms",
      "after the loss, ms",
    ],
    rows,
  );
}

function fans(): string {
  const rows = ([1, 64] as const).flatMap((clients) =>
    (clients === 1 ? (["in a row"] as const) : (["in a row", "strided"] as const)).map((share) => {
      const found = fanOf(NODES, NODES, clients, share);
      return [
        `${clients}, ${clients === 1 ? "whole batches" : `its 1,024 slots ${share}`}`,
        whole(found.loaders),
        whole(found.clients),
        whole(found.requests),
      ];
    }),
  );
  return table(
    ["clients", "loaders that one asks", "clients of a loader", "requests a step"],
    rows,
  );
}

function opening(tar: TarSaid): string {
  return table(
    ["", "opening it, CPU ms", "memory, bytes a row", "reading a row, CPU µs"],
    [
      ["scanned, no cache", digits(tar.scan), digits(tar.scanned), digits(tar.read)],
      ["by its table in the cache", digits(tar.reopen), digits(tar.kept), digits(tar.readKept)],
    ],
  );
}

async function page(): Promise<string> {
  const [cpu] = cpus();
  const tar = (await fresh("scale-tar.ts", [])) as TarSaid;
  const [widest] = shapes as readonly [Shape];
  const perNode = balanceOf(widest, tars).shards.mean;
  const now = neededAt(widest, tars, 1000);
  return `# Beyond one machine, by simulation

Made by \`node bench/scale.ts --write\`: every figure is measured by that script on one machine (${cpus().length} cores, ${cpu?.model.trim() ?? "unknown"}; Node ${process.versions.node}) and is of the
loader's own code. Nobody has run 1,024 nodes; what follows from the figures without having been run is marked *extrapolated*. Times are CPU times of
one process with its collector.

The data set is made up: ${whole(SHARDS)} shards of 10,000 images, give or take 2,000, one in a hundred cut short: ${whole(samples)} images, ${whole(bytes / 1e12)} TB. The stream: five tasks in equal shares, B =
${whole(BATCH)}, window 65,536, and C partitions on as many nodes if nothing else is said. All counts are known (\`ssl-r1 index\`).

## What a node holds

A process of its own that lists the data, takes the counts, makes plan and fingerprint, and plans 100 steps of its partitions, half of them from step 10^9 on. Bytes a shard are the catalog's with its
counts and whatever the source keeps; resident memory is over that of the code alone, and mostly what listing has left unused.

${await memory()}

**So:** a catalog takes less than 200 bytes a shard, and a node's plan a megabyte however many images there are. Nothing is held for each image.

Where the rows of a tar are stands in its headers. Of a local tar of 2,000 rows and more the cache keeps a table of that, bound to the file's path, size, time and inode (${whole(tar.table / tar.rows)} bytes a row on disk); with
\`cache: none\` it stays in memory while the shard is open, 64 shards at most. One tar of 1 GB and ${whole(tar.rows)} images:

${opening(tar)}

**So:** a node that starts again at a far step on local tars, without counts, reads ${whole(perNode)} tables in ${digits((perNode * tar.reopen) / 1000)} CPU seconds instead of scanning as many tars in ${whole((perNode * tar.scan) / 1000)} (*extrapolated* from one tar).

## What planning costs

Everything between a step's number and the rows of its slots. *With lookahead*: as a loader does it that fetches, which also finds out what to fetch next and what to keep.

${await planning()}

**So:** planning takes less than 2 microseconds a puzzle in every shape, at step 10^9 as at step 0; a puzzle itself takes about 2,000 (benchmarks.md). One process could plan the whole batch for all nodes
in a tenth of a second, so a node that takes over another's partitions has nothing to catch up with.

## How even the load is

Of each partition, least – most. *Data read in all*: what the nodes fetch in an epoch if each fetches every shard in which it has rows, as from a server; local tars are read row by row, and no row twice.

${evenness()}

**So:** slots are the same for all nodes, photos and their bytes within a fifth of the mean. Shards that C does not divide are dealt row by row to all partitions, and every node has to fetch them: ${whole(SHARDS % NODES)} of ${whole(SHARDS)} shards make a node
fetch ${whole(perNode)} shards instead of ${whole(divisible / NODES)} at C = 1,024. For many nodes on remote data choose C so that it divides the number of shards, or leave a few shards out. \`deal: rows\` is for few shards.
Unequal shards even out the better the more of them a partition has; images of the smallest partition come that much more often.

## When nodes are lost

C = 1,024; the lost ones stand together.

${losses()}

**So:** only the lost nodes' partitions move. With one partition a node the loss of one makes another do twice the work, and every batch waits for it: have spares, as many as may be lost at once,
or more partitions than nodes (C of 8 times the nodes loses an eighth). A number of nodes that does not divide C costs as much as the largest share. Whoever takes over a partition
opens the ${spread(now)} shards that its windows span in a step, and then those that come (*extrapolated*: no fetch was timed).

## The trainer's side

1,024 nodes. A client is connected to every loader, because each tells what it prefers; it asks only those that have slots of its own. One that wants a whole batch of ${whole(BATCH)} slots sorts them by loader
in ${digits(routeTime(NODES, NODES))} ms.

${fans()}

**So:** ranks of a trainer should take their slots in a row, then each asks few loaders; strided shares make every rank ask every loader for a few slots of each step.
`;
}

try {
  const text = await page();
  if (process.argv.includes("--write")) writeFileSync(here("../docs/scale.md"), text);
  else process.stdout.write(text);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
