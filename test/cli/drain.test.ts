import { onTestFinished, expect, test } from "vitest";
import { connect } from "../../src/transport/client.ts";
import { openLink } from "../../src/transport/link.ts";
import { rawClient, type RawClient } from "../ops/raw-client.ts";
import { samples } from "../loader/streams.ts";
import { ended, firstLine, start } from "./run.ts";

const BATCH = 40;
const small = [samples, "--seed", "7", "--batch", String(BATCH), "--workers", "1"];

interface Loader {
  readonly address: string;
  readonly http: string;
  readonly over: Promise<number | NodeJS.Signals>;
  readonly kill: (signal: NodeJS.Signals) => void;
  /** What /readyz answers, asked until that is it. */
  readonly ready: (answer: string) => Promise<void>;
}

async function loader(...more: readonly string[]): Promise<Loader> {
  const where = ["--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0", "--json"];
  const child = start(["serve", ...small, ...where, ...more]);
  const over = ended(child);
  const { listening: address, http } = JSON.parse(await firstLine(child)) as {
    listening: string;
    http: string;
  };
  const ready = async (answer: string): Promise<void> => {
    for (;;) {
      const body = await fetch(`${http}/readyz`).then((response) => response.text());
      if (body.trim() === answer) return;
    }
  };
  return { address, http, over, ready, kill: (signal) => void child.kill(signal) };
}

/** A stream that was stopped by its credit in the middle of step 0. */
async function inMidStep(address: string): Promise<RawClient> {
  const client = await rawClient(address, [1, 2, 3]);
  onTestFinished(() => client.link.close());
  client.link.send({ kind: "stream", id: 1, step: 0, credit: 1 });
  await client.until(({ kind }) => kind === "cell");
  return client;
}

test("drain: what was begun arrives whole, what is asked anew is CLOSED, nobody gets in, and the process ends with 0", async () => {
  const { address, http, over, ready, kill } = await loader();
  await ready("ok");
  const client = await inMidStep(address);
  const idle = await rawClient(address, [1]);
  kill("SIGUSR2");
  await ready("draining");
  expect((await fetch(`${http}/readyz`)).status).toBe(503);
  expect((await fetch(`${http}/livez`)).status).toBe(200);
  // who has nothing under way is sent away at once
  expect((await idle.lost).message).toContain("shutting down");
  await expect(
    openLink({ address, format: "raw", name: "late", timeout: 5_000 }),
  ).rejects.toMatchObject({ code: "CONNECTION_LOST" });
  client.link.send({ kind: "get", id: 2, step: 1 });
  expect(await client.until((answer) => answer.kind === "error" && answer.id === 2)).toMatchObject({
    code: "CLOSED",
  });
  const metrics = await fetch(`${http}/metrics`).then((response) => response.text());
  expect(metrics).toMatch(/^ssl_r1_draining 1$/m);
  expect(metrics).toMatch(/^ssl_r1_ready 0$/m);
  expect(metrics).toMatch(/^ssl_r1_requests_total\{kind="get",outcome="CLOSED"\} 1$/m);
  expect(metrics).toMatch(/^ssl_r1_clients\{waiting_for="credit"\} 1$/m);
  // credit for the rest of step 0 and far more
  client.link.send({ kind: "credit", id: 1, bytes: 2 ** 30 });
  expect((await client.lost).message).toContain("shutting down");
  expect(await over).toBe(0);
  const streamed = client.answers.map(([answer]) => answer).filter(({ id }) => id === 1);
  const slots = streamed.flatMap((answer) =>
    answer.kind === "cell" ? answer.puzzles.map(({ slot }) => [answer.step, slot]) : [],
  );
  expect(slots).toEqual(Array.from({ length: BATCH }, (_, slot) => [0, slot]));
  expect(streamed.at(-1)).toMatchObject({ kind: "end", step: 0 });
});

test("a get under way is finished, too", async () => {
  const { address, over, kill } = await loader();
  const client = await rawClient(address, [1]);
  client.link.send({ kind: "get", id: 1, step: 3 });
  await client.until(({ kind }) => kind === "cell");
  kill("SIGUSR2");
  await client.until(({ kind }) => kind === "end");
  const slots = client.answers.flatMap(([answer]) =>
    answer.kind === "cell" ? answer.puzzles.map(({ slot }) => slot) : [],
  );
  expect(slots).toEqual(Array.from({ length: BATCH }, (_, slot) => slot));
  await client.lost;
  expect(await over).toBe(0);
});

for (const second of ["SIGUSR2", "SIGTERM"] as const)
  test(`a second signal, ${second}, stops at once`, async () => {
    const { address, over, ready, kill } = await loader("--drain-timeout", "3600");
    const client = await inMidStep(address);
    kill("SIGUSR2");
    await ready("draining");
    kill(second);
    await client.lost;
    expect(await over).toBe(0);
  });

test("who does not read is left behind after --drain-timeout", async () => {
  const { address, over, kill } = await loader("--drain-timeout", "1");
  const client = await inMidStep(address);
  kill("SIGUSR2");
  await client.lost;
  expect(await over).toBe(0);
});

test("a client with another loader does not notice", async () => {
  const one = await loader();
  const other = await loader();
  const client = await connect(`${one.address},${other.address}`);
  onTestFinished(() => client.close());
  const steps: number[] = [];
  for await (const { step, puzzles } of client.stream()) {
    expect(puzzles).toHaveLength(BATCH);
    steps.push(step);
    if (step === 1) one.kill("SIGUSR2");
    if (step === 5) break;
  }
  expect(steps).toEqual([0, 1, 2, 3, 4, 5]);
  expect(await one.over).toBe(0);
  other.kill("SIGTERM");
  expect(await other.over).toBe(0);
});
