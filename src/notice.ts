/** What happened inside of a stream that a log may want to know; nothing depends on who listens. Texts may name shards and keys, never folders of this machine. */
export type Notice =
  /** A worker thread died and was replaced; its cell is made again. */
  | { readonly kind: "worker-died"; readonly step: number; readonly cell: number }
  /** A shard that could not be opened or is damaged, or something in it that is no image. Once a shard and reason. */
  | {
      readonly kind: "shard";
      readonly shard: string;
      readonly key?: string;
      readonly offset?: number;
      readonly reason: string;
    }
  /** An image that no puzzle could be made of. */
  | {
      readonly kind: "skipped";
      readonly shard: string;
      readonly key: string;
      readonly reason: string;
      readonly detail: string;
    }
  /** Shards that made room for others in the cache. */
  | { readonly kind: "evicted"; readonly shards: number; readonly bytes: number }
  /** What the cache has to say: no room, damaged rows. */
  | { readonly kind: "cache"; readonly message: string }
  /** A request to a server that failed and will be repeated after `wait` milliseconds. */
  | {
      readonly kind: "retry";
      readonly host: string;
      readonly file: string;
      readonly tries: number;
      readonly wait: number;
      readonly reason: string;
    };

export type Notify = (notice: Notice) => void;
