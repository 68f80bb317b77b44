import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { StreamError } from "../errors.ts";
import { reasonOf } from "../shards/bytes.ts";

/**
 * The variables of huggingface_hub, read as its Python client reads them
 * (https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables).
 */
export type Env = Readonly<Record<string, string | undefined>>;

/** HF_ENDPOINT without a "/" at the end. Throws BAD_OPTION. */
export function hubEndpoint(env: Env): string {
  const written = set(env, "HF_ENDPOINT") ?? "https://huggingface.co";
  const url = URL.canParse(written) ? new URL(written) : undefined;
  // what stands there is not repeated: it may hold a password
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "")
    throw new StreamError(
      "BAD_OPTION",
      "HF_ENDPOINT: expected an address such as https://huggingface.co, without a user or password",
    );
  return (url.origin + url.pathname).replace(/\/+$/, "");
}

/** HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE. */
export function isHubOffline(env: Env): boolean {
  return isTrue(set(env, "HF_HUB_OFFLINE") ?? set(env, "TRANSFORMERS_OFFLINE"));
}

/** The folder that holds the Python client's downloads, whether or not it exists. */
export function hubCacheFolder(env: Env): string {
  const written = set(env, "HF_HUB_CACHE") ?? set(env, "HUGGINGFACE_HUB_CACHE");
  return written === undefined ? join(hubHome(env), "hub") : expanded(written, env);
}

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
    if (code === "ENOENT") return "";
    const name = written === undefined ? "token in HF_HOME" : "HF_TOKEN_PATH";
    throw new StreamError("BAD_OPTION", `${name}: can't be read: ${reasonOf(cause)}`);
  }
}

function clean(token: string): string {
  return token.replaceAll(/[\r\n]/g, "").trim();
}

/** HF_HOME. */
function hubHome(env: Env): string {
  const written = set(env, "HF_HOME");
  if (written !== undefined) return expanded(written, env);
  const caches = set(env, "XDG_CACHE_HOME") ?? join(personal(env), ".cache");
  return expanded(join(caches, "huggingface"), env);
}

/** "~" and "$NAME", as Python's expanduser and expandvars. */
function expanded(path: string, env: Env): string {
  const absolute = path === "~" || path.startsWith("~/") ? personal(env) + path.slice(1) : path;
  return absolute.replace(
    /\$(?:(\w+)|\{([^}]*)\})/g,
    (whole, plain: string | undefined, braced: string | undefined) =>
      env[plain ?? braced ?? ""] ?? whole,
  );
}

function personal(env: Env): string {
  return env["HOME"] ?? homedir();
}

/** A variable that is set to nothing counts as not set. */
function set(env: Env, name: string): string | undefined {
  return env[name] === "" ? undefined : env[name];
}

function isTrue(value: string | undefined): boolean {
  return /^(?:1|on|yes|true)$/i.test(value ?? "");
}
