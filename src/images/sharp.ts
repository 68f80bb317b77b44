import type Sharp from "sharp";

let loading: Promise<typeof Sharp> | undefined;

/** sharp, loaded when a first image needs it: most data sets are JPEG alone, and every worker would wait for it before its first batch. */
export function loadSharp(): Promise<typeof Sharp> {
  loading ??= import("sharp").then(({ default: sharp }) => {
    // One image at a time in each worker thread; a cache of libvips would only hold memory.
    sharp.concurrency(1);
    sharp.cache(false);
    return sharp;
  });
  return loading;
}
