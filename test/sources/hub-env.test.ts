import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import {
  hubCacheFolder,
  hubEndpoint,
  hubToken,
  isHubOffline,
  type Env,
} from "../../src/sources/hub-env.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { lines, testPython } from "../fixtures/serve.ts";

const script = fileURLToPath(new URL("hub_rules.py", import.meta.url));

test("variables mean what they mean to huggingface_hub", async () => {
  const home = temporaryFolder({
    ".cache/huggingface/token": "hf_default\n",
    "other/token": "  hf_other\r\n",
    "tokens/mine": "hf_mine",
    "tokens/empty": "\n",
  });
  const cases: Env[] = [
    {},
    { HF_TOKEN: "hf_env" },
    { HF_TOKEN: " hf_env\n", HUGGING_FACE_HUB_TOKEN: "hf_old" },
    { HUGGING_FACE_HUB_TOKEN: "hf_old" },
    { HF_TOKEN: "", HUGGING_FACE_HUB_TOKEN: "hf_old" },
    { HF_TOKEN: "  ", HUGGING_FACE_HUB_TOKEN: "hf_old" },
    { HF_TOKEN: "hf_env", HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" },
    { HF_TOKEN: "hf_env", HF_HUB_DISABLE_IMPLICIT_TOKEN: "no" },
    { HF_TOKEN_PATH: "~/tokens/mine" },
    { HF_TOKEN_PATH: "$HOME/tokens/mine" },
    { HF_TOKEN_PATH: "~/tokens/empty" },
    { HF_TOKEN_PATH: "~/tokens/none" },
    { HF_HOME: "~/other" },
    { HF_HOME: "${BASE}/$WHICH", BASE: home, WHICH: "other" },
    { HF_HOME: "~/other", HF_HUB_CACHE: "~/cache" },
    { HUGGINGFACE_HUB_CACHE: "$HOME/old" },
    { HUGGINGFACE_HUB_CACHE: "/old", HF_HUB_CACHE: "/$NOT_SET/new" },
    { XDG_CACHE_HOME: join(home, "xdg") },
    { HF_HUB_OFFLINE: "1" },
    { HF_HUB_OFFLINE: "Yes" },
    { HF_HUB_OFFLINE: "0", TRANSFORMERS_OFFLINE: "1" },
    { HF_HUB_OFFLINE: "", TRANSFORMERS_OFFLINE: "on" },
    { HF_ENDPOINT: "http://localhost:8080/" },
    { HF_ENDPOINT: "https://mirror.example/hub//" },
  ].map((env) => ({ HOME: home, ...env }));
  const python = testPython();
  const said = await lines("env", ["-i", python, script, "variables", JSON.stringify(cases)]);
  expect(said).toHaveLength(cases.length);
  for (const [i, line] of said.entries()) {
    const env = cases[i] as Env;
    const token = await hubToken(env);
    expect({
      env,
      endpoint: hubEndpoint(env),
      cache: hubCacheFolder(env),
      offline: isHubOffline(env),
      token: token?.value ?? null,
    }).toEqual({ env, ...(JSON.parse(line) as object) });
  }
});

describe("the token", () => {
  test("is for the endpoint alone", async () => {
    const env = { HF_TOKEN: "hf_x", HF_ENDPOINT: "https://mirror.example:8443/hub" };
    expect(await hubToken(env)).toEqual({
      value: "hf_x",
      origins: ["https://mirror.example:8443"],
    });
    expect(await hubToken({ HF_TOKEN: "hf_x" })).toMatchObject({
      origins: ["https://huggingface.co"],
    });
  });

  test("is never in a message", async () => {
    for (const HF_TOKEN of ["hf_sëcret", "hf_ secret", "hf_\u2026secret"]) {
      const error: unknown = await hubToken({ HF_TOKEN }).catch((e: unknown) => e);
      expect(error).toMatchObject({ code: "BAD_OPTION" });
      expect(String(error)).not.toMatch(/s.cret/);
    }
  });

  test("that can't be read is an error, without a path of this machine", async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "token"));
    for (const env of [{ HF_HOME: folder }, { HF_TOKEN_PATH: join(folder, "token") }]) {
      const error: unknown = await hubToken(env).catch((e: unknown) => e);
      expect(error).toMatchObject({
        code: "BAD_OPTION",
        message: expect.stringContaining("EISDIR") as unknown,
      });
      expect(String(error)).not.toContain(folder);
    }
  });
});

test.each([
  "ftp://x",
  "huggingface.co",
  "https://",
  "https://user:hf_secret@huggingface.co",
  "//x",
])("HF_ENDPOINT %s is refused, without its password", (HF_ENDPOINT) => {
  expect(() => hubEndpoint({ HF_ENDPOINT })).toThrow(
    expect.objectContaining({
      code: "BAD_OPTION",
      message: expect.not.stringContaining("hf_secret") as unknown,
    }),
  );
});
