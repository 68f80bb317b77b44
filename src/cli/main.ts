#!/usr/bin/env -S node --max-semi-space-size=2 --heap-growing-percent=30
/** The command line: one file a verb. The small young generation keeps memory flat from the start (docs/decisions/005-small-heaps.md). */
import { Command, CommanderError } from "commander";
import { asStreamError, StreamError } from "../errors.ts";
import { batchCommand } from "./batch.ts";
import { benchCommand } from "./bench.ts";
import { digestCommand } from "./digest.ts";
import { indexCommand } from "./index-shards.ts";
import { inspectCommand } from "./inspect.ts";
import { packCommand } from "./pack.ts";
import { previewCommand } from "./preview.ts";
import { scoreCommand } from "./score.ts";
import { serveCommand } from "./serve.ts";
import { topCommand } from "./top.ts";
import { version } from "./version.ts";

const NEEDS = [22, 18] as const;

async function main(): Promise<number> {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < NEEDS[0] || (major === NEEDS[0] && minor < NEEDS[1])) {
    process.stderr.write(
      `ssl-r1 needs Node ${NEEDS.join(".")} or newer, this is ${process.versions.node}\n`,
    );
    return 1;
  }
  const program = new Command("ssl-r1")
    .description("Streams self-supervised visual puzzles from plain images to a live trainer")
    .version(version())
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError("(ssl-r1 --help tells more)");
  for (const command of [
    serveCommand(),
    topCommand(),
    batchCommand(),
    previewCommand(),
    digestCommand(),
    inspectCommand(),
    indexCommand(),
    packCommand(),
    scoreCommand(),
    benchCommand(),
  ]) {
    program.addCommand(command.exitOverride().showSuggestionAfterError());
  }
  try {
    await program.parseAsync();
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // it has printed its message
    const { code, message, context } = fileError(error) ?? asStreamError(error);
    const text = process.argv.includes("--json")
      ? JSON.stringify({ error: { code, message, ...context } })
      : `error ${code}: ${message}`;
    process.stderr.write(`${text}\n`);
    if (code === "INTERNAL" && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    return code === "BAD_OPTION" ? 2 : 1;
  }
}

/** A file that a flag names and that can't be read or written. */
function fileError(error: unknown): StreamError | undefined {
  const { path, syscall, code } = error as Partial<NodeJS.ErrnoException>;
  if (path === undefined || syscall === undefined) return undefined;
  return new StreamError("BAD_OPTION", `${path}: ${code} (${syscall})`, { cause: error });
}

// A reader that closes the pipe early (head, say) is no failure of ours.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});
process.exitCode = await main();
