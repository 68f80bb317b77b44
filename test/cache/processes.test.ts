import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { createDiskStore } from "../../src/cache/disk.ts";
import { temporaryFolder } from "../fixtures/files.ts";

const worker = fileURLToPath(new URL("worker.ts", import.meta.url));

interface Report {
  readonly reads: number;
  readonly wrong: number;
  readonly made: number;
  readonly codes: Readonly<Record<string, number>>;
}

function start(
  folder: string,
  compiled: string,
  size: number,
  seed: number,
): { child: ChildProcess; report: Report } {
  const child = fork(worker, [folder, String(size), "10", String(seed)], {
    // most of the time goes into starting them
    env: { ...process.env, NODE_COMPILE_CACHE: compiled },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const started = { child, report: { reads: 0, wrong: 0, made: 0, codes: {} } as Report };
  child.on("message", (message) => (started.report = message as Report));
  return started;
}

const sizeOf = (folder: string): number =>
  readdirSync(folder)
    .filter((name) => /\.(rows|part-.*)$/.test(name))
    .reduce((sum, name) => {
      try {
        return sum + statSync(join(folder, name)).size;
      } catch {
        return sum; // gone since
      }
    }, 0);

test("two processes share a folder with room for less than all, while one is killed fifty times: no wrong byte, nothing left", async () => {
  const [folder, compiled] = [temporaryFolder(), temporaryFolder()];
  // ten shards of 165 kB; each process has three open
  const size = 1_100_000;
  const reports: Report[] = [];
  let state = 7;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const steady = start(folder, compiled, size, 1);
  let most = 0;
  for (let kill = 0; kill < 50; kill++) {
    const victim = start(folder, compiled, size, 100 + kill);
    await once(victim.child, "message");
    for (let waits = random(15); waits > 0; waits--) {
      await new Promise((resolve) => void setTimeout(resolve, 10));
      most = Math.max(most, sizeOf(folder));
    }
    victim.child.kill("SIGKILL");
    await once(victim.child, "exit");
    reports.push(victim.report);
  }
  steady.child.send("end");
  const [status] = (await once(steady.child, "exit")) as [number];
  expect(status).toBe(0);
  reports.push(steady.report);
  expect(steady.report.reads).toBeGreaterThan(1_000);
  for (const { wrong, codes } of reports) {
    expect(wrong).toBe(0);
    expect(Object.keys(codes).filter((code) => code !== "CACHE")).toEqual([]);
  }
  expect(most).toBeLessThanOrEqual(size);
  const left = readdirSync(folder, { recursive: true, encoding: "utf8" });
  expect(left.filter((name) => !name.endsWith(".rows")).sort()).toEqual(["locks", "users"]);
  // and what is left is whole
  const store = await createDiskStore({ folder, size });
  const counts = await Promise.all(
    Array.from({ length: 10 }, (_, feed) => store.rows(`feed ${feed}`)),
  );
  expect(new Set(counts.filter((count) => count !== undefined))).toEqual(new Set([60]));
  await store.close();
}, 60_000);
