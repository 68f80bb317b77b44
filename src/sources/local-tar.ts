import { openTable, type Table } from "../cache/table.ts";
import type { File } from "../shards/bytes.ts";
import type { Shard } from "../shards/feed.ts";
import type { Notes } from "../shards/notes.ts";
import type { Pace } from "../shards/pace.ts";
import { scanTar, WIDTH, type ScanOptions, type TarIndex } from "../shards/scan.ts";
import type { Supplies } from "./supplies.ts";
import { inMemory, openTar, type TarOptions, type TarPlaces } from "./tar-shard.ts";

/** Raised by whatever changes what a scan finds. */
const VERSION = 1;
/** Rows from which on a scan (17 microseconds a row) takes long enough to be kept, and fewest bytes that so many can have. */
const FEWEST = 2_000;
const SMALLEST = FEWEST * 1024;

type Told = Notes & Pick<TarPlaces, "globals">;

/**
 * As openTar, for a file of this machine. Where its rows are is kept in the cache's folder, bound to its path, size, time and inode: the next who opens it reads a few
 * kilobytes instead of all headers, and holds none of it in memory. What is damaged there is found out anew.
 */
export async function openLocalTar(
  source: File & { readonly path: string },
  shard: string,
  options: TarOptions,
  { supplies, pace }: { readonly supplies: Supplies | undefined; readonly pace: Pace },
): Promise<Shard> {
  const folder = supplies?.folder;
  if (!supplies || folder === undefined || source.size < SMALLEST)
    return openTar(source, shard, options);
  const { path, size, time, inode } = source;
  const id = `tar ${JSON.stringify([VERSION, options.image ?? null, size, time, inode, path])}`;
  const find = (): Promise<Table | undefined> => openTable(folder, id, WIDTH, pace);
  const scan = async (how: ScanOptions): Promise<TarPlaces> => {
    const index = await scanTar(source, shard, how);
    const places = inMemory(index);
    return index.rows < FEWEST
      ? places
      : moving(places, keep(index, id, supplies).then(find), () => scan(how));
  };
  return openTar(source, shard, options, async (how) => {
    const table = await find();
    const told = table && parse(table.notes);
    if (table && told) return kept(table, told, () => scan(how));
    await table?.close();
    return scan(how);
  });
}

async function keep(
  { places: numbers, globals, problems, skipped }: TarIndex,
  id: string,
  supplies: Supplies,
): Promise<void> {
  const notes = JSON.stringify({ globals, problems, skipped } satisfies Told);
  const store = await supplies.store().catch(() => undefined);
  await store?.keepTable?.(id, { width: WIDTH, numbers, notes });
}

/** In memory until there is a table. */
function moving(
  found: TarPlaces,
  written: Promise<Table | undefined>,
  scan: () => Promise<TarPlaces>,
): TarPlaces {
  const { rows, globals, problems, skipped } = found;
  let places: TarPlaces = found;
  let open = true;
  const moved = written.then(async (table) => {
    if (!table || table.rows !== rows || !open) return table?.close();
    places = kept(table, { globals, problems, skipped }, scan);
  });
  return {
    rows,
    globals,
    problems,
    skipped,
    place: (row) => places.place(row),
    async close() {
      open = false;
      await moved.catch(() => undefined);
      await places.close?.();
    },
  };
}

/** A row that is damaged has all of them found anew, once. */
function kept(table: Table, told: Told, scan: () => Promise<TarPlaces>): TarPlaces {
  let again: Promise<TarPlaces> | undefined;
  return {
    ...told,
    rows: table.rows,
    async place(row) {
      const numbers = again ? undefined : await table.read(row);
      return numbers ?? (await (again ??= scan())).place(row);
    },
    async close() {
      await table.close();
      await (await again?.catch(() => undefined))?.close?.();
    },
  };
}

function parse(notes: string): Told | undefined {
  try {
    const { globals, problems, skipped } = JSON.parse(notes) as Told;
    return { globals, problems, skipped };
  } catch {
    return undefined;
  }
}
