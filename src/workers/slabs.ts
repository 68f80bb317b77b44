import { StreamError } from "../errors.ts";
import { FLAGS_AT, MAX_SLABS, MEMORY_END, SLABS_AT } from "./messages.ts";

/** Memory for finished images, in slabs that the main thread gives back when the bytes are on their way. */
export interface Slabs {
  /** Room for `bytes` (and 16 spare ones), 16-byte aligned. */
  take(bytes: number): number;
  /** Gives the end of the last take() back: only `used` bytes were needed. */
  trim(at: number, used: number): void;
  mark(): number;
  /** Forgets everything taken since mark(). */
  rewind(mark: number): void;
  /** Ends the cell: the slabs it used, now the main thread's. */
  finish(): number[];
}

export function createSlabs(memory: WebAssembly.Memory, slabBytes: number): Slabs {
  const count = Math.min(MAX_SLABS, Math.floor((MEMORY_END - SLABS_AT) / slabBytes));
  const flags = new Int32Array(memory.buffer, FLAGS_AT, MAX_SLABS);
  let used: { slab: number; next: number }[] = [];

  function open(): { slab: number; next: number } {
    for (let slab = 0; slab < count; slab++) {
      if (Atomics.load(flags, slab) !== 0) continue;
      Atomics.store(flags, slab, 1);
      const start = SLABS_AT + slab * slabBytes;
      const missing = start + slabBytes - memory.buffer.byteLength;
      if (missing > 0) memory.grow(Math.ceil(missing / 65_536));
      const opened = { slab, next: start };
      used.push(opened);
      return opened;
    }
    const context = { slabs: count, bytes: slabBytes };
    throw new StreamError(
      "LIMIT",
      `all ${count} slabs of a worker (${slabBytes} bytes each) hold images that nobody took`,
      { context },
    );
  }

  return {
    take(bytes) {
      const room = (bytes + 31) & ~15;
      if (room > slabBytes)
        throw new StreamError(
          "LIMIT",
          `an image of ${bytes} bytes is larger than a slab of ${slabBytes}`,
        );
      let current = used.at(-1) ?? open();
      if (current.next + room > SLABS_AT + (current.slab + 1) * slabBytes) current = open();
      const at = current.next;
      current.next += room;
      return at;
    },
    trim(at, bytes) {
      used.at(-1)!.next = (at + bytes + 31) & ~15;
    },
    // A mark is a count of slabs and the next byte in the last: SLABS_AT + offset fits 31 bits, so both fit a double.
    mark: () => used.length * MEMORY_END + (used.at(-1)?.next ?? 0),
    rewind(mark) {
      const length = Math.floor(mark / MEMORY_END);
      for (const { slab } of used.splice(length)) Atomics.store(flags, slab, 0);
      const last = used.at(-1);
      if (last) last.next = mark % MEMORY_END;
    },
    finish() {
      const slabs = used.map(({ slab }) => slab);
      used = [];
      return slabs;
    },
  };
}
