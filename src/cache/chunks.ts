/** Memory of a fixed size in all, in large pieces that are used again: a block takes pieces as it grows and gives them back at once. */
export interface Pool {
  /** Bytes. */
  readonly limit: number;
  /** Bytes that blocks hold; whole pieces. */
  readonly used: number;
  block(): Block;
}

export interface Block {
  /** Bytes written. */
  readonly size: number;
  /** Writes behind what is there; false, and nothing is written, where the pool has no room. */
  append(parts: readonly Uint8Array[]): boolean;
  /** Fills `into` with what was written from `at` on. */
  read(at: number, into: Uint8Array): void;
  /** Gives all memory back. */
  free(): void;
}

const LARGEST_PIECE = 1 << 20;
/** Small limits are cut finer, so that what the blocks' last pieces leave empty stays a small share. */
const FEWEST_PIECES = 64;

export function createPool(limit: number): Pool {
  const piece = Math.max(1, Math.min(LARGEST_PIECE, Math.floor(limit / FEWEST_PIECES)));
  const most = Math.floor(limit / piece);
  const spare: Uint8Array[] = [];
  let taken = 0;

  return {
    limit,
    get used() {
      return taken * piece;
    },
    block() {
      let pieces: Uint8Array[] = [];
      let size = 0;
      return {
        get size() {
          return size;
        },
        append(parts) {
          const end = parts.reduce((sum, { length }) => sum + length, size);
          const more = Math.ceil(end / piece) - pieces.length;
          if (taken + more > most) return false;
          taken += more;
          for (let count = 0; count < more; count++)
            pieces.push(spare.pop() ?? new Uint8Array(piece));
          for (const part of parts) {
            for (let done = 0; done < part.length;) {
              const from = size % piece;
              const some = part.subarray(done, done + piece - from);
              (pieces[Math.floor(size / piece)] as Uint8Array).set(some, from);
              done += some.length;
              size += some.length;
            }
          }
          return true;
        },
        read(at, into) {
          for (let done = 0; done < into.length;) {
            const from = (at + done) % piece;
            const rest = from + into.length - done;
            const some = (pieces[Math.floor((at + done) / piece)] as Uint8Array).subarray(
              from,
              rest,
            );
            into.set(some, done);
            done += some.length;
          }
        },
        free() {
          taken -= pieces.length;
          spare.push(...pieces);
          pieces = [];
          size = 0;
        },
      };
    },
  };
}
