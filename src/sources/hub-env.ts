import { homedir } from "node:os";
import { join } from "node:path";
import { StreamError } from "../errors.ts";

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

/** HF_HOME. */
export function hubHome(env: Env): string {
  const written = set(env, "HF_HOME");
  if (written !== undefined) return expanded(written, env);
  const caches = set(env, "XDG_CACHE_HOME") ?? join(personal(env), ".cache");
  return expanded(join(caches, "huggingface"), env);
}

/** "~" and "$NAME", as Python's expanduser and expandvars. */
export function expanded(path: string, env: Env): string {
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
export function set(env: Env, name: string): string | undefined {
  return env[name] === "" ? undefined : env[name];
}

export function isTrue(value: string | undefined): boolean {
  return /^(?:1|on|yes|true)$/i.test(value ?? "");
}
