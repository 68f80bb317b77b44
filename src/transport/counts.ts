import { setImmediate } from "node:timers/promises";
import { StreamError } from "../errors.ts";
import type { CountedShard, CountsFile } from "../model.ts";
import type { Link } from "./link.ts";
import { packMessage } from "./messages.ts";
import type { RequestContext, Running } from "./request.ts";
import { logged, tell } from "./told.ts";

/** The request `counts`, both sides: how many rows the shards hold that one loader has counted, for another. */

/** Bytes of one frame, about: what is made while nothing else is done. */
const PAGE = 2 ** 18;
/** Bytes of a shard beside its texts: keys, numbers, lengths. */
const FIXED = 50;

/** The server's side. */
export function startCounts(id: number, context: RequestContext, onDone: () => void): Running {
  const { maker, outlet, tally, activity } = context;
  const idle = activity.begin();
  let cancelled = false;

  async function run(): Promise<void> {
    let failure: StreamError | undefined;
    // Its id is taken before it can be free again, and other clients have their turn between two pages.
    const room = (): Promise<void> => outlet.room().then(() => setImmediate());
    try {
      await room();
      const { image, shards } = maker.counts();
      for (const page of pages(shards)) {
        await room();
        if (cancelled) break;
        void outlet.write([packMessage({ kind: "counted", id, image, shards: page })]);
      }
    } catch (thrown) {
      failure = tell(thrown, (bug) => context.onError(bug));
      context.onFailure("counts", logged(failure));
    }
    tally.request("counts", cancelled ? "cancelled" : (failure?.code ?? "ok"));
    // The id is free before the client can know it.
    onDone();
    idle();
    const last = failure && { code: failure.code, message: failure.message };
    void outlet.write([packMessage(last ? { kind: "error", id, ...last } : { kind: "done", id })]);
  }

  return {
    credit: undefined,
    cancel() {
      cancelled = true;
    },
    drain() {},
    finished: run(),
  };
}

/** At least one, so that a client learns what is counted even where nothing has been. */
function* pages(shards: readonly CountedShard[]): Generator<readonly CountedShard[]> {
  let from = 0;
  let bytes = 0;
  for (const [at, { name, hash }] of shards.entries()) {
    const own = FIXED + Buffer.byteLength(name) + Buffer.byteLength(hash ?? "");
    if (at > from && bytes + own > PAGE) {
      yield shards.slice(from, at);
      from = at;
      bytes = 0;
    }
    bytes += own;
  }
  yield shards.slice(from);
}

/** The client's side. Throws PROTOCOL where the server is of a version without counts. */
export async function* receiveCounts(
  link: Link,
  id: number,
): AsyncGenerator<CountsFile, void, undefined> {
  if (!link.calls.includes("counts"))
    throw new StreamError("PROTOCOL", "the server gives no counts: it is older than this client");
  const { promise, resolve, reject } = Promise.withResolvers<CountsFile>();
  const shards: CountedShard[] = [];
  let image: string | null | undefined;
  let finished = false;
  const fail = (message: string): void => reject(new StreamError("PROTOCOL", message));

  link.attach(id, {
    message(message) {
      switch (message.kind) {
        case "counted":
          if (image !== undefined && image !== message.image)
            return fail("the server's counts are of two kinds of images");
          image = message.image;
          if (shards.length + message.shards.length > link.info.shards)
            return fail(`the server counts more than its ${link.info.shards} shards`);
          for (const shard of message.shards) shards.push(shard);
          return;
        case "done":
          finished = true;
          if (image === undefined) return fail("the server ended counts without an answer");
          return resolve({ version: 1, image, shards });
        case "error":
          finished = true;
          return reject(new StreamError(message.code, message.message));
        default:
          return fail(`the server answered counts with ${message.kind}`);
      }
    },
    lost(error) {
      finished = true;
      reject(error);
    },
  });
  link.send({ kind: "counts", id });
  try {
    yield await promise;
  } finally {
    if (!finished) link.send({ kind: "cancel", id });
    link.detach(id);
  }
}
