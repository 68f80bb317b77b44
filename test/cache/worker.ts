/** A process that shares a cache folder: reads random rows of several feeds for ever, and says what it found wrong. Ends well on "end". */
import { createDiskStore } from "../../src/cache/disk.ts";
import { rowsOf, testFeed } from "./feeds.ts";

const [folder = "", size = "", feeds = "", seedText = ""] = process.argv.slice(2);
const store = await createDiskStore({ folder, size: Number(size) });
let state = Number(seedText);
const random = (below: number): number => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
};
const end = new AbortController();
process.on("message", () => end.abort());
let [reads, wrong] = [0, 0];
const codes: Record<string, number> = {};
let made = 0;

/** As slow as a network: so that processes die in the midst of a feed. */
const data = Array.from({ length: Number(feeds) }, (_, feed) => rowsOf(60, feed, 3_000));

async function reader(): Promise<void> {
  while (!end.signal.aborted) {
    const feed = random(data.length);
    const rows = data[feed]!;
    const { make } = testFeed(rows);
    const slow = async (): ReturnType<typeof make> => {
      made++;
      const given = await make();
      return {
        async *rows(notes, signal) {
          for await (const row of given.rows(notes, signal)) {
            if (random(8) === 0) await new Promise((resolve) => void setTimeout(resolve, 2));
            yield row;
          }
        },
      };
    };
    try {
      const shard = await store.open(`feed ${feed}`, `feed-${feed}`, slow);
      try {
        for (let count = 0; count < 30 && !end.signal.aborted; count++) {
          const row = random(rows.length);
          await shard.counted(row + 1);
          const found = await shard.read(row);
          const right = rows[row]!;
          reads++;
          if (
            found.key !== right.key ||
            found.group !== right.group ||
            found.name !== right.name ||
            Buffer.compare(found.bytes, right.bytes) !== 0
          )
            wrong++;
        }
      } finally {
        await shard.close();
      }
    } catch (error) {
      const { code = String(error) } = error as { code?: string };
      codes[code] = (codes[code] ?? 0) + 1;
      if (wrong === 0 && !["CACHE"].includes(code)) console.error(error);
    }
    await new Promise((resolve) => void setTimeout(resolve, 2));
    if (random(4) === 0) process.send?.({ reads, wrong, codes, made });
  }
}

process.send?.({ reads, wrong, codes, made });
await Promise.all([reader(), reader(), reader()]);
await store.close();
process.send?.({ reads, wrong, codes, made });
process.disconnect?.();
