import { StreamError } from "../errors.ts";
import type { Row, Shard } from "./source.ts";
import { closed, type ByteSource, type Room } from "../shards/bytes.ts";
import { splitName } from "../shards/samples.ts";
import { columns, scanTar, WIDTH } from "../shards/scan.ts";
import { readMember } from "../shards/tar.ts";

/** An image beyond this is refused before memory is asked for. Bytes. */
const LARGEST_IMAGE = 1 << 28;
/** Metadata beyond this is not looked at. Bytes. */
const LARGEST_JSON = 1 << 20;

export interface TarOptions {
  /** Field of a sample's JSON that names its group. Without it, or where the JSON has no such field, the key is the group. */
  readonly group?: string;
  readonly signal?: AbortSignal;
}

/** A tar shard whose headers have been read. Owns `source` and closes it, also when this rejects (SHARD_CORRUPT, ABORTED). */
export async function openTar(
  source: ByteSource,
  shard: string,
  { group, signal }: TarOptions = {},
): Promise<Shard> {
  try {
    const index = await scanTar(source, shard, signal);
    let open = true;
    return {
      rows: index.rows,
      complete: true,
      counted: () => Promise.resolve(),
      notes: index,
      async read(row, room): Promise<Row> {
        if (!open) throw closed(shard);
        checkRow(shard, row, index.rows);
        const place = (column: number): number => index.places[row * WIDTH + column] as number;
        const header = place(columns.header);
        const image = place(columns.image);
        const size = place(columns.imageSize);
        const jsonSize = place(columns.jsonSize);
        const hasJson = group !== undefined && place(columns.json) >= 0 && jsonSize <= LARGEST_JSON;
        checkSize(shard, size, header);
        const pieces: Piece[] = [
          { at: header, length: image - header },
          { at: image, length: size },
        ];
        if (hasJson) pieces.push({ at: place(columns.json), length: jsonSize });
        const [headers, bytes, json] = (await readPieces(source, pieces, room)) as [
          Uint8Array,
          Uint8Array,
          Uint8Array?,
        ];
        const member = await readMember(headers, header, source.size, shard, index.globals);
        const key = splitName(member.name)?.key ?? member.name;
        return {
          key,
          group: (json && group !== undefined ? groupOf(json, group) : undefined) ?? key,
          name: member.name,
          bytes,
        };
      },
      async close() {
        open = false;
        await source.close();
      },
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

interface Piece {
  readonly at: number;
  readonly length: number;
}

/** Bytes that are read although nobody asked for them, rather than calling the system once more. */
const WASTE = 16_384;

/** In one read where the pieces lie close together, as the members of a sample do. */
async function readPieces(
  source: ByteSource,
  pieces: readonly Piece[],
  room: Room | undefined,
): Promise<Uint8Array[]> {
  const from = Math.min(...pieces.map(({ at }) => at));
  const to = Math.max(...pieces.map(({ at, length }) => at + length));
  const wanted = pieces.reduce((sum, { length }) => sum + length, 0);
  if (to - from - wanted <= WASTE) {
    const all = await source.read(from, to - from, room);
    return pieces.map(({ at, length }) => all.subarray(at - from, at - from + length));
  }
  return Promise.all(pieces.map(({ at, length }) => source.read(at, length, room)));
}

export function checkRow(shard: string, row: number, rows: number): void {
  if (Number.isInteger(row) && row >= 0 && row < rows) return;
  throw new StreamError("INTERNAL", `${shard}: row ${row} of ${rows}`, { context: { shard } });
}

export function checkSize(shard: string, size: number, offset: number): void {
  if (size <= LARGEST_IMAGE) return;
  throw new StreamError(
    "IMAGE_UNUSABLE",
    `${shard}: image of ${size} bytes, the limit is ${LARGEST_IMAGE}`,
    { context: { shard, offset } },
  );
}

/** The field of the JSON where it is a string or a number, else undefined: then the key is the group. */
function groupOf(json: Uint8Array, field: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(json));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, field)) return undefined;
  const group: unknown = (value as { readonly [name: string]: unknown })[field];
  return typeof group === "string" || typeof group === "number" ? String(group) : undefined;
}
