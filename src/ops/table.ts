import { totalOf, type View } from "./watched.ts";

/** The frame of `ssl-r1 top`: a line for each loader, and one for all. Nothing that a loader says can move the cursor. */
export function tableOf(views: readonly View[]): readonly string[] {
  const rows = [HEAD, ...views.map(rowOf), totalRow(views)];
  const widths = HEAD.map((_, at) => Math.max(...rows.map((row) => row[at]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, at) => (right.has(at) ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!)))
      .join("  ")
      .trimEnd(),
  );
  const { streams } = totalOf(views);
  if (streams > 1) lines.push(`${streams} different streams: their fingerprints differ`);
  return lines;
}

const HEAD: readonly string[] = [
  "LOADER",
  "STATE",
  "NODE",
  "NEAR",
  "PUZZLES/S",
  "MB/S",
  "CLIENTS",
  "WHO WAITS",
  "SKIPS",
  "RESTARTS",
  "MEMORY",
  "LAST ERROR",
];
const right: ReadonlySet<number> = new Set([4, 5, 6, 8, 9, 10]);

function rowOf(view: View): readonly string[] {
  const known = view.memory !== null;
  return [
    view.address.replace(/^http:\/\//, ""),
    view.state,
    view.node ?? "-",
    known ? rangesOf(view.near) : "-",
    number(view.puzzlesPerSecond, 0),
    number(view.bytesPerSecond === null ? null : view.bytesPerSecond / 1e6, 1),
    known ? String(view.clients) : "-",
    waitsOf(view),
    known ? String(view.skipped) : "-",
    known ? String(view.restarts) : "-",
    known ? memory(view.memory ?? 0) : "-",
    view.lastError ?? "-",
  ].map(plain);
}

function totalRow(views: readonly View[]): readonly string[] {
  const total = totalOf(views);
  return [
    `${total.loaders} in all`,
    `${total.ready} ready`,
    "",
    "",
    number(total.puzzlesPerSecond, 0),
    number(total.bytesPerSecond / 1e6, 1),
    String(total.clients),
    waitsOf(total),
    String(total.skipped),
    String(total.restarts),
    memory(total.memory),
    "",
  ];
}

/** `0-2,5`; "all" where nothing is preferred, "spare" where none is. */
export function rangesOf(near: readonly number[] | null): string {
  if (near === null) return "all";
  if (near.length === 0) return "spare";
  const ranges: string[] = [];
  for (let at = 0; at < near.length;) {
    let end = at;
    while (near[end + 1] === near[end]! + 1) end++;
    ranges.push(end === at ? `${near[at]}` : `${near[at]}-${near[end]}`);
    at = end + 1;
  }
  return ranges.join(",");
}

/** Who waits for whom more than the other way round, and for how much of the time. */
function waitsOf({
  trainersWait,
  loaderWaits,
}: Pick<View, "trainersWait" | "loaderWaits">): string {
  if (trainersWait === null || loaderWaits === null) return "-";
  const [who, share] =
    trainersWait >= loaderWaits ? ["trainer", trainersWait] : ["loader", loaderWaits];
  return `${who} ${Math.round(share * 100)}%`;
}

function number(value: number | null, digits: number): string {
  return value === null ? "-" : value.toFixed(digits);
}

function memory(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(0)} MB`;
}

/** One line, no controls, no marks that turn the direction of writing. */
function plain(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ").slice(0, 200);
}
