/** deploy/systemd: read by rules of our own everywhere, by systemd where it is, and what it starts is started. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../fixtures/files.ts";
import { root } from "../fixtures/serve.ts";
import { onLoopback, probed, started } from "./started.ts";

const analyze = "systemd-analyze";
const file = join(root, "deploy", "systemd", "ssl-r1.service");
const unit = parseUnit(readFileSync(file, "utf8"));

type Unit = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;

/** Sections, their keys, and the values of each; no line of it goes on in the next. */
function parseUnit(text: string): Unit {
  const sections = new Map<string, Map<string, string[]>>();
  let keys: Map<string, string[]> | undefined;
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const [, section] = /^\[(\w+)\]$/.exec(line) ?? [];
    const [, key, value = ""] = /^(\w+)=(.*[^\\]|)$/.exec(line) ?? [];
    if (section !== undefined) sections.set(section, (keys = new Map<string, string[]>()));
    else if (key !== undefined && keys) keys.set(key, [...(keys.get(key) ?? []), value]);
    else throw new Error(`no line of a unit: ${line}`);
  }
  return sections;
}

const service = (key: string): string | undefined => unit.get("Service")!.get(key)?.join(" ");

test("is a service that comes back, and is confined", () => {
  expect([...unit.keys()]).toEqual(["Unit", "Service", "Install"]);
  expect(service("Restart")).toBe("always");
  // a wrong option ends serve with 2, and no restart mends it
  expect(service("RestartPreventExitStatus")).toBe("2");
  expect(service("KillSignal")).toBe("SIGUSR2");
  for (const key of ["DynamicUser", "NoNewPrivileges", "PrivateTmp", "PrivateDevices"])
    expect(service(key), key).toBe("yes");
  expect(service("ProtectSystem")).toBe("strict");
  expect(service("CapabilityBoundingSet")).toBe("");
  // V8 writes code while it runs
  expect(service("MemoryDenyWriteExecute")).toBeUndefined();
  const drain = /--drain-timeout (\d+)/.exec(service("ExecStart")!)![1];
  expect(Number(service("TimeoutStopSec"))).toBeGreaterThan(Number(drain));
});

test("its cache and its token are where systemd puts them", () => {
  expect(service("Environment")).toBe(`SSL_R1_CACHE=/var/cache/${service("CacheDirectory")}`);
  const [name, from] = service("LoadCredential")!.split(":");
  expect(service("ExecStart")).toContain(`--token-file \${CREDENTIALS_DIRECTORY}/${name}`);
  expect(from).toBe("/etc/ssl-r1/token");
});

test("its command serves, drains on the signal of a stop, and refuses a wrong option with the status that ends the tries", async () => {
  const folder = temporaryFolder({ token: "secret\n" });
  mkdirSync(join(folder, "etc"));
  writeFileSync(join(folder, "etc", "stream.yaml"), `source: ${join(root, "shards")}\nseed: 7\n`);
  const [env, program, ...given] = service("ExecStart")!.split(" ");
  expect([env, program]).toEqual(["/usr/bin/env", "ssl-r1"]);
  const args = onLoopback(given).map((arg) =>
    arg.replace("${CREDENTIALS_DIRECTORY}", folder).replace("/etc/ssl-r1", join(folder, "etc")),
  );
  const loader = await started(args);
  await probed(loader, "/readyz");
  expect(await loader.end("SIGUSR2")).toBe(0);
  const wrong = spawnSync(process.execPath, [
    join(root, "src/cli/main.ts"),
    ...args,
    "--bach",
    "4",
  ]);
  expect(wrong.status).toBe(Number(service("RestartPreventExitStatus")));
});

test("systemd itself finds nothing to say, where there is one", () => {
  const version = spawnSync(analyze, ["--version"], { encoding: "utf8" });
  if (version.error) {
    expect(unit.get("Install")!.get("WantedBy")).toEqual(["multi-user.target"]);
    return;
  }
  expect(spawnSync(analyze, ["verify", file], { encoding: "utf8" })).toMatchObject({
    status: 0,
    stderr: "",
  });
  // --offline came with 250
  if (Number(/systemd (\d+)/.exec(version.stdout)![1]) < 250) return;
  const said = execFileSync(analyze, ["security", "--offline=true", file], {
    encoding: "utf8",
  });
  const [, exposure] = /exposure level for ssl-r1.service: ([\d.]+)/.exec(said)!;
  expect(Number(exposure)).toBeLessThan(2);
});
