/** A process whose files may not grow beyond 300 kB and that wants to store 600. */
import { readdirSync } from "node:fs";
import { createDiskStore } from "../../src/cache/disk.ts";
import type { StreamError } from "../../src/errors.ts";
import { noise, testFeed } from "./feeds.ts";

const [folder = "", how = ""] = process.argv.slice(2);
const rows = Array.from({ length: 6 }, (_, row) => ({
  key: `${row}`,
  group: "",
  name: "a.jpg",
  bytes: noise(100_000, row),
}));
const said: string[] = [];
const store = await createDiskStore({
  folder,
  size: 10e6,
  whenFull: how as "error" | "memory",
  memoryLimit: 1e6,
  log: (line) => said.push(line),
});
let result: object;
try {
  const shard = await store.open("one", "one", testFeed(rows).make);
  await shard.counted(Number.POSITIVE_INFINITY);
  let right = 0;
  for (const [number, row] of rows.entries())
    if (Buffer.compare((await shard.read(number)).bytes, row.bytes) === 0) right++;
  await shard.close();
  result = { right, said: said.length };
} catch (error) {
  const { code, message } = error as StreamError;
  result = { code, message };
}
await store.close();
process.stdout.write(JSON.stringify({ ...result, left: readdirSync(folder).sort() }));
