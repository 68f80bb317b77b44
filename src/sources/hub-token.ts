import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { StreamError } from "../errors.ts";
import { reasonOf } from "../shards/bytes.ts";
import { expanded, hubEndpoint, hubHome, isTrue, set, type Env } from "./hub-env.ts";

/** Who may see the token, and nobody else. */
export interface HubToken {
  readonly value: string;
  /** Scheme, host and port. */
  readonly origins: readonly string[];
}

/**
 * HF_TOKEN, HUGGING_FACE_HUB_TOKEN, then the file of HF_TOKEN_PATH or "token" in HF_HOME. Undefined where there is none, or where HF_HUB_DISABLE_IMPLICIT_TOKEN
 * forbids one that was not given by the caller. Rejects BAD_OPTION where the file is there and can't be read. Trusted publishing and the refreshing of
 * browser logins are the Python client's alone.
 */
export async function hubToken(env: Env): Promise<HubToken | undefined> {
  if (isTrue(env["HF_HUB_DISABLE_IMPLICIT_TOKEN"])) return undefined;
  const named = set(env, "HF_TOKEN") ?? set(env, "HUGGING_FACE_HUB_TOKEN") ?? "";
  const token = clean(named) || clean(await tokenFile(env));
  if (token === "") return undefined;
  // a header would refuse it later, with the token in the message
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new StreamError("BAD_OPTION", "the Hub token has letters that no token has");
  return { value: token, origins: [new URL(hubEndpoint(env)).origin] };
}

async function tokenFile(env: Env): Promise<string> {
  const written = set(env, "HF_TOKEN_PATH");
  const path = written === undefined ? join(hubHome(env), "token") : expanded(written, env);
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return "";
    const name = written === undefined ? "token in HF_HOME" : "HF_TOKEN_PATH";
    throw new StreamError("BAD_OPTION", `${name}: can't be read: ${reasonOf(cause)}`);
  }
}

function clean(token: string): string {
  return token.replaceAll(/[\r\n]/g, "").trim();
}
