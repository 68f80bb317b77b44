import { setTimeout as sleep } from "node:timers/promises";
import { asStreamError } from "../errors.ts";
import { openLoaders, type Loaders } from "../transport/loaders.ts";

/** What a server tells its clients of: `--loaders`, read anew as it changes. */
export interface ToldLoaders {
  /** As of now; undefined until the list could be read once. */
  list(): readonly string[] | undefined;
  /** Ends the watching. Idempotent. */
  close(): void;
}

/** Milliseconds between two tries at a list that is not there yet. */
const AGAIN = 2_000;

/**
 * A list whose file or name is not there yet does not keep a loader from starting: on Kubernetes the name has no address before the first loader
 * is ready. That is told once, and it is tried again. Throws BAD_OPTION for what is no list.
 */
export async function tellOf(
  given: string,
  warn: (message: string) => void,
  again: number = AGAIN,
): Promise<ToldLoaders> {
  const closing = new AbortController();
  let loaders: Loaders | undefined;

  /** Why it could not be read, where trying again may help. */
  async function open(): Promise<string | undefined> {
    try {
      loaders = await openLoaders(given);
    } catch (error) {
      const { code, message } = asStreamError(error);
      if (code !== "SOURCE_NOT_FOUND" && code !== "CONNECTION_LOST") throw error;
      return message;
    }
    if (closing.signal.aborted) loaders.close();
    return undefined;
  }

  async function retry(): Promise<void> {
    do await sleep(again, undefined, { signal: closing.signal });
    while ((await open()) !== undefined);
  }

  const failed = await open();
  if (failed !== undefined) {
    warn(`warning: loaders: ${failed}; clients are told of none until it can be read`);
    // what is no list any more, and the end of waiting
    retry().catch((error: unknown) => {
      if (!closing.signal.aborted) warn(`warning: loaders: ${asStreamError(error).message}`);
    });
  }
  return {
    list: () => loaders?.list,
    close() {
      closing.abort();
      loaders?.close();
    },
  };
}
