/** deploy/slurm: the script as a shell reads it, and run with stand-ins for Slurm that start what they are told on this machine. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { certificate } from "../fixtures/certificates.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { lines, main, root, testPython } from "../fixtures/serve.ts";

const openssl = "openssl";
const script = join(root, "deploy", "slurm", "ssl-r1.sbatch");

test("bash and shellcheck find nothing to say", () => {
  expect(spawnSync("bash", ["-n", script], { encoding: "utf8" })).toMatchObject({
    status: 0,
    stderr: "",
  });
  const given = [script, "--enable=all", "--exclude=SC2250,SC2310,SC2311,SC2312,SC2015,SC2154"];
  const checked = spawnSync(join(testPython(), "..", "shellcheck"), given, { encoding: "utf8" });
  expect(checked).toMatchObject({ status: 0, stdout: "" });
});

/** Starts as many tasks as it is told, each with its number, and passes an end on to them. */
const SRUN = `#!/bin/bash
tasks=$SLURM_JOB_NUM_NODES
while [[ $1 == --* ]]; do
  [[ $1 == --ntasks-per-node=* ]] && tasks=$((SLURM_JOB_NUM_NODES * \${1#*=}))
  shift
done
[[ $1 == bash ]] || tasks=1 # of the trainer one is enough
trap 'kill -TERM "\${pids[@]}" 2>/dev/null' TERM
for ((i = 0; i < tasks; i++)); do
  SLURM_PROCID=$i SLURM_NTASKS=$tasks SLURMD_NODENAME=localhost "$@" &
  pids+=($!)
done
status=0
for pid in "\${pids[@]}"; do
  while kill -0 "$pid" 2>/dev/null; do wait "$pid"; status=$?; done
done
exit $status
`;

/** Takes steps, has a loader killed by SIGKILL among them, and goes on until the list has a new one in its place. */
const TRAINER = `
import os, signal, sys, time, pathlib, ssl_r1
listed = pathlib.Path(os.environ["SSL_R1_LOADERS"].removeprefix("file://"))
def addresses():
    return set(listed.read_text().split()) if listed.exists() else set()
def until(holds):
    while not holds():
        time.sleep(0.05)
until(lambda: len(addresses()) == 2)
before = addresses()
assert oct(listed.parent.stat().st_mode & 0o777) == "0o700"
with ssl_r1.connect(os.environ["SSL_R1_LOADERS"], token_file=os.environ["SSL_R1_TOKEN_FILE"], ca=os.environ["SSL_R1_CA"]) as client:
    batches = client.stream(start=0, steps=6)
    for batch in batches:
        print(batch.step, batch.digest(), flush=True)
        if batch.step == 1:
            print(*sorted(str(loader.near) for loader in client.loaders), file=sys.stderr)
            mine = [at for at in pathlib.Path("/proc").glob("[0-9]*") if str(listed.parent).encode() in (at / "cmdline").read_bytes()]
            loaders = [int(at.name) for at in mine if b"\\0serve\\0" in (at / "cmdline").read_bytes()]
            assert len(loaders) == 2, loaders
            os.kill(loaders[0], signal.SIGKILL)
until(lambda: len(addresses()) == 2 and addresses() != before)
sys.exit(int(os.environ["TRAINER_STATUS"]))
`;

test("two nodes, a loader killed: the trainer's batches, its status, and nothing left", async () => {
  const folder = temporaryFolder({
    "stream.yaml": `source: ${join(root, "shards")}\nseed: 7\nbatch: 40\n`,
    "bin/srun": SRUN,
    "bin/scontrol": "#!/bin/sh\necho localhost\n",
    "trainer.py": TRAINER,
  });
  for (const name of ["srun", "scontrol"]) chmodSync(join(folder, "bin", name), 0o755);
  if (spawnSync(openssl, ["version"]).error) standIn(folder);
  mkdirSync(join(folder, "work"));
  const run = spawnSync("bash", [script, testPython(), join(folder, "trainer.py")], {
    cwd: join(folder, "work"),
    encoding: "utf8",
    env: {
      ...process.env,
      PATH: `${join(folder, "bin")}:${process.env["PATH"]}`,
      SLURM_JOB_ID: "42",
      SLURM_JOB_NODELIST: "localhost",
      SLURM_JOB_NUM_NODES: "2",
      SLURM_CPUS_PER_TASK: "2",
      SSL_R1_CONFIG: join(folder, "stream.yaml"),
      SSL_R1_COMMAND: `${process.execPath} --max-semi-space-size=2 --heap-growing-percent=30 ${main}`,
      SSL_R1_LOADER_CPUS: "1",
      TRAINER_STATUS: "3",
    },
  });
  expect(run.stdout.trim().split("\n"), run.stderr).toEqual(
    await lines(process.execPath, [main, "digest", "shards", "--seed", "7", "--steps", "0..5"]),
  );
  expect(run.stderr).toContain("[0, 1, 2] [3, 4]");
  expect(run.stderr).toContain("the loader on localhost ended with 137");
  expect(run.status).toBe(3);
  // the token and the key are gone, and so are the loaders
  expect(readdirSync(join(folder, "work"))).toEqual([]);
  const left = spawnSync("pgrep", ["-f", folder], { encoding: "utf8" });
  if (!left.error) expect(left.stdout).toBe("");
});

test("without a trainer it says what it wants", () => {
  expect(spawnSync("bash", [script], { encoding: "utf8" })).toMatchObject({
    status: 2,
    stderr: "usage: sbatch ssl-r1.sbatch COMMAND OF THE TRAINER\n",
  });
});

/** An openssl for machines that have none: it writes a certificate that was made here. */
function standIn(folder: string): void {
  const { cert, key } = certificate("localhost", { hosts: ["localhost"] });
  writeFileSync(join(folder, "made.pem"), cert);
  writeFileSync(join(folder, "made.key"), key);
  const code = `#!/bin/bash\nwhile (($#)); do case $1 in -keyout) cp ${folder}/made.key "$2";; -out) cp ${folder}/made.pem "$2";; esac; shift; done\n`;
  writeFileSync(join(folder, "bin", "openssl"), code, { mode: 0o755 });
  expect(existsSync(join(folder, "bin", "openssl"))).toBe(true);
}
