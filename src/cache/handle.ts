import { StreamError } from "../errors.ts";
import { closed, type Room } from "../shards/bytes.ts";
import type { Row, Shard } from "../shards/feed.ts";
import type { Growth } from "./growth.ts";

/** The rows of one identity, while somebody has them open or they are being fetched. */
export interface Holding {
  /** For messages. */
  readonly name: string;
  readonly growth: Growth;
  /** A row that exists; waits until it is stored. */
  readonly read: (row: number, room?: Room) => Promise<Row>;
}

/** What open() gives: one user of a holding. `released` is called once. */
export function openHandle({ name, growth, read }: Holding, released: () => Promise<void>): Shard {
  let closing: Promise<void> | undefined;
  return {
    get rows() {
      return growth.rows;
    },
    get complete() {
      return growth.complete;
    },
    get notes() {
      return growth.notes;
    },
    async counted(rows) {
      if (closing) throw closed(name);
      await growth.counted(rows);
    },
    async ready(row) {
      if (closing) throw closed(name);
      await growth.reached(row);
    },
    async read(row, room) {
      if (closing) throw closed(name);
      if (!Number.isInteger(row) || row < 0 || row >= growth.rows)
        throw new StreamError("INTERNAL", `${name}: row ${row} of ${growth.rows}`, {
          context: { shard: name },
        });
      try {
        return await read(row, room);
      } catch (error) {
        // closed in the midst of it, which looks like anything
        throw closing ? closed(name) : error;
      }
    },
    close: () => (closing ??= released()),
  };
}
