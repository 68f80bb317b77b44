import type { Room } from "./shards/bytes.ts";

/** Memory that the encoded images of one cell are read into; shared with the workers, so that nothing is copied or handed over. */
export interface Tray {
  /** Rooms on the tray, one after the other; beyond its end in memory of their own. */
  readonly room: Room;
  /** Takes everything off it. */
  clear(): void;
  /** Ends its use. What lies on it must not be touched any more. */
  release(): void;
}

/** First touch of fresh memory costs more than the read itself, so trays are used again. */
const SMALLEST = 1 << 20;
/** Bytes; a cell of larger images reads the rest into memory of its own. */
const LARGEST = 1 << 24;

export function createTrays(): { take(): Tray } {
  const free: Uint8Array[] = [];
  let size = SMALLEST;

  return {
    take() {
      let memory = free.pop();
      if (!memory || memory.length < size) memory = new Uint8Array(new SharedArrayBuffer(size));
      let next = 0;
      let asked = 0;
      return {
        room(length) {
          asked += length + 15;
          const at = next;
          if (at + length > memory.length) return new Uint8Array(length);
          next = (at + length + 15) & ~15;
          return memory.subarray(at, at + length);
        },
        clear() {
          while (size < Math.min(asked, LARGEST)) size *= 2;
          next = 0;
          asked = 0;
        },
        release() {
          this.clear();
          free.push(memory);
        },
      };
    },
  };
}
