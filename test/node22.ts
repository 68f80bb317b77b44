/** `npm run check:node22`: the oldest Node that the package supports makes the same batches, from the sources and from dist. Takes that Node from the registry. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const OLDEST = "22.18.0";
const root = fileURLToPath(new URL("..", import.meta.url));
const digest = ["digest", "shards", "--seed", "7", "--batch", "40", "--steps", "0..3", "--json"];

function run(command: string, given: readonly string[]): string {
  return execFileSync(command, given, {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  }).trim();
}

const oldest = (entry: string): string =>
  run("npx", [
    "--yes",
    `--package=node@${OLDEST}`,
    "--call",
    `node -e 'process.exit(process.version === "v${OLDEST}" ? 0 : 1)' && node ${entry} ${digest.join(" ")}`,
  ]);

const here = run(process.execPath, ["src/cli/main.ts", ...digest]);
for (const entry of ["src/cli/main.ts", "dist/cli/main.js"]) {
  const there = oldest(entry);
  if (there !== here) {
    process.stderr.write(
      `Node ${OLDEST} with ${entry}:\n${there}\nNode ${process.versions.node}:\n${here}\n`,
    );
    process.exitCode = 1;
  } else process.stdout.write(`Node ${OLDEST} with ${entry}: the same four batches\n`);
}
