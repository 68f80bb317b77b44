import { readFileSync } from "node:fs";

/** Of the package; the same file from sources and from dist. */
export function version(): string {
  const manifest = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  ) as { version: string };
  return manifest.version;
}
