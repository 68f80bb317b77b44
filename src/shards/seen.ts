import { hash } from "node:crypto";

/** A set of texts that can only grow. */
export interface Seen {
  /** False where the text is there already. */
  add(text: string): boolean;
}

/** Words of 32 bits a text: 96 bits of its hash, of which two texts of a billion share all with a probability below 1e-10. */
const WORDS = 3;

/** Keeps hashes in one array, 16 to 40 bytes a text however long: the keys of a shard as strings would be ten times as much. */
export function createSeen(): Seen {
  let slots = 64;
  let table = new Uint32Array(slots * WORDS);
  let count = 0;

  /** Where these words are, or the free slot where they belong. */
  function slotOf(a: number, b: number, c: number): number {
    for (let slot = a & (slots - 1); ; slot = (slot + 1) & (slots - 1)) {
      const at = slot * WORDS;
      if (table[at + 2] === 0) return at;
      if (table[at] === a && table[at + 1] === b && table[at + 2] === c) return at;
    }
  }

  function grow(): void {
    const old = table;
    slots *= 2;
    table = new Uint32Array(slots * WORDS);
    for (let at = 0; at < old.length; at += WORDS) {
      const [a, b, c] = [old[at]!, old[at + 1]!, old[at + 2]!];
      if (c !== 0) table.set([a, b, c], slotOf(a, b, c));
    }
  }

  return {
    add(text) {
      const digest = hash("sha256", text, "buffer");
      const [a, b] = [digest.readUInt32LE(0), digest.readUInt32LE(4)];
      // zero is a free slot
      const c = digest.readUInt32LE(8) || 1;
      const at = slotOf(a, b, c);
      if (table[at + 2] !== 0) return false;
      table.set([a, b, c], at);
      count++;
      if (count * 4 > slots * 3) grow();
      return true;
    },
  };
}
