/** `npm run fuzz [-- --minutes 60] [--only TEXT] [--seed TEXT] [--runs N]`: changed inputs through every door, led by what code they reach. Exit status 1 on a finding. */
import { spawnSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { root, testPython } from "../fixtures/serve.ts";
import { store } from "./corpus.ts";
import { beginCoverage } from "./coverage.ts";
import { fuzz } from "./loop.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    only: { type: "string", default: "" },
    seed: { type: "string", default: "1" },
    runs: { type: "string" },
    unguided: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
  },
});
process.chdir(root);
// Before the sources are loaded: what is compiled later has a counter in every branch.
const coverage = values.unguided ? undefined : await beginCoverage("/src/");
const { doors } = await import("./doors.ts");
const chosen = doors.filter(({ name }) => name.includes(values.only));
const milliseconds = (Number(values.minutes) * 60_000) / (chosen.length + 1);

let wrong = 0;
for (const door of chosen) {
  const guided = door.elsewhere ? undefined : coverage;
  const tally = await fuzz(door, {
    seed: values.seed,
    milliseconds,
    coverage: guided,
    ...(values.runs !== undefined && { runs: Number(values.runs) }),
  });
  await door.close?.();
  const { runs, kept, paths, slowest, growth, findings } = tally;
  const found = guided ? `, ${paths} paths so far, ${kept.length} inputs kept` : "";
  process.stdout.write(
    `${door.name.padEnd(18)} ${runs} inputs${found}, slowest ${slowest} ms, ${growth} MiB more: ${findings.length} findings\n`,
  );
  for (const { input, reason } of findings)
    process.stdout.write(`  ${Buffer.from(input).toString("base64")}\n  ${reason}\n`);
  wrong += findings.length;
  if (values.keep && kept.length > 0) store(door.name, kept);
}
await coverage?.end();

// The same for the parsers in Python: led by coverage where Atheris is there (pip install atheris==3.0.0) and there is time.
if ("python".includes(values.only)) {
  const script = fileURLToPath(new URL("fuzz.py", import.meta.url));
  const atheris = spawnSync(testPython(), ["-c", "import atheris"]).status === 0;
  const given = [script, values.seed, String(milliseconds / 1_000)];
  if (atheris && milliseconds >= 60_000) given.push(mkdtempSync(join(tmpdir(), "ssl-r1-fuzz-")));
  const { status } = spawnSync(testPython(), given, { stdio: "inherit" });
  if (status !== 0) wrong++;
}
process.exitCode = wrong > 0 ? 1 : 0;
