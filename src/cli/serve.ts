import { hostname } from "node:os";
import { Command } from "commander";
import type { StreamError } from "../errors.ts";
import type { Stream } from "../loader.ts";
import type { CellMaker } from "../model.ts";
import { findNode, parseNode, type FoundNode } from "../node.ts";
import { logNotices, logServer } from "../ops/events.ts";
import { choice, createLog, logFormats, logLevels } from "../ops/log.ts";
import { serveOperations } from "../ops/operations.ts";
import { createRewards, type Rewards } from "../ops/rewards.ts";
import { noteError, type Subject } from "../ops/subject.ts";
import { createServer, type Server } from "../transport/server.ts";
import { DRAIN, unless, watchSignals } from "./lifetime.ts";
import { createTraffic, listed, skippedText } from "./progress.ts";
import { serverSecrets, withServerSecrets, type SecretOptions } from "./secrets.ts";
import { wholeNumber, withStreamOptions } from "./stream-options.ts";
import { tellOf } from "./told-loaders.ts";
import { version } from "./version.ts";
import { withStream } from "./with-stream.ts";

interface ServeOptions extends SecretOptions {
  readonly listen: string;
  readonly loaders?: string;
  readonly insecure?: boolean;
  readonly json?: boolean;
  readonly untilEof?: boolean;
  readonly http?: string;
  readonly httpInsecure?: boolean;
  readonly logFormat?: string;
  readonly logLevel: string;
  readonly drainTimeout: string;
}

/** Takes the line away that changes. */
const CLEAR = "\r\u001b[K";

/** `ssl-r1 serve SOURCE --listen tcp://127.0.0.1:7531`: answers clients until SIGTERM or SIGINT, or until it has drained after SIGUSR2. */
export function serveCommand(): Command {
  return withServerSecrets(withStreamOptions(new Command("serve")))
    .description("serve batches on a socket until it is told to end")
    .option(
      "--listen <address>",
      "tcp://host:port, tls://host:port or unix:///path",
      "tcp://127.0.0.1:7531",
    )
    .option(
      "--loaders <list>",
      "all loaders of the stream, for clients that know one: addresses, file:///... or dns+tcp://...",
    )
    .option("--tls-ca <file>", "authorities (PEM) of a loader that --counts asks")
    .option("--insecure", "allow an address beyond loopback without encryption or token")
    .option("--until-eof", "end when standard input ends, as it does when its writer dies")
    .option("--http <address>", "host:port for /livez, /readyz, /metrics and /status; off without")
    .option("--http-insecure", "allow an --http address beyond loopback: everybody there may read")
    .option("--drain-timeout <seconds>", "how long SIGUSR2 lets requests finish", "30")
    .option("--log-format <name>", "json or text (default: json with --json, else text)")
    .option("--log-level <name>", "debug, info, warn, error or silent", "info")
    .option("--json", "one line of JSON when ready; the log as JSON on standard error")
    .action(async (source: readonly string[], options: ServeOptions) => {
      // as if told by a signal: it holds from now on, also while the source is listed and counted
      if (options.untilEof)
        process.stdin
          .resume()
          .once("close", () => process.kill(process.pid, "SIGTERM"))
          .unref();
      // Written over the arguments, which every user of the machine can see.
      if (options.token !== undefined) process.title = "ssl-r1 serve";
      const format = choice(
        "log-format",
        options.logFormat ?? (options.json ? "json" : "text"),
        logFormats,
      );
      const drainTimeout = wholeNumber("drain-timeout", options.drainTimeout);
      const progress = process.stderr.isTTY && format === "text";
      const log = createLog({
        format,
        level: choice("log-level", options.logLevel, logLevels),
        // the line that changes comes back by itself
        write: (line) => void process.stderr.write(`${progress ? CLEAR : ""}${line}\n`),
      });
      // who reads the log may go; trainers go on
      process.stderr.on("error", () => {});
      const warn = (message: string): void => log.note(message);
      const out =
        format === "json"
          ? { write: (line: string) => log.info("progress", { message: line.trim() }) }
          : process.stderr;
      const told = options.loaders === undefined ? undefined : await tellOf(options.loaders, warn);
      let found: FoundNode | undefined;
      let rewards: Rewards | undefined;
      let subject: Subject = {
        version: version(),
        phase: "opening",
        stream: undefined,
        server: undefined,
        node: undefined,
        loaders: undefined,
        lastError: undefined,
      };
      const failed = (error: StreamError): void => {
        subject = { ...subject, lastError: noteError(error) };
      };
      const onError = (error: StreamError): void => {
        failed(error);
        const { code, message, stack, cause } = error;
        const inner = cause instanceof Error ? cause.stack : undefined;
        log.error("error", {
          code,
          message,
          ...(code === "INTERNAL" && { stack: inner ?? stack }),
        });
      };
      const http =
        options.http === undefined
          ? undefined
          : await serveOperations({
              listen: options.http,
              ...(options.httpInsecure && { insecure: true }),
              subject: () => ({ ...subject, loaders: told?.list() }),
              rewards: () => rewards?.counts() ?? {},
              onError,
            });
      const answer = async (stream: Stream): Promise<void> => {
        const lifetime = watchSignals();
        rewards = createRewards((index) => stream.entryOf(index));
        const followed = follow(stream);
        const traffic = createTraffic();
        const server = await createServer(followed.maker, {
          listen: options.listen,
          ...serverSecrets(options),
          onWarning: warn,
          ...(options.insecure && { insecure: true }),
          ...(told && { loaders: () => told.list() }),
          onError,
          onEvent: logServer(log, failed),
          onFeedback: (feedback) => rewards?.add(feedback),
        });
        const { fingerprint, batch, partitions, entries, shards, samples, counted } = stream.info();
        const { near } = stream;
        const node = found && { node: `${found.index}/${found.count}`, near };
        subject = { ...subject, phase: "serving", stream, server };
        if (node) subject = { ...subject, node: node.node };
        if (found) out.write(`${nodeText(found, near ?? [], partitions)}\n`);
        for (const warning of stream.statistics.warnings) warn(`warning: ${warning}`);
        const { address } = server;
        // in words it stands below
        if (options.json || format === "json")
          log.info("listening", { address, ...(http && { http: http.address }), fingerprint });
        process.stdout.write(
          options.json
            ? `${JSON.stringify({ listening: server.address, fingerprint, batch, partitions, entries: entries.map(({ name }) => name), shards, samples, ...node, ...(http && { http: http.address }), pid: process.pid })}\n`
            : `listening on ${server.address}\n${samples} images${counted ? "" : " counted so far"} in ${shards} shards; batches of ${batch}; ${entries.map(({ name }) => name).join(", ")}\nfingerprint ${fingerprint}\n${http ? `status on ${http.address}\n` : ""}`,
        );
        const timer = progress
          ? setInterval(() => show(stream, server, followed, traffic), 500)
          : undefined;
        const reload = (): void => void server.reload();
        // where somebody's terminal is gone it ends the loader, as ever
        if (!process.stdin.isTTY && !process.stderr.isTTY) process.on("SIGHUP", reload);
        const signal = await lifetime.next();
        if (signal === DRAIN) {
          subject = { ...subject, phase: "draining" };
          log.info("draining", { clients: server.clients.length, seconds: drainTimeout });
          const how = await unless(server.drain(), drainTimeout, lifetime);
          log.info("drained", { how, clients: server.clients.length });
        }
        subject = { ...subject, phase: "stopping" };
        log.info("stopping", { signal });
        await server.close();
        process.off("SIGHUP", reload);
        lifetime.end();
        clearInterval(timer);
        if (progress) process.stderr.write("\n");
      };
      try {
        // its own line tells of the wait for the first batch, too
        await withStream(source, options, answer, {
          out,
          first: !progress,
          notify: logNotices(log),
          adjust(given) {
            const own = parseNode(given.node);
            // what is no node at all is refused where all options are
            if (given.node === undefined) found = findNode(process.env, hostname());
            else if (own) found = { ...own, from: "option node" };
            return found ? { ...given, node: { index: found.index, count: found.count } } : given;
          },
        });
      } finally {
        told?.close();
        await http?.close();
      }
    });
}

