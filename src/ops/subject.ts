import type { StreamError } from "../errors.ts";
import type { Stream } from "../loader.ts";
import type { Server } from "../transport/server.ts";

/** The loader that is looked at: what of it is there already, and what its owner is doing with it. */
export interface Subject {
  /** Of the program. */
  readonly version: string;
  readonly phase: "opening" | "serving" | "draining" | "stopping";
  readonly stream: Pick<Stream, "info" | "near" | "now" | "statistics"> | undefined;
  readonly server: Pick<Server, "clients" | "counts"> | undefined;
  /** `1/3`, where it is one of several. */
  readonly node: string | undefined;
  /** As clients are told. */
  readonly loaders: readonly string[] | undefined;
  readonly lastError: LastError | undefined;
}

export interface LastError {
  readonly error: StreamError;
  /** Seconds since 1970. */
  readonly at: number;
}

/** Of this moment. */
export function noteError(error: StreamError): LastError {
  return { error, at: Date.now() / 1000 };
}

/** Safe to show: a bug's message may hold anything, so it stays in the log. */
export function shownError({ error, at }: LastError): {
  code: string;
  message: string;
  at: number;
} {
  const { code } = error;
  return { code, message: code === "INTERNAL" ? "told in the log" : error.message, at };
}
