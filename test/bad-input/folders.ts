import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { temporaryFolder } from "../fixtures/files.ts";
import { samples } from "../loader/streams.ts";

/** A folder of its own with the first `count` photos of a sample shard. */
export function photos(count: number): string {
  const all = mkdtempSync(join(tmpdir(), "ssl-r1-photos-"));
  try {
    execFileSync("tar", ["-xf", join(samples, "photos-000000.tar"), "-C", all]);
    const folder = temporaryFolder();
    const names = readdirSync(all).filter((name) => name.endsWith(".jpg"));
    for (const name of names.sort().slice(0, count)) cpSync(join(all, name), join(folder, name));
    return folder;
  } finally {
    rmSync(all, { recursive: true });
  }
}
