/** `npm test`: every test, TypeScript's and Python's; the last line counts them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { python, setUpPython } from "../python/setup.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const reports = mkdtempSync(join(tmpdir(), "ssl-r1-tests-"));

async function run(command: string, given: readonly string[], folder: string): Promise<number> {
  const child = spawn(command, given, {
    cwd: folder,
    stdio: ["ignore", "inherit", "inherit"],
    env: process.stdout.isTTY ? process.env : { ...process.env, NO_COLOR: "1" },
  });
  const [status] = (await once(child, "exit")) as [number | null];
  return status ?? 1;
}

interface Counts {
  passed: number;
  failed: number;
}

/** A suite that died before it could report counts as one failure. */
function counted(status: number, read: () => Counts): Counts {
  try {
    const counts = read();
    if (status !== 0 && counts.failed === 0) counts.failed = 1;
    return counts;
  } catch {
    return { passed: 0, failed: 1 };
  }
}

try {
  setUpPython("test");
  const vitestReport = join(reports, "vitest.json");
  const vitest = await run(
    process.execPath,
    [
      join(root, "node_modules", "vitest", "vitest.mjs"),
      "run",
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${vitestReport}`,
    ],
    root,
  );
  const pytestReport = join(reports, "pytest.xml");
  const pytest = await run(
    python,
    ["-m", "pytest", `--junitxml=${pytestReport}`],
    join(root, "python"),
  );
  const suites = [
    counted(vitest, () => {
      const report = JSON.parse(readFileSync(vitestReport, "utf8")) as {
        numPassedTests: number;
        numFailedTests: number;
        numFailedTestSuites: number;
      };
      // A file that could not be loaded has no tests, but is a failed suite.
      const failed = Math.max(report.numFailedTests, Math.min(1, report.numFailedTestSuites));
      return { passed: report.numPassedTests, failed };
    }),
    counted(pytest, () => {
      const head = /<testsuite [^>]*>/.exec(readFileSync(pytestReport, "utf8"))![0];
      const count = (name: string): number => Number(new RegExp(`${name}="(\\d+)"`).exec(head)![1]);
      const failed = count("failures") + count("errors");
      return { passed: count("tests") - failed - count("skipped"), failed };
    }),
  ];
  const passed = suites.reduce((sum, one) => sum + one.passed, 0);
  const failed = suites.reduce((sum, one) => sum + one.failed, 0);
  process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
  process.exitCode = failed > 0 || vitest !== 0 || pytest !== 0 ? 1 : 0;
} finally {
  rmSync(reports, { recursive: true, force: true });
}
