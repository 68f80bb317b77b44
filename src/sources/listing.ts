import { crc32 } from "node:zlib";
import { StreamError } from "../errors.ts";
import type { List, ShardInfo } from "./source.ts";

/**
 * Lists of a hundred thousand shards and more in few bytes each: texts in one buffer, hashes as bytes, and the objects made when they are asked for.
 */
export interface Column<Value> {
  push(value: Value): void;
  at(index: number): Value;
}

/** Bytes one behind the other. */
interface Pieces {
  /** Room for `most` bytes; what is returned by `write` of them is kept. */
  push(most: number, write: (room: Buffer) => number): void;
  at(index: number): Buffer;
}

function createPieces(): Pieces {
  let bytes = Buffer.alloc(1024);
  let ends = new Uint32Array(64);
  let count = 0;
  const start = (index: number): number => (index === 0 ? 0 : ends[index - 1]!);
  return {
    push(most, write) {
      const from = start(count);
      if (from + most > LARGEST)
        throw new StreamError("LIMIT", "the names of the shards take more than 4 GB");
      if (from + most > bytes.length) {
        const more = Buffer.alloc(Math.max(from + most, Math.ceil(bytes.length * GROWTH)));
        bytes.copy(more);
        bytes = more;
      }
      if (count === ends.length) {
        const more = new Uint32Array(Math.ceil(ends.length * GROWTH));
        more.set(ends);
        ends = more;
      }
      ends[count++] = from + write(bytes.subarray(from, from + most));
    },
    at: (index) => bytes.subarray(start(index), ends[index]),
  };
}

/** Small, since what was too much is kept as well. */
const GROWTH = 1.25;
/** Bytes of a column: ends are 32-bit numbers. */
const LARGEST = 2 ** 32 - 1;

/** What is not well-formed Unicode, which UTF-8 can't carry, comes back as it was, too. */
export function textColumn(): Column<string> {
  const pieces = createPieces();
  const odd = new Map<number, string>();
  let count = 0;
  return {
    push(text) {
      if (!text.isWellFormed()) odd.set(count, text);
      pieces.push(Buffer.byteLength(text), (room) => room.write(text));
      count++;
    },
    at: (index) => odd.get(index) ?? pieces.at(index).toString(),
  };
}

/** Texts that may be missing; those that are hexadecimal behind a word, as "sha256:…" is, take half of their length. */
export function hashColumn(): Column<string | undefined> {
  const pieces = createPieces();
  const odd = new Map<number, string>();
  const words: string[] = [];
  let count = 0;

  /** PLAIN where it is not hexadecimal. */
  function wordOf(text: string): number {
    if (!HEXADECIMAL.test(text)) return PLAIN;
    const word = text.slice(0, text.indexOf(":") + 1);
    const known = words.indexOf(word);
    if (known >= 0) return known;
    return words.length === PLAIN ? PLAIN : words.push(word) - 1;
  }

  function write(text: string): void {
    const word = wordOf(text);
    const rest = word === PLAIN ? text : text.slice(words[word]!.length);
    const coding = word === PLAIN ? "utf8" : "hex";
    pieces.push(1 + Buffer.byteLength(rest, coding), (room) => {
      room[0] = word;
      return 1 + room.write(rest, 1, coding);
    });
  }

  return {
    push(text) {
      if (text === undefined) pieces.push(0, () => 0);
      else write(text);
      if (text?.isWellFormed() === false) odd.set(count, text);
      count++;
    },
    at(index) {
      const piece = pieces.at(index);
      if (piece.length === 0) return undefined;
      const word = piece[0]!;
      if (word === PLAIN) return odd.get(index) ?? piece.toString("utf8", 1);
      return words[word]! + piece.toString("hex", 1);
    },
  };
}

const HEXADECIMAL = /^[a-z0-9-]{1,20}:([0-9a-f]{2})+$/;
/** The number of no word: a text follows as it is. */
const PLAIN = 255;

export function numberColumn(): Column<number> {
  let numbers = new Float64Array(64);
  let count = 0;
  return {
    push(value) {
      if (count === numbers.length) {
        const more = new Float64Array(Math.ceil(numbers.length * GROWTH));
        more.set(numbers);
        numbers = more;
      }
      numbers[count++] = value;
    },
    at: (index) => numbers[index]!,
  };
}

/** `make` is asked for items 0 .. length - 1 only, each time that one is needed. */
export function listOf<Item>(length: number, make: (index: number) => Item): List<Item> {
  return {
    length,
    at: (index) =>
      Number.isInteger(index) && index >= 0 && index < length ? make(index) : undefined,
    *[Symbol.iterator]() {
      for (let index = 0; index < length; index++) yield make(index);
    },
  };
}

/** Another look at the items of a list, which is kept as it is. */
export function mapList<Item, Other>(
  list: List<Item>,
  change: (item: Item, index: number) => Other,
): List<Other> {
  return listOf(list.length, (index) => change(list.at(index)!, index));
}

/** Lists one behind the other. */
export function joinLists<Item>(lists: readonly List<Item>[]): List<Item> {
  let length = 0;
  const ends = lists.map((list) => (length += list.length));
  return listOf(length, (index) => {
    const at = ends.findIndex((end) => index < end);
    return lists[at]!.at(index - (ends[at]! - lists[at]!.length))!;
  });
}

/** Where a text stands in a list; 12 to 24 bytes a text, which are made anew to be compared. The last place of one that stands twice. */
export function findText(texts: List<string>): (text: string) => number | undefined {
  let size = 2;
  while (size < 2 * texts.length) size *= 2;
  const places = new Uint32Array(size);
  const hashes = new Uint32Array(texts.length);
  const mask = size - 1;

  /** The slot of the table that holds the text, or is free for it. */
  function slotOf(text: string, hash: number): number {
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const place = places[slot]! - 1;
      if (place < 0 || (hashes[place] === hash && texts.at(place) === text)) return slot;
    }
  }

  let place = 0;
  for (const text of texts) {
    const hash = crc32(text);
    places[slotOf(text, hash)] = place + 1;
    hashes[place++] = hash;
  }
  return (text) => {
    const found = places[slotOf(text, crc32(text))]! - 1;
    return found < 0 ? undefined : found;
  };
}

export function infoOf({
  name,
  size,
  hash,
}: Omit<ShardInfo, "hash"> & { readonly hash?: string | undefined }): ShardInfo {
  return { name, size, ...(hash !== undefined && { hash }) };
}
