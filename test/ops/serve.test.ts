/** A real loader, a real client, and what its HTTP port says of the two. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { connect as connectSocket, type AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { metricNames } from "../../src/ops/metrics.ts";
import type { Status } from "../../src/ops/status.ts";
import { connect } from "../../src/transport/client.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { parse as parseYaml } from "yaml";
import { main, root } from "../fixtures/serve.ts";
import { samples } from "../loader/streams.ts";
import { parseExposition, valueOf } from "./exposition.ts";
import { rawClient } from "./raw-client.ts";
import { run } from "../cli/run.ts";

const TOKEN = "a token of more than sixteen letters";
let child: ChildProcess;
let address: string;
let http: string;
let log = "";

beforeAll(async () => {
  const args = ["--listen", "tcp://127.0.0.1:0", "--batch", "40", "--seed", "7", "--workers", "1"];
  const ops = ["--http", "127.0.0.1:0", "--node", "0/2", "--json"];
  child = spawn(process.execPath, [main, "serve", samples, ...args, ...ops], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, SSL_R1_TOKEN: TOKEN },
  });
  child.stderr!.on("data", (chunk: Buffer) => (log += chunk.toString()));
  const [line] = (await once(createInterface({ input: child.stdout! }), "line")) as [string];
  ({ listening: address, http } = JSON.parse(line) as { listening: string; http: string });
});

afterAll(async () => {
  const over = once(child, "exit");
  child.kill("SIGTERM");
  await over;
});

const page = async (path: string, init?: RequestInit): Promise<Response> =>
  fetch(http + path, init);
const metrics = async (): Promise<ReturnType<typeof parseExposition>> =>
  parseExposition(await (await page("/metrics")).text());
const status = async (): Promise<Status> => (await page("/status")).json() as Promise<Status>;

describe("numbers add up", () => {
  test("what a client received is what was sent and made", async () => {
    const before = await metrics();
    const client = await rawClient(address, [1, 2], TOKEN);
    client.link.send({ kind: "get", id: 1, step: 4 });
    await client.until(({ kind }) => kind === "end");
    client.link.send({ kind: "stream", id: 2, step: 9, steps: 2, credit: 2 ** 30 });
    await client.until(({ kind }) => kind === "done");
    const rewards = [
      { index: 0, reward: 1 },
      { index: 0, reward: -0.25 },
      // no puzzle has this index: it would be of a step beyond 2^53
      { index: 2 ** 53 - 1, reward: 0.5 },
    ];
    client.link.send({ kind: "feedback", step: 4, rewards });
    client.link.send({ kind: "poll", id: 1 });
    await client.until(({ kind }) => kind === "info");

    const cells = client.answers.filter(([{ kind }]) => kind === "cell");
    const puzzles = cells.flatMap(([answer]) => (answer.kind === "cell" ? answer.puzzles : []));
    const bytes = cells.reduce((sum, [, length]) => sum + length, 0);
    const after = await metrics();
    const grown = (name: string, labels?: { [name: string]: string }): number =>
      (valueOf(after, name, labels) ?? 0) - (valueOf(before, name, labels) ?? 0);
    expect(puzzles).toHaveLength(120);
    expect(grown("ssl_r1_puzzles_total")).toBe(120);
    expect(grown("ssl_r1_sent_puzzles_total")).toBe(120);
    for (const task of new Set(puzzles.map((puzzle) => puzzle.task)))
      expect(grown("ssl_r1_puzzles_total", { task })).toBe(
        puzzles.filter((puzzle) => puzzle.task === task).length,
      );
    expect(grown("ssl_r1_cells_total")).toBe(cells.length);
    expect(grown("ssl_r1_sent_cells_total")).toBe(cells.length);
    expect(grown("ssl_r1_sent_batches_total")).toBe(3);
    // and a few small messages beside the cells
    expect(grown("ssl_r1_sent_bytes_total")).toBe(client.link.received);
    expect(client.link.received - bytes).toBeLessThan(10_000);
    expect(grown("ssl_r1_requests_total", { kind: "get", outcome: "ok" })).toBe(1);
    expect(grown("ssl_r1_requests_total", { kind: "stream", outcome: "ok" })).toBe(1);
    expect(grown("ssl_r1_rewards_total")).toBe(2);
    expect(valueOf(after, "ssl_r1_rewards_sum", { entry: "rotation" })).toBe(0.75);
    expect(valueOf(after, "ssl_r1_clients")).toBe(1);
    expect(valueOf(after, "ssl_r1_clients", { waiting_for: "request" })).toBe(1);
    for (const stage of ["read", "decode", "make"])
      expect(grown("ssl_r1_stage_seconds_total", { stage })).toBeGreaterThan(0);
    expect(grown("ssl_r1_client_seconds_total", { waiting_for: "cells" })).toBeGreaterThan(0);
    expect(valueOf(after, "ssl_r1_making_cells")).toBe(0);

    const now = await status();
    expect(now.clients).toMatchObject([
      {
        name: "raw test client",
        format: "raw",
        requests: 0,
        sentBytes: client.link.received,
        rewards: 3,
        waitingFor: "request",
      },
    ]);
    expect(now).toMatchObject({
      phase: "serving",
      notReady: null,
      node: "0/2",
      stream: { batch: 40, seed: 7, shards: 2, samples: 68 },
      workers: { threads: 1, ready: 1, deaths: 0, restarts: 0 },
      lastError: null,
    });
    expect(now.near!.length).toBeGreaterThan(0);
    expect(now.sent.puzzles).toBe(valueOf(after, "ssl_r1_sent_puzzles_total"));
    client.link.close();
  });

  test("a stream without credit is the client's to wait for", async () => {
    const client = await rawClient(address, [1], TOKEN);
    onTestFinished(() => client.link.close());
    client.link.send({ kind: "stream", id: 1, step: 0, credit: 1 });
    await client.until(({ kind }) => kind === "cell");
    // the cell is on its way before the wait begins
    let during = await metrics();
    while (valueOf(during, "ssl_r1_clients", { waiting_for: "credit" }) !== 1)
      during = await metrics();
    expect(valueOf(during, "ssl_r1_waiting_requests", { waiting_for: "credit" })).toBe(1);
    const after = await metrics();
    const credit = { waiting_for: "credit" };
    expect(valueOf(after, "ssl_r1_client_seconds_total", credit)).toBeGreaterThan(
      valueOf(during, "ssl_r1_client_seconds_total", credit)!,
    );
    client.link.send({ kind: "cancel", id: 1 });
    await client.until(({ kind }) => kind === "done");
    expect(
      valueOf(await metrics(), "ssl_r1_requests_total", { kind: "stream", outcome: "cancelled" }),
    ).toBe(1);
  });

  test("refusals are counted by code, and told in the log", async () => {
    const client = await rawClient(address, [1], TOKEN);
    onTestFinished(() => client.link.close());
    client.link.send({ kind: "get", id: 1, step: 0, slots: [40] });
    await client.until(({ kind }) => kind === "error");
    await expect(
      connect(address, { token: "not the token at all", reconnect: 0 }),
    ).rejects.toMatchObject({ code: "UNAUTHORIZED" });
    const now = await metrics();
    expect(valueOf(now, "ssl_r1_requests_total", { kind: "get", outcome: "BAD_SLOTS" })).toBe(1);
    expect(valueOf(now, "ssl_r1_connections_total", { outcome: "UNAUTHORIZED" })).toBe(1);
    // a wrong question is no failure of the loader
    expect((await status()).lastError).toBeNull();
    await expect.poll(() => log).toContain('"event":"connection refused"');
    const events = log
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { event: string }).event);
    expect(events).toContain("listening");
    expect(events).toContain("client joined");
    expect(events).toContain("request refused");
  });
});

describe("what is told", () => {
  test("every metric is there, with its type, and no other", async () => {
    const families = await metrics();
    expect([...families.keys()].toSorted()).toEqual(metricNames.map(({ name }) => name).toSorted());
    for (const { name, type, help, labels } of metricNames) {
      expect(families.get(name)).toMatchObject({ type, help });
      for (const sample of families.get(name)!.samples)
        expect(Object.keys(sample.labels).toSorted()).toEqual([...labels].toSorted());
      if (type === "counter") expect(name).toMatch(/_total$/);
      else expect(name).not.toMatch(/_total$/);
      expect(name).not.toMatch(/milli|_ms\b|_mb\b|_kb\b/);
    }
  });

  test("no label follows clients, shards, keys or steps", async () => {
    const client = await rawClient(address, [1], TOKEN);
    onTestFinished(() => client.link.close());
    client.link.send({ kind: "get", id: 1, step: 123_456_789 });
    await client.until(({ kind }) => kind === "end");
    const text = await (await page("/metrics")).text();
    for (const word of ["raw test client", "photos-", "127.0.0.1", "123456789"])
      expect(text).not.toContain(word);
  });

  test("nothing of the host: no paths, no environment, no token, anywhere", async () => {
    const everything = [
      ...(await Promise.all(
        ["/metrics", "/status", "/livez", "/readyz", "/"].map(async (path) =>
          (await page(path)).text(),
        ),
      )),
      log,
    ].join("\n");
    for (const secret of [TOKEN, samples, process.cwd(), process.env["HOME"]!, process.execPath])
      expect(everything).not.toContain(secret);
  });
});

describe("the port", () => {
  test("types, and nothing is cached", async () => {
    const type = async (path: string): Promise<string | null> =>
      (await page(path)).headers.get("content-type");
    expect(await type("/metrics")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(await type("/status")).toBe("application/json");
    expect(await type("/livez?verbose=1")).toBe("text/plain; charset=utf-8");
    expect((await page("/status")).headers.get("cache-control")).toBe("no-store");
  });

  test("GET and HEAD only, known paths only", async () => {
    for (const path of ["/livez", "/readyz", "/metrics", "/status"]) {
      const head = await page(path, { method: "HEAD" });
      expect([head.status, await head.text()]).toEqual([200, ""]);
      expect(Number(head.headers.get("content-length"))).toBeGreaterThan(0);
      const post = await page(path, { method: "POST", body: "a" });
      expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    }
    for (const path of ["/", "/metrics/", "/__proto__", "/constructor", "//status", "/%6detrics"])
      expect((await page(path)).status).toBe(404);
  });

  test("headers beyond 8 kB are refused, and what is no HTTP", async () => {
    expect((await page("/livez", { headers: { "x-long": "x".repeat(9_000) } })).status).toBe(431);
    const { hostname, port } = new URL(http);
    const socket = connectSocket(Number(port), hostname);
    socket.write("R1S nonsense\r\n\r\n");
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 400 /);
    socket.destroy();
  });

  test("beyond loopback only where it is said; a port in use; a log that there is not", async () => {
    const serve = (...more: readonly string[]): ReturnType<typeof run> =>
      run(["serve", samples, "--listen", "tcp://127.0.0.1:0", "--workers", "1", ...more]);
    const open = serve("--http", "0.0.0.0:0");
    expect(open).toMatchObject({ status: 1, out: "" });
    expect(open.err).toMatch(/UNSAFE_LISTEN.*--http-insecure/);
    const used = serve("--http", new URL(http).host);
    expect(used.err).toMatch(/LISTEN_FAILED.*in use/);
    expect(serve("--log-format", "xml")).toMatchObject({ status: 2, out: "" });
  });
});

test("it goes on when nobody reads its log any more", async () => {
  const args = ["serve", samples, "--listen", "tcp://127.0.0.1:0", "--workers", "1", "--json"];
  const loader = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  onTestFinished(() => void loader.kill("SIGKILL"));
  const over = once(loader, "exit");
  const [line] = (await once(createInterface({ input: loader.stdout }), "line")) as [string];
  loader.stderr.destroy();
  const at = (JSON.parse(line) as { listening: string }).listening;
  for (let times = 0; times < 3; times++) {
    const client = await rawClient(at, [1]);
    client.link.send({ kind: "get", id: 1, step: 0, slots: [times] });
    await client.until(({ kind }) => kind === "end");
    client.link.close();
  }
  loader.kill("SIGTERM");
  expect(await over).toEqual([0, null]);
});

test("while the source is being listed it lives and is not ready", async () => {
  let asked = (): void => {};
  const waits = new Promise<void>((resolve) => (asked = resolve));
  // a server that never answers
  const silent = createServer(() => asked());
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as AddressInfo;
  // a free port, since the line that tells of it comes when it listens
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const free = (probe.address() as AddressInfo).port;
  probe.close();
  await once(probe, "close");
  const opening = spawn(
    process.execPath,
    [main, "serve", `http://127.0.0.1:${port}/a.tar`, "--http", `127.0.0.1:${free}`],
    { stdio: "ignore", env: { ...process.env, SSL_R1_CACHE: temporaryFolder() } },
  );
  const over = once(opening, "exit");
  await waits;
  const ready = await fetch(`http://127.0.0.1:${free}/readyz`);
  expect([ready.status, await ready.text()]).toEqual([
    503,
    "opening: the source is being listed and counted\n",
  ]);
  expect((await fetch(`http://127.0.0.1:${free}/livez`)).status).toBe(200);
  const early = parseExposition(await (await fetch(`http://127.0.0.1:${free}/metrics`)).text());
  expect(valueOf(early, "ssl_r1_ready")).toBe(0);
  expect(valueOf(early, "ssl_r1_sent_bytes_total")).toBeUndefined();
  opening.kill("SIGTERM");
  silent.closeAllConnections();
  silent.close();
  await over;
});

/** Metrics and labels of an expression: enough of PromQL to see names that are none. */
function namesIn(expression: string): { metrics: string[]; labels: string[] } {
  const metricsIn = [...expression.matchAll(/\bssl_r1_\w+/g)].map(([name]) => name);
  const selectors = [...expression.matchAll(/\{([^}]*)\}/g)].flatMap(([, inside = ""]) =>
    [...inside.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label]) => label!),
  );
  const groups = [...expression.matchAll(/\b(?:by|ignoring|on|without)\s*\(([^)]*)\)/g)].flatMap(
    ([, inside = ""]) => inside.split(",").map((label) => label.trim()),
  );
  return { metrics: metricsIn, labels: [...selectors, ...groups] };
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly {
    readonly expr: string;
    readonly datasource: { readonly uid: string };
  }[];
}

