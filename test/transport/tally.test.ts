import fc from "fast-check";
import { expect, test } from "vitest";
import { createTally, waitings, type Waiting } from "../../src/transport/tally.ts";

test("a client's time goes to what its requests wait for: cells before credit before the socket, and to nothing twice", async () => {
  let now = 0;
  const tally = createTally(() => now);
  const client = tally.client();
  const at = (seconds: number): void => void (now = seconds * 1000);
  at(1); // one second without a request
  const first = client.begin();
  at(3); // two in which nothing is waited for
  const cells = Promise.withResolvers<void>();
  const credit = Promise.withResolvers<void>();
  const waitsCredit = client.wait("credit", credit.promise);
  at(7); // four for credit
  const second = client.begin();
  const waitsCells = client.wait("cells", cells.promise);
  at(15); // eight in which one request waits for credit and one for cells
  expect(tally.counts().waiting).toMatchObject({ cells: 1, credit: 1, socket: 0 });
  expect(client.waiting).toBe("cells");
  cells.resolve();
  await waitsCells;
  second();
  second(); // once only
  at(31); // sixteen for credit
  expect(tally.counts().clients).toMatchObject({ credit: 1, request: 0 });
  credit.resolve();
  await waitsCredit;
  first();
  at(63); // 32 without a request
  client.end();
  at(127); // nobody is there
  expect(tally.counts().seconds).toEqual({
    request: 33,
    cells: 8,
    credit: 20,
    socket: 0,
    nothing: 2,
  });
  expect(tally.counts().clients).toEqual({
    request: 0,
    cells: 0,
    credit: 0,
    socket: 0,
    nothing: 0,
  });
});

test("a wait that fails ends, and says why to who waits", async () => {
  const tally = createTally(() => 0);
  const client = tally.client();
  client.begin();
  await expect(client.wait("cells", Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(tally.counts().waiting.cells).toBe(0);
});

test("whatever clients do, the seconds are those that they were there", () => {
  const step = fc.record({
    client: fc.nat(3),
    what: fc.constantFrom("come", "go", "begin", "end", "pass"),
    seconds: fc.nat(100),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let now = 0;
      let there = 0;
      const tally = createTally(() => now);
      const clients = new Map<
        number,
        { own: ReturnType<typeof tally.client>; ends: (() => void)[] }
      >();
      for (const { client, what, seconds } of steps) {
        const one = clients.get(client);
        if (what === "come" && !one) clients.set(client, { own: tally.client(), ends: [] });
        if (what === "go") {
          one?.own.end();
          clients.delete(client);
        }
        if (what === "begin" && one) one.ends.push(one.own.begin());
        if (what === "end") one?.ends.pop()?.();
        now += seconds * 1000;
        there += clients.size * seconds;
      }
      const counted = tally.counts();
      const sum = (of: { readonly [What in Waiting]: number }): number =>
        waitings.reduce((all, one) => all + of[one], 0);
      expect(sum(counted.seconds)).toBe(there);
      expect(sum(counted.clients)).toBe(clients.size);
    }),
  );
});
