/** What goes wrong in a night, by a seed. */
import { createHash } from "node:crypto";
import type { Clock } from "../../src/net/clock.ts";
import { tooMany, type Hub, type HubRequest } from "../fixtures/hub.ts";
import type { Fault } from "../fixtures/hub-answer.ts";

/** Pauses take a hundredth of their time; what servers and disks do seems to take a hundred times as long. */
export const fastClock: Clock = {
  now: () => performance.now() * 100,
  wall: () => Date.now(),
  random: () => Math.random(),
  sleep: (milliseconds, signal) =>
    new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const abort = (): void => {
        clearTimeout(timer);
        reject(signal.reason as Error);
      };
      const timer = setTimeout(() => {
        signal.removeEventListener("abort", abort);
        resolve();
      }, milliseconds / 100);
      signal.addEventListener("abort", abort, { once: true });
    }),
};

export interface Weather {
  /** Faults so far, by kind. */
  readonly met: { readonly [kind: string]: number };
  /** Those that a client can answer only by another request. */
  readonly costly: number;
}

export interface Severity {
  /** Share of the requests that meet a fault, beside the bursts. */
  readonly share?: number;
  /** Bodies of files are cut before this byte. */
  readonly longest: number;
}

/** A number from 0 to below `below` that only the words decide. */
function drawn(below: number, ...words: readonly (string | number)[]): number {
  const hash = createHash("sha256").update(words.join("\n")).digest();
  return Math.floor((hash.readUInt32BE(0) / 2 ** 32) * below);
}

/** Answers to one address that go wrong in a row, at most: then it goes well once, whatever the draw. */
const ROW = 4;

/**
 * What happens to a request depends on the seed, its path and how many came for that before, and so not on which of several goes first. Ranges are ignored
 * where they are asked for, which costs bytes and no request.
 */
export function badWeather(hub: Hub, seed: number, { share = 0.4, longest }: Severity): Weather {
  const met: Record<string, number> = {};
  let costly = 0;

  function happen(kind: string, fault: Fault, costs = true): Fault {
    met[kind] = (met[kind] ?? 0) + 1;
    if (costs) costly++;
    return fault;
  }

  function burst({ kind, url, nth }: HubRequest): boolean {
    const path = url.split("?")[0]!;
    return drawn(100, seed, "burst", kind, path, Math.floor(nth / 3)) < 8;
  }

  hub.fault = (request) => {
    const { kind, url, nth, range, method } = request;
    const path = url.split("?")[0]!;
    const draw = (below: number, what: string): number =>
      drawn(below, seed, what, method, kind, path, nth);
    if (nth % (ROW + 1) === ROW) return undefined;
    if (burst(request)) {
      const status = draw(2, "status") === 0 ? 500 : 503;
      const patience = status === 503 ? { headers: { "Retry-After": "1" } } : {};
      return happen(`${status} in a burst`, { status, ...patience });
    }
    if (draw(1000, "any") >= share * 1000) {
      if (range !== undefined && kind === "file" && draw(3, "range") === 0)
        return happen("range ignored", { ignoreRange: true }, false);
      return undefined;
    }
    const body = kind === "file" ? longest : 400;
    const which = draw(kind === "file" ? 8 : 4, "which");
    if (which === 0) return happen("429", tooMany(1 + draw(3, "seconds")));
    if (which === 1) return happen("hung up", { hangUp: true });
    if (which === 2) return happen("502", { status: 502 });
    if (which === 3 && kind !== "info" && kind !== "tree" && kind !== "file")
      return happen("504", { status: 504 });
    if (which === 7) {
      const wrong = 1 + draw(5000, "wrong");
      return happen("wrong length", { length: draw(2, "less") === 0 ? wrong : -wrong });
    }
    return happen("cut", { cut: draw(body, "cut") });
  };
  return {
    met,
    get costly() {
      return costly;
    },
  };
}
