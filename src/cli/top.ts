import { setTimeout as sleep } from "node:timers/promises";
import { Command } from "commander";
import { StreamError } from "../errors.ts";
import { tableOf } from "../ops/table.ts";
import { look, moment, totalOf, viewOf, type Look, type View } from "../ops/watched.ts";
import { openLoaders, type Loaders } from "../transport/loaders.ts";
import { watchSignals } from "./lifetime.ts";

interface TopOptions {
  readonly httpPort: string;
  readonly every: string;
  readonly once?: boolean;
  readonly json?: boolean;
}

/** Milliseconds that a loader has for its answer. */
const PATIENCE = 3_000;

/** `ssl-r1 top tcp://a:7531,tcp://b:7531`: how all loaders of a run are, until it is told to end. */
export function topCommand(): Command {
  return new Command("top")
    .description("show all loaders of a run, live, from their --http ports")
    .argument(
      "<loaders...>",
      "http://host:port, or lists as clients take them: tcp://a:7531,tcp://b:7531, file:///..., dns+tcp://...",
    )
    .option("--http-port <port>", "their --http port, where it is not in the address", "9531")
    .option("--every <seconds>", "between two looks", "2")
    .option("--once", "look once (over one interval), print that and end")
    .option("--json", "one JSON object a look")
    .action(async (given: readonly string[], options: TopOptions) => {
      const every = positive("every", options.every, 3_600) * 1000;
      const port = positive("http-port", options.httpPort, 65_535);
      const addresses = await openAddresses(given, port);
      const screen = createScreen(options.json === true, options.once !== true);
      const lifetime = watchSignals();
      const ending = lifetime.next().then(() => true as const);
      let before = new Map<string, Look>();
      try {
        for (let looks = 0; ; looks++) {
          const list = addresses.list();
          const looking = Promise.all(
            list.map(async (address) => {
              const now = await look(address, PATIENCE, () => performance.now());
              if (now.status?.loaders) addresses.tell(now.status.loaders);
              return [address, now] as const;
            }),
          );
          const looked = await Promise.race([looking, ending]);
          if (looked === true) return;
          const views = looked.map(([address, now]) => viewOf(address, before.get(address), now));
          before = new Map(looked);
          // one look has no rates yet
          if (!options.once || looks > 0) screen.show(views);
          if (options.once && looks > 0) return;
          const over = new AbortController();
          const ended = await Promise.race([
            ending,
            sleep(every, false as const, { signal: over.signal }),
          ]);
          over.abort();
          if (ended) return;
        }
      } finally {
        screen.end();
        addresses.close();
        lifetime.end();
      }
    });
}

function positive(name: string, text: string, most: number): number {
  const number = Number(text);
  if (text.trim() === "" || !(number > 0) || number > most)
    throw new StreamError(
      "BAD_OPTION",
      `--${name}: got ${JSON.stringify(text)}; expected a number above 0 and up to ${most}`,
    );
  return number;
}

interface Addresses {
  /** Of HTTP ports, as of now. */
  list(): readonly string[];
  /** Loaders that the one that was given knows of. */
  tell(loaders: readonly string[]): void;
  close(): void;
}

/** Loaders as clients name them, with the port that their status is on; and HTTP addresses as they are. */
async function openAddresses(given: readonly string[], port: number): Promise<Addresses> {
  const all = given.flatMap((one) => one.split(",")).map((one) => one.trim());
  const plain = all.filter((one) => one.startsWith("http:")).map(checked);
  const others = all.filter((one) => !one.startsWith("http:") && one !== "");
  const loaders: Loaders | undefined = others.length > 0 ? await openLoaders(others) : undefined;
  return {
    list: () => [
      ...new Set([...plain, ...(loaders?.list ?? []).map((address) => httpOf(address, port))]),
    ],
    tell: (list) => loaders?.tell(list.filter((address) => hostOf(address) !== undefined)),
    close: () => loaders?.close(),
  };
}

function hostOf(address: string): string | undefined {
  return /^(?:tcp|tls):\/\/(\[[^\]]+\]|[^:/[\]]+):\d+$/.exec(address)?.[1];
}

function httpOf(address: string, port: number): string {
  const host = hostOf(address);
  if (host === undefined)
    throw new StreamError(
      "BAD_OPTION",
      `${address}: its status is not known by that; give the address of its --http port, http://host:port`,
    );
  return `http://${host}:${port}`;
}

function checked(given: string): string {
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (!url || url.pathname !== "/" || url.search || url.username)
    throw new StreamError("BAD_OPTION", `${given}: expected http://host:port`);
  return url.origin;
}

interface Screen {
  show(views: readonly View[]): void;
  end(): void;
}

const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";

/** A frame that changes in place on a terminal, which is as it was afterwards; elsewhere lines, each look behind the one before. */
function createScreen(json: boolean, live: boolean): Screen {
  const { stdout } = process;
  const terminal = stdout.isTTY && !json && live;
  let last: readonly string[] = [];
  if (terminal) stdout.write(ENTER);
  return {
    show(views) {
      const time = moment();
      if (json) {
        stdout.write(`${JSON.stringify({ time, total: totalOf(views), loaders: views })}\n`);
        return;
      }
      last = [`ssl-r1 top  ${time.slice(0, 19)}Z`, "", ...tableOf(views)];
      if (terminal) {
        const shown = last
          .slice(0, stdout.rows || 24)
          .map((line) => `${line.slice(0, stdout.columns || 80)}\u001b[K`);
        stdout.write(`\u001b[H${shown.join("\n")}\u001b[J`);
      } else stdout.write(`${last.join("\n")}\n${live ? "\n" : ""}`);
    },
    end() {
      // what was seen last stays
      if (terminal) stdout.write(`${LEAVE}${last.length > 0 ? `${last.join("\n")}\n` : ""}`);
    },
  };
}
