import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { StreamError } from "../errors.ts";
import { watch, type Watched } from "./watch.ts";

/** The tokens of a server: several at a time, those of a file read anew when it changes. No token is kept, only what tells it again. */
export interface Tokens {
  /** What a token is remembered by; undefined where it is none of them. Takes as long whichever it is. */
  check(token: string | undefined): Buffer | undefined;
  /** Whether it is still one of them. */
  valid(remembered: Buffer): boolean;
  look(): Promise<void>;
  close(): void;
}

export interface TokenSources {
  readonly tokens: readonly string[];
  readonly file: string | undefined;
  readonly onWarning: (message: string) => void;
  /** Some may not be valid any more. */
  readonly onChange: () => void;
}

/** Undefined where none are wanted. Throws BAD_OPTION. */
export async function openTokens(sources: TokenSources): Promise<Tokens | undefined> {
  const { tokens, file } = sources;
  if (tokens.includes("")) throw new StreamError("BAD_OPTION", "a token is empty");
  if (tokens.length === 0 && file === undefined) return undefined;
  // Under a key of this process, what is compared tells nothing of the tokens.
  const secret = randomBytes(32);
  const digest = (token: string): Buffer =>
    createHmac("sha256", secret).update(token, "utf8").digest();
  const fixed = tokens.map(digest);
  let watched: Watched<readonly Buffer[]> | undefined;
  if (file !== undefined) {
    const make = ([text = ""]: readonly string[]): readonly Buffer[] => tokensIn(text).map(digest);
    const { onWarning, onChange } = sources;
    watched = await watch([file], make, { what: "token file", secret: file, onWarning, onChange });
  }
  const all = (): readonly Buffer[] => [...fixed, ...(watched?.current ?? [])];
  const among = (given: Buffer): Buffer | undefined => {
    let found: Buffer | undefined;
    // Not find(), which stops at the first.
    for (const each of all()) if (timingSafeEqual(given, each)) found = each;
    return found;
  };
  return {
    check: (token) => among(digest(token ?? "")),
    valid: (remembered) => among(remembered) !== undefined,
    look: async () => await watched?.look(),
    close: () => watched?.close(),
  };
}

/** A client's token: as given, the first of the file, or of the environment. Throws BAD_OPTION. */
export function clientToken(
  token: string | undefined,
  file: string | undefined,
): string | undefined {
  if (token !== undefined) return token;
  if (file === undefined) return process.env["SSL_R1_TOKEN"] || undefined;
  try {
    return tokensIn(readFileSync(file, "utf8"))[0];
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StreamError("BAD_OPTION", `token file: ${reason}`, { cause: error });
  }
}

/** One a line; empty lines and those that begin with # don't count. Throws where there is none. */
function tokensIn(text: string): readonly string[] {
  const tokens = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  if (tokens.length === 0) throw new Error("there is no token in it");
  return tokens;
}
