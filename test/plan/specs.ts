/** Streams that several tests of the plan use. */
import type { PlanSpec } from "../../src/plan/plan.ts";

/** The one that docs/determinism.md works through. */
export const documented: PlanSpec = {
  seed: 42,
  batch: 16,
  partitions: 2,
  entries: [
    { name: "rotation", weight: 2 },
    { name: "ordering", weight: 1 },
    { name: "similarity", weight: 2 },
  ],
  deal: "rows",
  window: 256,
  order: "independent",
};

/** About what users run. */
export const fiveTasks: PlanSpec = {
  seed: 11,
  batch: 64,
  partitions: 8,
  entries: ["a", "b", "c", "d", "e"].map((name) => ({ name, weight: 1 })),
  deal: "rows",
  window: 4096,
  order: "independent",
};

/** Nothing to balance, one partition, small windows. */
export const oneTask: PlanSpec = {
  seed: 1,
  batch: 8,
  partitions: 1,
  entries: [{ name: "a", weight: 1 }],
  deal: "rows",
  window: 64,
  order: "independent",
};
