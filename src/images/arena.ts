import type { Arena, Picture } from "./picture.ts";

const PAGE = 65_536;
/** SIMD loads run up to 15 bytes past the last pixel. */
const SPARE = 16;
/** 2 GiB of address space: byte offsets stay positive in 32-bit arithmetic. The kernels' module declares the same. */
export const MAXIMUM_PAGES = 32_768;

/** Memory that the kernels, libjpeg-turbo and the main thread share without copies. */
export function createMemory(): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: 16, maximum: MAXIMUM_PAGES, shared: true });
}

/** To the next multiple of 16. Not by & ~15, which turns numbers beyond 2^31 negative. */
const aligned = (bytes: number): number => Math.ceil(bytes / 16) * 16;

/** A stack allocator over [start, limit) of the memory; two arenas of one memory must have disjoint ranges. */
export function createArena(
  memory: WebAssembly.Memory,
  start: number,
  limit: number = MAXIMUM_PAGES * PAGE,
): Arena {
  let top = aligned(start);
  return {
    memory,
    alloc(bytes) {
      const at = top;
      top = aligned(at + bytes + SPARE);
      if (top > limit) {
        top = at;
        throw new RangeError(
          `a worker's memory is full: ${bytes} bytes asked for, ${limit - at} left`,
        );
      }
      const missing = top - memory.buffer.byteLength;
      if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
      return at;
    },
    picture(width, height): Picture {
      return { at: this.alloc(width * height * 3), width, height };
    },
    mark: () => top,
    release(mark) {
      top = mark;
    },
    bytes: (at, length) => new Uint8Array(memory.buffer, at, length),
  };
}
