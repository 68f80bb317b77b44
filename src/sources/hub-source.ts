import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { StreamError } from "../errors.ts";
import type { Net } from "../net/net.ts";
import { closed, readFile } from "../shards/bytes.ts";
import { checkRow, LARGEST_IMAGE } from "../shards/rows.ts";
import type { Feed, Row, RowOptions, Shard } from "../shards/feed.ts";
import { createPace } from "../shards/pace.ts";
import { countingOf, createContainersSource, type Container } from "./containers.ts";
import { openHub, packFiles, type HubFile, type HubListing } from "./hub.ts";
import type { Source } from "./source.ts";
import type { Supplies } from "./supplies.ts";

export interface HubSourceOptions extends RowOptions {
  readonly supplies: Supplies;
  /** As FolderOptions.order, for a repo of image files. */
  readonly order?: (count: number) => Uint32Array;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal;
}

/** A data set of the Hugging Face Hub, at the commit that its revision means now. Rejects as openHub does. */
export async function createHubSource(address: string, options: HubSourceOptions): Promise<Source> {
  const { supplies, order, env = process.env, signal = new AbortController().signal } = options;
  const { group, image } = options;
  const net = await supplies.net();
  const listing = await openHub(address, { net, env, signal });
  for (const note of listing.notes) supplies.note(note);
  if (listing.kind === "images") return createImagesSource(listing, { supplies, net, order });
  const files = packFiles(listing);
  return createContainersSource(address, {
    rows: { ...(group !== undefined && { group }), ...(image !== undefined && { image }) },
    supplies,
    counting: countingOf(
      listing.files.map(({ name, local }) => ({ name, here: local !== undefined })),
    ),
    container: containerOf,
    list: async () => files,
  });
}

function containerOf({ name, size, hash, known, url, local }: HubFile): Container {
  const place =
    local === undefined
      ? { url, known, ranges: true }
      : { path: local, time: statSync(local).mtimeMs };
  return { name, size, ...(hash !== undefined && { hash }), place };
}

/** As the folder that a copy of the repo would be: one shard, its files in the order of their names and then mixed once. */
const FOLDER = "folder";

interface ImagesOptions {
  readonly supplies: Supplies;
  readonly net: Net;
  readonly order: ((count: number) => Uint32Array) | undefined;
}

function createImagesSource(listing: HubListing, { supplies, net, order }: ImagesOptions): Source {
  const { address, files } = listing;
  const places = order?.(files.length);
  const pace = createPace();
  const info = {
    name: FOLDER,
    size: files.reduce((sum, { size }) => sum + size, 0),
    hash: hashOf(files),
  };

  async function read(file: HubFile): Promise<Row> {
    const { name, size, local } = file;
    const key = keyOf(file);
    if (size > LARGEST_IMAGE)
      throw new StreamError(
        "IMAGE_UNUSABLE",
        `${name}: ${size} bytes, the limit is ${LARGEST_IMAGE}`,
        {
          context: { shard: FOLDER, key },
        },
      );
    if (local !== undefined) {
      const { mtimeMs } = statSync(local);
      const bytes = await readFile(local, name, { size, time: mtimeMs }, pace);
      return { key, group: key, name, bytes };
    }
    return fetched(file, (shard) => shard.read(0));
  }

  /** A store of one row: each image is fetched once, whatever the order. */
  async function fetched<T>(file: HubFile, use: (shard: Shard) => Promise<T>): Promise<T> {
    const { name, size, hash, url } = file;
    const id = `image ${hash ?? url} ${size} ${name}`;
    const shard = await (await supplies.store()).open(id, name, async () => feedOf(file, net));
    try {
      await shard.counted(1);
      return await use(shard);
    } finally {
      await shard.close();
    }
  }

  return {
    address,
    cheap: true,
    countable: true,
    inPlace: false,
    list: () => Promise.resolve([info]),
    async open(number): Promise<Shard> {
      if (number !== 0) throw new StreamError("INTERNAL", `${address}: shard ${number} of 1`);
      let open = true;
      return {
        rows: files.length,
        complete: true,
        counted: () => Promise.resolve(),
        async ready(row) {
          const file = files[places ? places[row]! : row]!;
          if (file.local !== undefined || file.size > LARGEST_IMAGE) return;
          await fetched(file, (shard) => shard.ready?.(0) ?? Promise.resolve());
        },
        async read(row, room) {
          if (!open) throw closed(FOLDER);
          checkRow(FOLDER, row, files.length);
          const found = await read(files[places ? places[row]! : row]!);
          if (!room) return found;
          const bytes = room(found.bytes.length);
          bytes.set(found.bytes);
          return { ...found, bytes };
        },
        async close() {
          open = false;
        },
      };
    },
  };
}

const keyOf = ({ name }: HubFile): string => name.slice(0, name.lastIndexOf("."));

function feedOf(file: HubFile, net: Net): Feed {
  const { name, url, known, size } = file;
  const key = keyOf(file);
  return {
    count: 1,
    async *rows(_notes, signal) {
      const bytes = new Uint8Array(size);
      let at = 0;
      for await (const chunk of net.download(url, known, { signal })) {
        bytes.set(chunk, at);
        at += chunk.length;
      }
      yield { key, group: key, name, bytes };
    },
  };
}

function hashOf(files: readonly HubFile[]): string {
  const hash = createHash("sha256");
  for (const file of files) hash.update(`${file.name}\0${file.size}\0${file.hash ?? ""}\n`);
  return `listing-sha256:${hash.digest("hex")}`;
}
