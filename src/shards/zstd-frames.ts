/** Follows the frames of Zstandard data without unpacking them. */
export interface Frames {
  /** How many of these bytes belong to the present frame: all, or those up to its end. Throws where a frame should begin and none does. */
  take(bytes: Uint8Array): number;
  /** Whether a frame has begun and not ended. */
  open(): boolean;
}

/**
 * RFC 8878, 3.1. Node's decompressor alone would not do: it leaves out what follows a frame in the same chunk, and before Node 24 takes a frame that is cut
 * for a whole one.
 */
export function createFrames(): Frames {
  const field = new Uint8Array(4);
  /** Bytes of the field that is being read, and how many it has. */
  let have = 0;
  let want = 4;
  /** Bytes to let through before the next field, or before the end. */
  let pass = 0;
  let ending = false;
  let checksum = 0;
  let read = magic;

  function expect(length: number, next: () => void): void {
    want = length;
    read = next;
  }

  function magic(): void {
    const [a, b, c, d] = field;
    if (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) expect(1, descriptor);
    else if ((a! & 0xf0) === 0x50 && b === 0x2a && c === 0x4d && d === 0x18) expect(4, skippable);
    else throw new Error("no frame begins where one should");
  }

  function skippable(): void {
    pass = new DataView(field.buffer).getUint32(0, true);
    ending = true;
  }

  /** The rest of the frame's header: window, dictionary and content size. */
  function descriptor(): void {
    const flags = field[0]!;
    const single = (flags >> 5) & 1;
    const size = flags >> 6;
    pass = 1 - single + [0, 1, 2, 4][flags & 3]! + (size === 0 ? single : 1 << size);
    checksum = flags & 4;
    expect(3, block);
  }

  function block(): void {
    const head = field[0]! + (field[1]! << 8) + (field[2]! << 16);
    const type = (head >> 1) & 3;
    if (type === 3) throw new Error("a block of a reserved type");
    // a run of one byte is that byte
    pass = type === 1 ? 1 : head >> 3;
    ending = (head & 1) === 1;
    if (ending) pass += checksum;
  }

  return {
    take(bytes) {
      for (let at = 0; ;) {
        const through = Math.min(pass, bytes.length - at);
        pass -= through;
        at += through;
        if (pass === 0 && ending) {
          ending = false;
          expect(4, magic);
          return at;
        }
        if (at === bytes.length) return at;
        field[have++] = bytes[at++]!;
        if (have < want) continue;
        have = 0;
        read();
      }
    },
    open: () => have > 0 || read !== magic,
  };
}
