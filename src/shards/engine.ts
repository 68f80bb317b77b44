import type { Transform } from "node:stream";

/** Bytes that come out at once, at most. */
export const PIECE: number = 1 << 16;

/** A stream of node:zlib that is given input when output is asked for, and no sooner. */
export interface Engine {
  /** Bytes of input used. */
  taken(): number;
  /** Whether it takes no more. */
  over(): boolean;
  /** What comes out until all of the input is used or the engine is over. Without input: what is left, up to the end. */
  run(input?: Uint8Array): AsyncGenerator<Uint8Array, void, undefined>;
  close(): void;
}

export function createEngine(stream: Transform & { readonly bytesWritten: number }): Engine {
  let over = false;
  let failure: Error | undefined;
  let wake = (): void => undefined;
  stream.on("readable", () => wake());
  stream.on("end", () => ((over = true), wake()));
  stream.on("error", (error) => ((failure = error), wake()));
  return {
    taken: () => stream.bytesWritten,
    over: () => over,
    async *run(input) {
      const end = stream.bytesWritten + (input?.length ?? 0);
      let done = false;
      if (input) stream.write(input, () => ((done = true), wake()));
      else stream.end();
      for (;;) {
        const piece = stream.read() as Uint8Array | null;
        if (piece) yield piece;
        else if (failure) throw failure;
        // it calls back, too, where it has not used all and is about to end
        else if (over || (done && stream.bytesWritten === end)) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    },
    close: () => void stream.destroy(),
  };
}
