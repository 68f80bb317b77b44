/**
 * `ssl-r1-stream/webdataset`: shards in the format of WebDataset (https://github.com/webdataset/webdataset), read and written as streams, strict about
 * damage, in constant memory. docs/webdataset.md shows how. Knows nothing of puzzles, and nothing outside of Node is needed.
 */
export { StreamError, type ErrorCode, type ErrorDetails } from "./errors.ts";
export type { Compression } from "./shards/compress.ts";
export { createNotebook, type Notebook, type Notes, type Problem } from "./shards/notes.ts";
export { splitName } from "./shards/samples.ts";
export type { Member } from "./shards/tar.ts";
export type { PassingMember } from "./shards/tar-stream.ts";
export {
  readTar,
  readWebDataset,
  writeWebDataset,
  type NewSample,
  type ReadTarOptions,
  type ReadWebDatasetOptions,
  type SampleMember,
  type TarInput,
  type WebDatasetSample,
  type WriteWebDatasetOptions,
} from "./shards/webdataset.ts";
export { writeTar, type Entry } from "./shards/write.ts";
