/** deploy/Dockerfile: read as Docker would read it, and what it runs is run here; there is no Docker in the tests. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { root } from "../fixtures/serve.ts";
import { parseDockerfile, type Instruction } from "./dockerfile.ts";
import { onLoopback, started } from "./started.ts";

const text = readFileSync(join(root, "deploy", "Dockerfile"), "utf8");
const stages = parseDockerfile(text);
const last = stages.at(-1)!;
const all = (name: string): readonly Instruction[] =>
  last.instructions.filter((one) => one.name === name);
const only = (name: string): Instruction => {
  const found = all(name);
  expect(found, name).toHaveLength(1);
  return found[0]!;
};

describe("the image", () => {
  test("is of the Node that package.json asks for, in all stages", () => {
    const { engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      engines: { node: string };
    };
    expect(engines.node).toBe(">=22.18");
    expect(stages.map(({ image }) => image)).toEqual(Array(3).fill("node:24-slim"));
  });

  test("holds no dev dependency and no source: only what earlier stages made", () => {
    const copied = all("COPY").map(({ args, flags }) => [flags["from"], args[0]] as const);
    expect(copied).toEqual([
      ["dependencies", "/app/node_modules node_modules"],
      ["build", "/app/dist dist"],
      [undefined, "package.json LICENSE ./"],
    ]);
    const names = stages.map(({ name }) => name);
    for (const [from] of copied) if (from !== undefined) expect(names).toContain(from);
    const installs = (name: string): readonly string[] =>
      stages
        .find((stage) => stage.name === name)!
        .instructions.filter((one) => one.name === "RUN")
        .map(({ args }) => args[0]!);
    const quiet = "--ignore-scripts --no-audit --no-fund";
    expect(installs("dependencies")).toEqual([`npm install --omit=dev ${quiet}`]);
    expect(installs("build")).toEqual([`npm install ${quiet}`, "npm run build"]);
  });

  test("gets from the context what is there and what .dockerignore lets in", () => {
    const ignore = readFileSync(join(root, ".dockerignore"), "utf8")
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"));
    expect(ignore[0]).toBe("*");
    const let_in = new Set(ignore.slice(1).map((line) => line.replace(/^!/, "")));
    const wanted = stages
      .flatMap(({ instructions }) => instructions)
      .filter(({ name, flags }) => name === "COPY" && flags["from"] === undefined)
      .flatMap(({ args }) => args[0]!.split(/\s+/).slice(0, -1));
    expect(new Set(wanted)).toEqual(let_in);
    for (const file of wanted) expect(existsSync(join(root, file)), file).toBe(true);
  });

  test("runs as nobody in particular, writes to the cache alone, and tells its ports", () => {
    expect(only("USER").args).toEqual(["1000:1000"]);
    expect(only("VOLUME").args).toEqual(["/cache"]);
    expect(only("ENV").args[0]).toContain("SSL_R1_CACHE=/cache");
    expect(only("EXPOSE").args).toEqual(["7531 9531"]);
    const order = last.instructions.map(({ name }) => name);
    // what is made as root is made before
    expect(order.lastIndexOf("RUN")).toBeLessThan(order.indexOf("USER"));
    expect(order.indexOf("RUN")).toBeLessThan(order.indexOf("VOLUME"));
  });

  test("the command of its first lines serves, and the health check sees it live and die", async () => {
    const [, command = ""] = /ssl-r1 (serve .*)$/m.exec(text)!;
    const args = onLoopback(command.split(" ")).map((arg) => (arg === "/data" ? "shards" : arg));
    const [node, ...entry] = only("ENTRYPOINT").args;
    expect(node).toBe("node");
    expect(entry.pop()).toBe("/app/dist/cli/main.js");
    const loader = await started([...args, "--json"], { SSL_R1_TOKEN: "secret" }, entry);
    const [program, ...check] = only("HEALTHCHECK").args;
    expect(program).toBe("node");
    const checked = (): Promise<unknown> =>
      promisify(execFile)(
        process.execPath,
        check.map((arg) => arg.replace("http://127.0.0.1:9531", loader.http)),
      );
    await checked();
    expect(await loader.end("SIGTERM")).toBe(0);
    await expect(checked()).rejects.toMatchObject({ code: 1 });
  });

  test("the file is one", () => {
    expect(() => parseDockerfile("FORM node")).toThrow("no instruction");
    expect(() => parseDockerfile("RUN true")).toThrow("before FROM");
    expect(parseDockerfile('FROM a AS b\nCOPY --from=c x \\\n  y\nCMD ["z"]')).toEqual([
      {
        image: "a",
        name: "b",
        instructions: [
          { name: "COPY", args: [expect.stringMatching(/^x +y$/)], flags: { from: "c" } },
          { name: "CMD", args: ["z"], flags: {} },
        ],
      },
    ]);
  });
});
