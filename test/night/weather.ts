/** What goes wrong in a night, by a seed. */
import { createHash } from "node:crypto";
import type { Clock } from "../../src/net/clock.ts";
import { tooMany, type Hub } from "../fixtures/hub.ts";
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

/** A number from 0 to below `below` that only the words decide. */
function drawn(below: number, ...words: readonly (string | number)[]): number {
  const hash = createHash("sha256").update(words.join("\n")).digest();
  return Math.floor((hash.readUInt32BE(0) / 2 ** 32) * below);
}

/** Answers to one address that go wrong in a row, at most: then it goes well once, whatever the draw. */
const ROW = 4;

/** A share of all requests, out of 100. */
const SHARE = { file: 60, other: 45 };

/**
 * What happens to a request depends on the seed, its path and how many came for that before, and so not on which of several goes first. Each fault but an
 * ignored range, which costs bytes only, makes another request necessary.
 */
export function badWeather(hub: Hub, seed: number, files: Iterable<Uint8Array>): Weather {
  const met: Record<string, number> = {};
  let costly = 0;
  const sizes = new Map<string, number>();
  for (const file of files) sizes.set(createHash("sha256").update(file).digest("hex"), file.length);

  function happen(kind: string, fault: Fault, costs = true): Fault {
    met[kind] = (met[kind] ?? 0) + 1;
    if (costs) costly++;
    return fault;
  }

  /** Bytes that the answer would have. */
  function bodyOf(path: string, range: string | undefined): number {
    const size = sizes.get(path.slice(path.lastIndexOf("/") + 1)) ?? 0;
    const [, from = "0", to = ""] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? [];
    return (to === "" ? size : Number(to) + 1) - Number(from);
  }

  hub.fault = ({ kind, url, nth, range, method }) => {
    const path = url.split("?")[0]!;
    const draw = (below: number, what: string, at = nth): number =>
      drawn(below, seed, what, method, kind, path, at);
    if (nth % (ROW + 1) === ROW) return undefined;
    if (draw(100, "burst", Math.floor(nth / 3)) < 8)
      return draw(2, "status") === 0
        ? happen("500 in a burst", { status: 500 })
        : happen("503 in a burst", { status: 503, headers: { "Retry-After": "1" } });
    const file = kind === "file";
    if (draw(100, "any") >= (file ? SHARE.file : SHARE.other)) {
      const ignored = file && range !== undefined && draw(3, "range") === 0;
      return ignored ? happen("range ignored", { ignoreRange: true }, false) : undefined;
    }
    const which = draw(file ? 8 : 4, "which");
    if (which === 0) return happen("429", tooMany(1 + draw(3, "seconds")));
    if (which === 1) return happen("hung up", { hangUp: true });
    if (which === 2) return happen("502", { status: 502 });
    if (kind === "resolve") return happen("504", { status: 504 });
    if (which === 7) {
      const wrong = 1 + draw(5000, "wrong");
      return happen("wrong length", { length: draw(2, "less") === 0 ? wrong : -wrong });
    }
    return happen("cut", { cut: draw(file ? bodyOf(path, range) : 60, "cut") });
  };
  return {
    met,
    get costly() {
      return costly;
    },
  };
}
