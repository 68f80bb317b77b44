/** Decodes what it is sent, in a process of its own: native code may end it. Answers with what came of it. */
import { createArena, createMemory } from "../../src/images/arena.ts";
import { decode } from "../../src/images/decode.ts";
import { createDraw } from "../../src/images/draw.ts";

const START = 65_536;
const LIMIT = 64 << 20;
const memory = createMemory();
const images = createArena(memory, START, LIMIT);
const draw = createDraw(createArena(memory, LIMIT, 2 * LIMIT));

async function outcome(bytes: Uint8Array): Promise<string> {
  images.release(START);
  try {
    const picture = await decode(bytes, images, draw, { maxInputPixels: 1_000_000 });
    if ("reason" in picture) {
      if (images.mark() !== START) return "refused, and memory was kept";
      return /^[^\n]{3,200}$/.test(picture.detail) ? "refused" : `detail ${picture.detail}`;
    }
    const { width, height } = picture;
    return width * height <= 1_000_000 ? "decoded" : `${width} x ${height} pixels`;
  } catch (error) {
    return `thrown: ${(error as Error).stack}`;
  }
}

process.on("message", (bytes: Uint8Array) => {
  const started = process.cpuUsage();
  void outcome(bytes).then((said) => {
    const { user, system } = process.cpuUsage(started);
    process.send?.({ said, rss: process.memoryUsage.rss(), took: (user + system) / 1_000 });
  });
});
