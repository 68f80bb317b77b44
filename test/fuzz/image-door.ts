import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { root } from "../fixtures/serve.ts";
import { SLOW, type Door } from "./loop.ts";

const script = fileURLToPath(new URL("image-child.ts", import.meta.url));
/** Bytes of resident memory: two arenas of 64 MiB, and what libvips keeps. */
const MOST = 600 * 2 ** 20;

let child: ChildProcess | undefined;

/** libjpeg-turbo and libvips: an input that ends their process is a finding, and the next one meets a new process. */
export const imageDoor: Door = {
  name: "images",
  most: 12_000,
  elsewhere: true,
  seeds() {
    const folder = join(root, "test", "vectors", "decode");
    return readdirSync(folder)
      .filter((name) => /\.(jpg|png|gif|tif|webp|avif)$/.test(name))
      .map((name) => readFileSync(join(folder, name)))
      .filter(({ length }) => length < 12_000);
  },
  async take(input) {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null)
      child = fork(script, { serialization: "advanced", cwd: root });
    const own = child;
    const over = new AbortController();
    const { signal: until } = over;
    own.send(input);
    const [first, signal] = (await Promise.race([
      once(own, "message", { signal: until }),
      once(own, "exit", { signal: until }),
    ]).finally(() => over.abort())) as [
      { readonly said: string; readonly rss: number; readonly took: number } | number | null,
      NodeJS.Signals | undefined,
    ];
    if (first === null || typeof first === "number")
      throw new Error(`the process ended: ${signal ?? first}`);
    if (first.said !== "decoded" && first.said !== "refused") throw new Error(first.said);
    if (first.took > SLOW) throw new Error(`it took ${first.took} ms`);
    if (first.rss > MOST) throw new Error(`the process holds ${first.rss} bytes`);
  },
  async close() {
    if (child?.exitCode !== null || child.signalCode !== null) return;
    child.kill();
    await once(child, "exit");
    child = undefined;
  },
};