interface Dashboard {
  readonly uid: string;
  readonly schemaVersion: number;
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string }[];
  };
  readonly panels: readonly Panel[];
}

describe("what people read", () => {
  const dashboard = JSON.parse(
    readFileSync(join(root, "deploy/grafana/ssl-r1-stream.json"), "utf8"),
  ) as Dashboard;
  const guide = readFileSync(join(root, "docs/operations.md"), "utf8");
  const known = new Map(metricNames.map(({ name, labels }) => [name, labels]));

  function check(expression: string): void {
    const { metrics: used, labels } = namesIn(expression);
    expect(used.filter((name) => !known.has(name))).toEqual([]);
    const allowed = new Set(["instance", "job", ...used.flatMap((name) => known.get(name) ?? [])]);
    expect(labels.filter((label) => !allowed.has(label))).toEqual([]);
    // counters are of use as rates only, but for what grows seldom; gauges never
    for (const name of used) {
      const rated = new RegExp(`(?:rate|increase|delta)\\(${name}\\b`).test(expression);
      if (!name.endsWith("_total") && name !== "ssl_r1_rewards_sum") expect(rated).toBe(false);
      else if (name !== "ssl_r1_shards_opened_total") expect([name, rated]).toEqual([name, true]);
    }
  }

  test("the dashboard is one, and asks for nothing that /metrics does not say", async () => {
    const said = new Set((await metrics()).keys());
    const { panels, schemaVersion, templating, uid } = dashboard;
    expect(schemaVersion).toBeGreaterThanOrEqual(36);
    expect(uid).toMatch(/^[\w-]{1,40}$/);
    expect(templating.list).toContainEqual(
      expect.objectContaining({ name: "datasource", type: "datasource", query: "prometheus" }),
    );
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const taken = new Set<string>();
    for (const { type, title, description, gridPos, datasource, targets = [] } of panels) {
      expect(title).not.toBe("");
      const { x, y, w, h } = gridPos;
      expect(x + w).toBeLessThanOrEqual(24);
      for (let column = x; column < x + w; column++)
        for (let row = y; row < y + h; row++) {
          expect(taken.has(`${column}/${row}`)).toBe(false);
          taken.add(`${column}/${row}`);
        }
      if (type === "row") continue;
      expect(description).toMatch(/\.$/);
      expect(targets.length).toBeGreaterThan(0);
      for (const one of [datasource, ...targets.map((target) => target.datasource)])
        expect(one?.uid).toBe("${datasource}");
      for (const { expr } of targets) {
        check(expr);
        for (const name of namesIn(expr).metrics) expect(said.has(name)).toBe(true);
      }
    }
    const titles = panels.filter(({ type }) => type === "row").map(({ title }) => title);
    expect(titles).toEqual([
      "Throughput",
      "Who waits for whom",
      "Time by stage",
      "Cache and network",
      "Faults",
      "Resources",
    ]);
  });

  test("every metric is on the dashboard and in the guide, and the guide knows no other", () => {
    const shown = new Set(
      dashboard.panels.flatMap(({ targets = [] }) =>
        targets.flatMap(({ expr }) => namesIn(expr).metrics),
      ),
    );
    expect([...known.keys()].filter((name) => !shown.has(name))).toEqual([]);
    const [table = ""] = /\| metric \|[\s\S]*?\n\n/.exec(guide) ?? [];
    const listed = [...table.matchAll(/`(ssl_r1_\w+)`/g)].map(([, name]) => name!);
    expect(listed.toSorted()).toEqual([...known.keys()].toSorted());
    for (const [name] of guide.matchAll(/\bssl_r1_\w+/g)) expect(known.has(name)).toBe(true);
    for (const line of table.split("\n").slice(2)) {
      const names = [...line.matchAll(/`(ssl_r1_\w+)`/g)].map(([, name]) => name!);
      const [, , labels = ""] = line.split("|");
      for (const name of names)
        expect([...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label)).toEqual(known.get(name));
    }
  });

  test("the guide's rules are rules, of metrics that there are", () => {
    const [, block = ""] = /```yaml\n([\s\S]*?)```/.exec(guide) ?? [];
    const { groups } = parseYaml(block) as {
      groups: { rules: { alert: string; expr: string }[] }[];
    };
    const rules = groups.flatMap((group) => group.rules);
    expect(rules.length).toBeGreaterThan(5);
    for (const { expr } of rules) check(expr);
  });
});
