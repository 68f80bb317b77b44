import { checkAborted, unlessAborted } from "./abort.ts";

/** Bounds how much work is under way. */
export interface Gate {
  /** Resolves when there is room, in the order of the calls. Whoever is aborted while waiting leaves the line. ABORTED, CLOSED. */
  enter(signal: AbortSignal): Promise<void>;
  readonly leave: () => void;
  /** Those that were let in and have not left, and those in the line. */
  readonly inside: number;
  readonly waiting: number;
}

/** Room for `width` at once. */
export function createGate(width: number): Gate {
  let room = width;
  const line = new Set<() => void>();

  function leave(): void {
    const [next] = line;
    if (!next) room++;
    else {
      line.delete(next);
      next();
    }
  }

  return {
    leave,
    get inside() {
      return width - room;
    },
    get waiting() {
      return line.size;
    },
    async enter(signal) {
      checkAborted(signal);
      if (room > 0) {
        room--;
        return;
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      line.add(resolve);
      try {
        // Let in and aborted in one turn: the room goes to the next.
        await unlessAborted(promise, signal, leave);
      } finally {
        line.delete(resolve);
      }
    },
  };
}
