import type { Chance } from "../chaos/chance.ts";

/** Numbers on which parsers trip, as bytes of either order and as varints. */
const edges: readonly Uint8Array[] = [
  [0],
  [0x7f],
  [0x80],
  [0xff],
  [0, 0],
  [0xff, 0xff],
  [0x7f, 0xff, 0xff, 0xff],
  [0x80, 0, 0, 0],
  [0xff, 0xff, 0xff, 0xff],
  [0, 0, 0, 0],
  [0, 0, 0, 0x80],
  [0, 0x20, 0, 0, 0, 0, 0, 0],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
].map((bytes) => Uint8Array.from(bytes));

/** The input changed in a few places, mixed with others of the corpus now and then; never longer than `most` bytes. */
export function mutate(
  input: Uint8Array,
  corpus: readonly Uint8Array[],
  chance: Chance,
  { most, words = [] }: { readonly most: number; readonly words?: readonly string[] },
): Uint8Array {
  let bytes = Buffer.from(input);
  const insert = (at: number, part: Uint8Array, instead = 0): void => {
    bytes = Buffer.concat([bytes.subarray(0, at), part, bytes.subarray(at + instead)]);
  };
  for (let times = 2 ** chance.below(4); times > 0; times--) {
    const at = chance.below(bytes.length + 1);
    const length = 1 + chance.below(2 ** chance.below(12));
    const piece = bytes.subarray(at, at + length);
    switch (chance.below(10)) {
      case 0:
      case 1:
        if (at < bytes.length) bytes[at]! ^= 1 << chance.below(8);
        break;
      case 2:
        if (at < bytes.length) bytes[at] = chance.below(256);
        break;
      case 3:
        if (at < bytes.length) bytes[at]! += chance.one([-1, 1, 16]);
        break;
      case 4:
        chance.one(edges).forEach((byte, i) => {
          if (at + i < bytes.length) bytes[at + i] = byte;
        });
        break;
      case 5:
        insert(at, chance.one(edges));
        break;
      case 6: // left out
        insert(at, new Uint8Array(0), length);
        break;
      case 7: // twice, or in another place
        insert(chance.happens(0.5) ? at : chance.below(bytes.length + 1), Buffer.from(piece));
        break;
      case 8: {
        const other = chance.one(corpus);
        const from = chance.below(other.length + 1);
        insert(at, other.subarray(from, from + length), chance.happens(0.5) ? length : 0);
        break;
      }
      case 9:
        if (words.length > 0) insert(at, Buffer.from(chance.one(words)));
        else if (chance.happens(0.3)) bytes = bytes.subarray(0, at);
        break;
    }
  }
  return bytes.subarray(0, most);
}
