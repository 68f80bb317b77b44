/** Loaded before a loader: tells every second what it holds, as a line on standard error. */
setInterval(() => {
  const { heapUsed, external } = process.memoryUsage();
  const handles = process.getActiveResourcesInfo().length;
  process.stderr.write(
    `${JSON.stringify({ gauge: { heap: (heapUsed + external) / 2 ** 20, handles } })}\n`,
  );
}, 1_000).unref();
