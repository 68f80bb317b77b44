/** Opening one large local tar, for bench/scale.ts: scanned, and by the table that the cache keeps of it. Node must be started with --expose-gc. */
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { createDiskStore } from "../src/cache/disk.ts";
import { openFile } from "../src/shards/bytes.ts";
import { createPace } from "../src/shards/pace.ts";
import type { Shard } from "../src/shards/feed.ts";
import { writeTar } from "../src/shards/write.ts";
import { openLocalTar } from "../src/sources/local-tar.ts";
import { createSupplies } from "../src/sources/supplies.ts";

export interface TarSaid {
  readonly rows: number;
  /** CPU milliseconds. */
  readonly scan: number;
  readonly reopen: number;
  /** Bytes of memory a row while the shard is open: scanned without a cache; by the table. */
  readonly scanned: number;
  readonly kept: number;
  /** CPU microseconds a row that is read. */
  readonly read: number;
  readonly readKept: number;
  /** Bytes of the table in the cache. */
  readonly table: number;
}

const ROWS = 10_000;
/** Shards open at once while memory is measured. */
const OPEN = 16;
const scratch = mkdtempSync(join(tmpdir(), "ssl-r1-scale-tar-"));

function* photos(): Generator<{ name: string; data: Uint8Array }> {
  const data = new Uint8Array(100_000).fill(7);
  for (let row = 0; row < ROWS; row++)
    yield { name: `photos/${String(row).padStart(8, "0")}.jpg`, data };
}

function cpu(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function used(): Promise<number> {
  for (let times = 0; times < 4; times++) {
    globalThis.gc?.();
    await setTimeout(20);
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

try {
  const path = join(scratch, "x.tar");
  const out = openSync(path, "w");
  for await (const piece of writeTar(photos())) writeSync(out, piece);
  closeSync(out);
  const folder = join(scratch, "cache");
  const pace = createPace();
  const supplies = createSupplies({
    net: () => Promise.reject(new Error("there is no network")),
    store: () => createDiskStore({ folder, size: 1e9 }),
    note: () => undefined,
    folder,
  });
  const open = async (withCache: boolean): Promise<Shard> => {
    const file = { ...(await openFile(path, "x.tar", pace)), path };
    return openLocalTar(file, "x.tar", {}, { supplies: withCache ? supplies : undefined, pace });
  };
  /** The quickest of five; and its rows; memory of several of them. */
  const measure = async (
    withCache: boolean,
  ): Promise<{ time: number; read: number; memory: number }> => {
    let [time, read] = [Infinity, Infinity];
    for (let round = 0; round < 5; round++) {
      const began = cpu();
      const shard = await open(withCache);
      time = Math.min(time, cpu() - began);
      const from = cpu();
      for (let at = 0; at < 1000; at++) await shard.read((at * 7919) % ROWS);
      read = Math.min(read, cpu() - from);
      await shard.close();
    }
    const before = await used();
    const shards: Shard[] = [];
    for (let at = 0; at < OPEN; at++) shards.push(await open(withCache));
    const memory = ((await used()) - before) / OPEN / ROWS;
    await Promise.all(shards.map((shard) => shard.close()));
    return { time, read, memory };
  };
  const scanned = await measure(false);
  await (await open(true)).close();
  const kept = await measure(true);
  await supplies.close();
  const name = readdirSync(folder).find((one) => one.endsWith(".table"))!;
  const said: TarSaid = {
    rows: ROWS,
    scan: scanned.time,
    reopen: kept.time,
    scanned: scanned.memory,
    kept: kept.memory,
    read: scanned.read,
    readKept: kept.read,
    table: statSync(join(folder, name)).size,
  };
  process.stdout.write(`${JSON.stringify(said)}\n`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
