/** What happens in a loader, as lines of its log. */
import type { ErrorCode, StreamError } from "../errors.ts";
import type { Notice } from "../notice.ts";
import type { ServerEvent } from "../transport/server.ts";
import type { Log } from "./log.ts";

/** Errors of a request that are no failure of the loader: what was asked for is not there, or it is going. */
const harmless: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "STEP_OUT_OF_RANGE",
  "BAD_SLOTS",
  "LIMIT",
  "CLOSED",
  "ABORTED",
]);

/** `onFailure` is told of requests that failed by the loader's fault. */
export function logServer(
  log: Log,
  onFailure: (error: StreamError) => void = () => {},
): (event: ServerEvent) => void {
  return (event) => {
    switch (event.kind) {
      case "joined": {
        const { name, address, format } = event.client;
        return log.info("client joined", { name, address, format });
      }
      case "left": {
        const { name, address, sentBytes, rewards } = event.client;
        return log.info("client left", { name, address, sentBytes, rewards, ...why(event.error) });
      }
      case "reloaded":
        return log.info("reloaded", { what: event.what });
      case "refused":
        return log.warn("connection refused", { address: event.address, ...why(event.error) });
      case "failed": {
        const { client, request, error } = event;
        const fields = { name: client.name, address: client.address, request, ...why(error) };
        if (harmless.has(error.code)) return log.warn("request refused", fields);
        onFailure(error);
        return log.error("request failed", fields);
      }
    }
  };
}

export function logNotices(log: Log): (notice: Notice) => void {
  return ({ kind, ...fields }) => {
    switch (kind) {
      case "worker-died":
        return log.error("worker died", fields);
      case "shard":
        return log.warn("shard problem", fields);
      case "skipped":
        return log.debug("image skipped", fields);
      case "evicted":
        return log.info("cache evicted", fields);
      case "cache":
        return log.warn("cache", fields);
      case "retry":
        return log.warn("network retry", fields);
    }
  };
}

function why(error: StreamError | undefined): { code?: string; reason?: string } {
  return error ? { code: error.code, reason: error.message } : {};
}
