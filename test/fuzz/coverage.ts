/** Which code has run, by the engine's own counters. Functions that were compiled before begin() are seen only as a whole. */
import { Session } from "node:inspector/promises";

export interface Coverage {
  /** Ways through the sources since the last call that nothing had taken before. */
  fresh(): Promise<number>;
  readonly paths: number;
  end(): Promise<void>;
}

export async function beginCoverage(under: string): Promise<Coverage> {
  const session = new Session();
  session.connect();
  await session.post("Profiler.enable");
  await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  const seen = new Set<string>();
  return {
    async fresh() {
      const { result } = await session.post("Profiler.takePreciseCoverage");
      const before = seen.size;
      for (const { url, scriptId, functions } of result) {
        if (!url.includes(under) || url.includes("node_modules")) continue;
        for (const { ranges } of functions)
          for (const { startOffset, endOffset, count } of ranges)
            // how often, roughly: loops that go round once more are no news for ever
            seen.add(
              `${scriptId}:${startOffset}:${endOffset}:${Math.min(32 - Math.clz32(count), 6)}`,
            );
      }
      return seen.size - before;
    },
    get paths() {
      return seen.size;
    },
    async end() {
      await session.post("Profiler.stopPreciseCoverage");
      session.disconnect();
    },
  };
}
