/** Makes .venv with what the main job, or the tests, need. Run by npm start and npm test; does nothing when all is there. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root: string = fileURLToPath(new URL("..", import.meta.url));
const venv: string = join(root, ".venv");
/** The Python of the virtual environment. */
export const python: string = join(venv, "bin", "python");

/** Installs requirements-<what>.txt and the package itself, once for each content of these files. Throws with pip's output where that fails. */
export function setUpPython(what: "run" | "test"): void {
  const requirements = join(root, "python", `requirements-${what}.txt`);
  const files = [requirements, join(root, "python", "pyproject.toml")];
  const hash = createHash("sha256");
  for (const file of files) hash.update(readFileSync(file));
  const stamp = join(venv, `.${what}-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(stamp)) return;
  process.stderr.write(`setting up Python in .venv (once)\n`);
  if (!existsSync(python)) {
    const interpreter = process.env["PYTHON"] ?? "python3";
    run(interpreter, [
      "-c",
      "import sys; sys.exit(0 if sys.version_info >= (3, 10) else 'Python 3.10 or newer is needed, this is ' + sys.version)",
    ]);
    run(interpreter, ["-m", "venv", venv]);
  }
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
  run(python, [...pip, "-r", requirements]);
  run(python, [...pip, "--no-deps", "-e", join(root, "python")]);
  writeFileSync(stamp, "");
}

function run(command: string, given: readonly string[]): void {
  const { status, error } = spawnSync(command, given, { stdio: ["ignore", "inherit", "inherit"] });
  if (error) throw new Error(`${command} can't be run: ${error.message}`);
  if (status !== 0) throw new Error(`${command} ${given.join(" ")} failed`);
}