/** `node 1/3 (by RANK and WORLD_SIZE): prefers partitions 2 to 3 of 4`. */
function nodeText({ index, count, from }: FoundNode, near: readonly number[], of: number): string {
  const [first, last] = [near[0], near.at(-1)];
  const what =
    first === undefined
      ? `a spare: prefers none of ${of} partitions`
      : `prefers ${first === last ? `partition ${first}` : `partitions ${first} to ${last}`} of ${of}`;
  return `node ${index}/${count} (by ${from}): ${what}`;
}

interface Followed {
  readonly maker: CellMaker;
  /** Highest step that was asked for. */
  step: number;
  puzzles: number;
  at: number;
}

/** The stream, with an eye on what is asked of it. */
function follow(stream: Stream): Followed {
  const followed: Followed = {
    step: -1,
    puzzles: 0,
    at: performance.now(),
    maker: {
      info: stream.info,
      near: stream.near,
      counts: () => stream.counts(),
      async *cells(requests, options) {
        for await (const cell of stream.cells(requests, options)) {
          followed.step = Math.max(followed.step, cell.step);
          yield cell;
        }
      },
    },
  };
  return followed;
}

function show(
  stream: Stream,
  server: Server,
  followed: Followed,
  traffic: ReturnType<typeof createTraffic>,
): void {
  const now = performance.now();
  const sum = (counts: { readonly [name: string]: number }): number =>
    Object.values(counts).reduce((all, count) => all + count, 0);
  const puzzles = sum(stream.statistics.puzzles());
  const rate = ((puzzles - followed.puzzles) / (now - followed.at)) * 1000;
  followed.puzzles = puzzles;
  followed.at = now;
  const line = listed([
    `${rate.toFixed(0)} puzzles/s`,
    `step ${followed.step < 0 ? "-" : followed.step}`,
    `${server.clients.length} clients`,
    skippedText(stream.statistics.skipped()),
    traffic(stream.statistics.network()),
  ]);
  process.stderr.write(`${CLEAR}${line.slice(0, (process.stderr.columns || 80) - 1)}`);
}
