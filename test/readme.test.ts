/** What the documents tell a newcomer to type works, and what they point to exists. */
import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "./fixtures/files.ts";
import { lines, main, root, serve, testPython } from "./fixtures/serve.ts";

const readme = readFileSync(join(root, "README.md"), "utf8");

/** Fenced blocks of a language. */
function blocks(text: string, language: string): readonly string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms"))].map(
    ([, block = ""]) => block,
  );
}

/** Shell lines without their comments. */
const shell = blocks(readme, "sh")
  .flatMap((block) => block.split("\n"))
  .map((line) => line.replace(/\s+#.*$/, "").trim())
  .filter((line) => line !== "");

/** A folder in which `shards` are the sample shards and everything else may be written. */
function workplace(): string {
  const folder = temporaryFolder();
  symlinkSync(join(root, "shards"), join(folder, "shards"));
  return folder;
}

function words(line: string): readonly string[] {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? "");
}

/** The loaders that shell lines start at these addresses, at free ones. */
async function served(
  addresses: string,
  folder: string,
): Promise<Awaited<ReturnType<typeof serve>>[]> {
  return Promise.all(
    addresses.split(",").map((address) => {
      const args = loaderArguments(
        shell.find((line) => line.includes(`--listen ${address}`))!,
      ).slice(1);
      return serve(args.toSpliced(args.indexOf("--listen"), 2), folder);
    }),
  );
}

/** Arguments of `npx ssl-r1 ...`. */
function loaderArguments(line: string): readonly string[] {
  expect(line).toMatch(/^npx ssl-r1 /);
  return words(line).slice(2);
}

describe("README.md", () => {
  test("npm lines name scripts that there are", () => {
    const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      scripts: { [name: string]: string };
    };
    const npm = shell.filter((line) => line.startsWith("npm "));
    expect(npm.length).toBeGreaterThan(0);
    for (const command of npm.flatMap((line) => line.split(" && "))) {
      const [, verb = "", name = ""] = command.split(" ");
      if (verb === "install") continue;
      expect(Object.keys(scripts)).toContain(verb === "run" ? name : verb);
    }
  });

  test("every shell line is tried here", () => {
    const others = shell.filter((line) => !/^(npm|npx ssl-r1) /.test(line));
    expect(others).toEqual([]);
  });

  test.each(shell.filter((line) => line.startsWith("npx ssl-r1 ")))("%s", async (line) => {
    const folder = workplace();
    const [verb = "", ...rest] = loaderArguments(line);
    if (verb === "serve") {
      // The address of the snippet may be in use here.
      const at = rest.indexOf("--listen");
      await (await serve(at < 0 ? rest : rest.toSpliced(at, 2), folder)).stop();
      return;
    }
    const connect = rest.indexOf("--connect");
    const loaders = connect < 0 ? [] : await served(rest[connect + 1]!, folder);
    const given =
      connect < 0 ? rest : rest.with(connect + 1, loaders.map(({ address }) => address).join(","));
    const printed = await lines(process.execPath, [main, verb, ...given], folder);
    for (const loader of loaders) await loader.stop();
    expect(printed.join("")).not.toBe("");
    if (connect >= 0) {
      const [first = ""] = shell.filter((one) => one.startsWith("npx ssl-r1 digest shards "));
      const alone = await lines(
        process.execPath,
        [main, ...loaderArguments(first), "--steps", "0..5"],
        folder,
      );
      expect(printed).toEqual(
        alone.map((one) => Object.values(JSON.parse(one) as object).join(" ")),
      );
      return;
    }
    if (verb === "preview")
      checkPage(readFileSync(join(folder, rest[rest.indexOf("--out") + 1]!), "utf8"));
    if (verb === "digest") {
      expect(printed).toHaveLength(10);
      for (const one of printed) expect(JSON.parse(one).digest).toMatch(/^sha256:[\da-f]{64}$/);
    }
  });

  test("options quoted in the text", async () => {
    const quoted = [...readme.matchAll(/`--entries ("[^`]*")`/g)].map(([, list = ""]) => list);
    expect(quoted.length).toBeGreaterThan(0);
    for (const list of quoted) {
      const args = [main, "digest", "shards", "--steps", "0", "--entries", ...words(list)];
      expect(await lines(process.execPath, args, workplace())).toHaveLength(1);
    }
    for (const [, command = ""] of readme.matchAll(/`npx (ssl-r1 [^`]*--help)`/g)) {
      const printed = await lines(process.execPath, [main, ...words(command).slice(1)]);
      expect(printed.join("\n")).toContain("--seed");
    }
  });

  test.each(blocks(readme, "python"))("the Python block", async (block) => {
    const line = shell.find((one) => one.includes(" serve "))!;
    const args = loaderArguments(line).slice(1);
    const at = args.indexOf("--listen");
    const address = args[at + 1]!;
    expect(block, "the block connects to the loader of the shell line").toContain(address);
    const loader = await serve(args.toSpliced(at, 2), workplace());
    try {
      const ending = "\nprint(len(same_again), batch.step)";
      const code = `${block.replaceAll(address, loader.address)}${ending}`;
      expect(await lines(testPython(), ["-c", code])).toEqual(["40 2"]);
    } finally {
      await loader.stop();
    }
  });

  test.each(blocks(readme, "ts"))("the TypeScript block", async (block) => {
    const folder = workplace();
    const source = pathToFileURL(join(root, "src", "index.ts")).href;
    expect(block).toContain('from "ssl-r1-stream"');
    const file = join(folder, "snippet.mts");
    writeFileSync(file, block.replaceAll('"ssl-r1-stream"', JSON.stringify(source)));
    const printed = await lines(process.execPath, [file], folder);
    expect(printed).toHaveLength(40);
    for (const line of printed) expect(line).toMatch(/^[a-z]+ ([A-D]|\d[\d, ]*) \d$/);
  });
});

/** Nothing is loaded, every picture is there and described, and no answer is open. */
function checkPage(page: string): void {
  expect(page).toContain("default-src 'none'");
  expect(page).not.toMatch(/'unsafe-|https?:|<link|@import|url\(/);
  const images = [...page.matchAll(/<img [^>]*>/g)].map(([tag]) => tag);
  expect(images.length).toBeGreaterThan(40);
  for (const tag of images) {
    expect(tag.slice(0, 40)).toContain('src="data:image/jpeg;base64,');
    expect(tag).toMatch(/alt="[^"]+ of puzzle \d+" loading="lazy" decoding="async">$/);
  }
  expect([...page.matchAll(/<details>/g)]).toHaveLength(40);
  expect(page).not.toContain("<details open");
  const outside = page.replaceAll(/<details>.*?<\/details>/gs, "");
  expect(outside).not.toContain('class="answer"');
}

describe("documents", () => {
  const left = new Set(["node_modules", "dist", "out", "coverage"]);
  const documents = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((one) => one.isFile() && one.name.endsWith(".md"))
    .map((one) => join(one.parentPath, one.name))
    .filter((file) => {
      const parts = relative(root, file).split("/");
      return !parts.some((part) => left.has(part) || part.startsWith("."));
    });

  /** As GitHub names the headings of a page. */
  function anchors(file: string): ReadonlySet<string> {
    const text = readFileSync(file, "utf8").replaceAll(/^```.*?^```/gms, "");
    return new Set(
      [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
        title
          .toLowerCase()
          .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
          .replaceAll(" ", "-"),
      ),
    );
  }

  test.each(documents.map((file) => relative(root, file)))("links of %s", (name) => {
    const file = join(root, name);
    const text = readFileSync(file, "utf8")
      .replaceAll(/^```.*?^```/gms, "")
      .replaceAll(/`[^`\n]*`/g, "");
    for (const [, target = ""] of text.matchAll(/\]\(([^()\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path = "", anchor] = target.split("#");
      const found = path === "" ? file : resolve(dirname(file), decodeURIComponent(path));
      expect.soft(existsSync(found), `${target} of ${name}`).toBe(true);
      if (anchor !== undefined && existsSync(found))
        expect.soft([...anchors(found)], `${target} of ${name}`).toContain(anchor);
    }
  });
});
