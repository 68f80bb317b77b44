/** A process that fetches half of a shard and then stays as it is until it is killed. */
import { createDiskStore } from "../../src/cache/disk.ts";
import { rowsOf, testFeed } from "./feeds.ts";

const store = await createDiskStore({ folder: process.argv[2]!, size: 10e6 });
const feed = testFeed(rowsOf(10), { free: false });
const shard = await store.open("id", "one", feed.make);
feed.allow(5);
await shard.counted(5);
process.send!("ready");
setInterval(() => undefined, 1_000);
