import { StreamError } from "../errors.ts";
import type { Limits } from "./limits.ts";

/** Who is inside: strangers until their hello has been found right, then clients. */
export interface Door {
  enter(address: string, turnAway: () => void): Guest;
}

export interface Guest {
  /** The stranger has become a client. Throws LIMIT. */
  admit(): void;
  /** Idempotent. */
  leave(): void;
}

interface Stranger {
  readonly turnAway: () => void;
}

/** `address`: an IP address, or undefined text for those that are not told apart (a Unix socket). */
export function createDoor(limits: Pick<Limits, "connections" | "perAddress" | "strangers">): Door {
  const strangers = new Map<string, Set<Stranger>>();
  const clients = new Map<string, number>();
  let inside = 0;
  let outside = 0;

  /** Whoever fills the hall with silent connections loses his own; one that says hello at once is hardly ever the oldest. */
  const makeRoom = (): void => {
    let most: Set<Stranger> | undefined;
    for (const group of strangers.values()) if (group.size > (most?.size ?? 0)) most = group;
    const [oldest] = most ?? [];
    oldest?.turnAway();
  };
  const remove = (address: string, stranger: Stranger): boolean => {
    const group = strangers.get(address);
    if (group?.delete(stranger) !== true) return false;
    if (group.size === 0) strangers.delete(address);
    outside--;
    return true;
  };

  return {
    enter(address, turnAway) {
      let client = false;
      const stranger: Stranger = {
        turnAway() {
          remove(address, stranger);
          turnAway();
        },
      };
      if (outside >= limits.strangers) makeRoom();
      const group = strangers.get(address) ?? new Set();
      strangers.set(address, group.add(stranger));
      outside++;
      return {
        admit() {
          const same = clients.get(address) ?? 0;
          if (inside >= limits.connections)
            throw new StreamError("LIMIT", `at most ${limits.connections} clients at a time`);
          if (address !== UNKNOWN && same >= limits.perAddress)
            throw new StreamError(
              "LIMIT",
              `at most ${limits.perAddress} clients of one address at a time`,
            );
          remove(address, stranger);
          client = true;
          inside++;
          clients.set(address, same + 1);
        },
        leave() {
          remove(address, stranger);
          if (!client) return;
          client = false;
          inside--;
          const left = (clients.get(address) ?? 1) - 1;
          if (left === 0) clients.delete(address);
          else clients.set(address, left);
        },
      };
    },
  };
}

/** Clients of a Unix socket have no address. */
export const UNKNOWN = "unix";
