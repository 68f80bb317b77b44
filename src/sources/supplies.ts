import type { Store } from "../cache/store.ts";
import type { Net } from "../net/net.ts";

/** What sources share: one network and one store, made when the first source needs them. */
export interface Supplies {
  net(): Promise<Net>;
  store(): Promise<Store>;
  /** Of the store, if it keeps anything on disk. Reading there needs no store. */
  readonly folder: string | undefined;
  /** Adds to what the store knows of how soon a shard is needed; undefined for ids of others. */
  needs(order: (id: string) => number | undefined): void;
  /** What was decided that the user did not say, for people. */
  note(text: string): void;
  close(): Promise<void>;
}

export interface Makers {
  readonly net: () => Promise<Net>;
  readonly store: () => Promise<Store>;
  readonly note: (text: string) => void;
  readonly folder?: string;
}

export function createSupplies(make: Makers): Supplies {
  let net: Promise<Net> | undefined;
  let store: Promise<Store> | undefined;
  const orders: ((id: string) => number | undefined)[] = [];

  async function opened(): Promise<Store> {
    const made = await make.store();
    made.needs((id) => {
      for (const order of orders) {
        const rank = order(id);
        if (rank !== undefined) return rank;
      }
      return Infinity;
    });
    return made;
  }

  return {
    net: () => (net ??= make.net()),
    store: () => (store ??= opened()),
    note: make.note,
    folder: make.folder,
    needs: (order) => void orders.push(order),
    async close() {
      // the store first: its feeds read from the network
      await (await store?.catch(() => undefined))?.close();
      await (await net?.catch(() => undefined))?.close();
    },
  };
}
