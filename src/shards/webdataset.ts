import { StreamError } from "../errors.ts";
import { compress, type Compression } from "./compress.ts";
import { createNotebook, type Notebook } from "./notes.ts";
import { createGrouping } from "./samples.ts";
import { createSeen } from "./seen.ts";
import { openIntake, passingMembers, type PassingMember } from "./tar-stream.ts";
import { writeTar, type Entry } from "./write.ts";

/** Bytes of a tar, gzipped tar or zstd-packed tar in chunks of any size: a file's or Node's stream, the body of a response, a generator. */
export type TarInput = AsyncIterable<Uint8Array>;

export interface ReadTarOptions {
  /** What error messages call the input. */
  readonly name?: string;
  /** Looked at with every chunk: give it to who makes the chunks, too. */
  readonly signal?: AbortSignal;
}

export interface ReadWebDatasetOptions extends ReadTarOptions {
  /** Bytes that the members of one sample may have together, headers counted, as they are all in memory: 1 GiB. Beyond it LIMIT, before memory is taken. */
  readonly largestSample?: number;
  /** Is told what belongs to no sample. */
  readonly notes?: Notebook;
}

export interface SampleMember {
  /** All after the first dot of the last part of the name: "jpg", "seg.png". */
  readonly extension: string;
  /** As in the archive: a label, not a path to be trusted. */
  readonly name: string;
  /** In memory of its own. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** Byte offset of the contents in the unpacked archive. */
  readonly offset: number;
}

export interface WebDatasetSample {
  /** The name of its members up to the first dot of the last part. */
  readonly key: string;
  /** At least one, in the order of the archive. */
  readonly members: readonly SampleMember[];
}

/** A sample to be written; what readWebDataset yields is one, too. */
export interface NewSample {
  /** A relative path without "." and ".."; no dot in its last part. */
  readonly key: string;
  readonly members: readonly {
    readonly extension: string;
    /** A text is written as UTF-8. */
    readonly data: Uint8Array | string;
  }[];
}

export interface WriteWebDatasetOptions {
  readonly compress?: Compression;
}

const INPUT = "input";
const LARGEST_SAMPLE = 1 << 30;

/**
 * All members of an archive in order, folders and links, too; their contents pass by. Rejects SHARD_CORRUPT for an archive that is damaged or cut anywhere,
 * ABORTED, and with the input's own errors. Breaking off closes the input.
 */
export async function* readTar(
  input: TarInput,
  { name = INPUT, signal }: ReadTarOptions = {},
): AsyncGenerator<PassingMember, void, undefined> {
  const intake = openIntake(input, name, signal);
  try {
    yield* passingMembers(intake, name);
  } finally {
    await intake.close();
  }
}

/**
 * Samples with all their members, one after the other; rejects as readTar does, and SHARD_CORRUPT where the members of a sample are not adjacent or one
 * stands twice. Folders, links, devices, hidden files and names without a dot are of no sample.
 */
export async function* readWebDataset(
  input: TarInput,
  {
    notes = createNotebook(),
    largestSample = LARGEST_SAMPLE,
    ...options
  }: ReadWebDatasetOptions = {},
): AsyncGenerator<WebDatasetSample, void, undefined> {
  const shard = options.name ?? INPUT;
  const partOf = createGrouping(shard, notes);
  let key: string | undefined;
  let members: SampleMember[] = [];
  let size = 0;
  for await (const member of readTar(input, options)) {
    const part = partOf(member);
    if (!part) continue;
    if (part.first) {
      if (key !== undefined) yield { key, members };
      ({ key } = part);
      members = [];
      size = 0;
    }
    size += member.offset - member.header + member.size;
    if (size > largestSample)
      throw new StreamError(
        "LIMIT",
        `${shard}: sample ${part.key} has more than ${largestSample} bytes with ${member.name}`,
        { context: { shard, key: part.key, offset: member.header } },
      );
    const { name, offset } = member;
    members.push({ extension: part.extension, name, data: await member.bytes(), offset });
  }
  if (key !== undefined) yield { key, members };
}

/**
 * A shard, the same bytes for the same samples (see writeTar; packed ones for one version of Node and kind of processor). Rejects BAD_OPTION for what
 * would be read as another sample or none: a key or extension that is no label, a key or extension that comes twice, a sample without members.
 */
export function writeWebDataset(
  samples: Iterable<NewSample> | AsyncIterable<NewSample>,
  options: WriteWebDatasetOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const tar = writeTar(entriesOf(samples));
  return options.compress === undefined ? tar : compress(tar, options.compress);
}

async function* entriesOf(
  samples: Iterable<NewSample> | AsyncIterable<NewSample>,
): AsyncGenerator<Entry, void, undefined> {
  const seen = createSeen();
  const encoder = new TextEncoder();
  for await (const { key, members } of samples) {
    if (!/^(?:.*\/)?[^./]+$/su.test(key)) throw unfit(key, "no key of a sample");
    if (!seen.add(key)) throw unfit(key, "the key of two samples");
    if (members.length === 0) throw unfit(key, "the key of a sample without members");
    const extensions = new Set<string>();
    for (const { extension, data } of members) {
      const name = `${key}.${extension}`;
      if (extension === "" || extension.includes("/")) throw unfit(name, "no name of a member");
      if (extensions.has(extension)) throw unfit(name, "the name of two members");
      extensions.add(extension);
      yield { name, data: typeof data === "string" ? encoder.encode(data) : data };
    }
  }
}

function unfit(text: string, what: string): StreamError {
  return new StreamError("BAD_OPTION", `${JSON.stringify(text)} is ${what}`);
}
