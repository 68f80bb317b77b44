import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { connect as connectTls } from "node:tls";
import { expect, onTestFinished, test } from "vitest";
import { certificate, identities, writeIdentities } from "../fixtures/certificates.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { lines, main, root } from "../fixtures/serve.ts";

const stream = ["--batch", "4", "--partitions", "1", "--seed", "7", "--workers", "1"];
const node = process.execPath;

interface Running {
  readonly pid: number;
  readonly address: string;
  readonly output: () => string;
  signal(name: NodeJS.Signals): void;
}

async function serve(...args: string[]): Promise<Running> {
  const child = spawn(node, [main, "serve", "shards", ...stream, "--json", ...args], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(child, "exit");
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  let output = "";
  for (const pipe of [child.stdout, child.stderr])
    pipe.on("data", (text: Buffer) => (output += text.toString()));
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout }), "line"),
    ended.then(() => Promise.reject(new Error(output))),
  ])) as [string];
  const { listening, pid } = JSON.parse(line) as { listening: string; pid: number };
  return { pid, address: listening, output: () => output, signal: (name) => child.kill(name) };
}

test("serve and digest --connect over mutual TLS with rotating tokens: the lines of a plain digest, and no secret anywhere", async () => {
  const folder = temporaryFolder();
  const made = identities();
  writeIdentities(folder, made);
  const file = (name: string): string => join(folder, name);
  writeFileSync(file("tokens"), "# of the trainers\nfirst-secret\nsecond-secret\n", {
    mode: 0o600,
  });
  writeFileSync(file("own"), "second-secret\n", { mode: 0o600 });
  const server = await serve(
    "--listen=tls://127.0.0.1:0",
    `--tls-client-ca=${file("ca.pem")}`,
    `--tls-cert=${file("server.pem")}`,
    `--tls-key=${file("server.key")}`,
    `--token-file=${file("tokens")}`,
    "--token=third-secret",
    "--limit=connections=5",
  );
  const secrets = ["--token-file", file("own"), "--tls-ca", file("ca.pem")];
  const shown = ["--tls-cert", file("client.pem"), "--tls-key", file("client.key")];
  const digest = (...args: string[]): Promise<readonly string[]> =>
    lines(node, [main, "digest", ...args, "--steps", "0..1", "--json"]);
  const plain = await digest("shards", ...stream);
  expect(await digest("--connect", server.address, ...secrets, ...shown)).toEqual(plain);
  await expect(digest("--connect", server.address, ...shown, ...secrets.slice(2))).rejects.toThrow(
    /UNAUTHORIZED/,
  );
  if (process.platform === "linux")
    expect(readFileSync(`/proc/${server.pid}/cmdline`, "utf8")).not.toContain("secret");
  for (const secret of ["first-secret", "second-secret", "third-secret"])
    expect(server.output()).not.toContain(secret);
});

test("SIGHUP has a new certificate used at once", async () => {
  const folder = temporaryFolder();
  const made = identities();
  writeIdentities(folder, made);
  const [cert, key] = [join(folder, "server.pem"), join(folder, "server.key")];
  const server = await serve("--listen", "tls://127.0.0.1:0", "--tls-cert", cert, "--tls-key", key);
  const { port } = new URL(server.address.replace("tls:", "http:"));
  const shown = async (): Promise<string | undefined> => {
    const socket = connectTls({ host: "127.0.0.1", port: Number(port), ca: [made.ca.cert] });
    await once(socket, "secureConnect");
    const found = socket.getPeerX509Certificate()?.subject;
    socket.destroy();
    return found;
  };
  expect(await shown()).toBe("CN=server");
  const fresh = certificate("fresh", { issuer: made.ca, hosts: ["127.0.0.1"] });
  writeIdentities(folder, { server: fresh });
  utimesSync(cert, new Date(), new Date(Date.now() + 5_000));
  server.signal("SIGHUP");
  while ((await shown()) !== "CN=fresh") await new Promise((resolve) => setTimeout(resolve, 20));
});
