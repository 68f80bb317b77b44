/** Lint and types of the Python side; part of `npm run check`. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { python, setUpPython } from "./setup.ts";

setUpPython("test");
const folder = fileURLToPath(new URL(".", import.meta.url));
for (const given of [
  ["ruff", "check", "--config", "pyproject.toml", ".", "../examples", "../bench"],
  ["mypy"],
] as const) {
  const { status } = spawnSync(python, ["-m", ...given], { cwd: folder, stdio: "inherit" });
  if (status !== 0) process.exitCode = 1;
}
