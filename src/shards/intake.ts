/** Bytes that come in chunks, taken piece by piece. Holds one chunk and what was looked at. */
export interface Intake {
  /** Bytes behind: where the next one is. */
  at(): number;
  /** The next `length` bytes, which stay where they are; fewer only where the bytes end. Valid until the next call. */
  look(length: number): Promise<Uint8Array>;
  /** The next bytes, at least 1 and at most `most`, in memory of the chunk; undefined at the end. */
  piece(most: number): Promise<Uint8Array | undefined>;
  /** Into memory of its own; how many came, fewer only where the bytes end. */
  fill(into: Uint8Array): Promise<number>;
  /** Leaves bytes out up to `to`; false where they end before. */
  skip(to: number): Promise<boolean>;
  /** Tells the giver that no more is wanted. */
  close(): Promise<void>;
}

const nothing = new Uint8Array(0);

export function createIntake(bytes: AsyncIterable<Uint8Array>): Intake {
  const iterator = bytes[Symbol.asyncIterator]();
  let head: Uint8Array = nothing;
  let at = 0;
  let ended = false;

  /** The next chunk that has bytes, in place of the head; false at the end. */
  async function next(): Promise<boolean> {
    while (!ended) {
      const { done, value } = await iterator.next();
      if (done) ended = true;
      else if (value.length > 0) {
        head = value;
        return true;
      }
    }
    head = nothing;
    return false;
  }

  function drop(length: number): void {
    head = head.subarray(length);
    at += length;
  }

  async function piece(most: number): Promise<Uint8Array | undefined> {
    if (head.length === 0 && !(await next())) return undefined;
    const found = head.subarray(0, most);
    drop(found.length);
    return found;
  }

  async function more(length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let found = 0;
    do {
      // a copy (which slice() of a Buffer is not): whoever made the chunk may use its memory for the next
      parts.push(new Uint8Array(head));
      found += head.length;
    } while (found < length && (await next()));
    head = Buffer.concat(parts);
    return head.subarray(0, length);
  }

  return {
    at: () => at,
    look: (length) =>
      head.length >= length ? Promise.resolve(head.subarray(0, length)) : more(length),
    piece,
    async fill(into) {
      let done = 0;
      while (done < into.length) {
        const found = await piece(into.length - done);
        if (!found) break;
        into.set(found, done);
        done += found.length;
      }
      return done;
    },
    async skip(to) {
      for (;;) {
        if (at >= to) return true;
        if (!(await piece(to - at))) return false;
      }
    },
    async close() {
      ended = true;
      head = nothing;
      await iterator.return?.();
    },
  };
}
