import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { logServer } from "../../src/ops/events.ts";
import { createLog } from "../../src/ops/log.ts";
import { createServer } from "../../src/transport/server.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { createFake } from "../transport/fake.ts";

test("new tokens are told in the log, and are not in it", async () => {
  const lines: string[] = [];
  const log = createLog({ format: "json", level: "debug", write: (line) => lines.push(line) });
  const tokenFile = join(temporaryFolder(), "tokens");
  writeFileSync(tokenFile, "the first token, long enough\n", { mode: 0o600 });
  const server = await createServer(createFake(), {
    listen: "tcp://127.0.0.1:0",
    tokenFile,
    onEvent: logServer(log),
    onWarning: (message) => log.note(message),
  });
  onTestFinished(() => server.close());
  writeFileSync(tokenFile, "the second token, which is a longer one\n");
  await server.reload();
  expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
    { level: "info", event: "reloaded", what: "tokens" },
  ]);
  writeFileSync(tokenFile, "\n");
  await server.reload();
  expect(lines.at(-1)).toContain('"event":"note"');
  expect(lines.join()).not.toMatch(/first token|second token/);
});
