import { Counter, Gauge, Registry } from "prom-client";
import { counters, gauges, PREFIX, type Facts, type Metric, type Sample } from "./measures.ts";

/** Every name that /metrics can say, with its meaning and labels. */
export const metricNames: readonly {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  readonly labels: readonly string[];
}[] = [
  ...counters.map((metric) => ({ metric, type: "counter" as const })),
  ...gauges.map((metric) => ({ metric, type: "gauge" as const })),
].map(({ metric: { name, help, labels = [] }, type }) => ({
  name: PREFIX + name,
  type,
  help,
  labels,
}));

export interface Metrics {
  readonly contentType: string;
  text(facts: Facts): Promise<string>;
}

/** A registry of its own: what else uses the library's in this process stays apart. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const fills = [
    ...counters.map((metric) => {
      const counter = new Counter(configuration(metric, registry));
      return filler(metric, counter, (labels, value) => counter.inc({ ...labels }, value));
    }),
    ...gauges.map((metric) => {
      const gauge = new Gauge(configuration(metric, registry));
      return filler(metric, gauge, (labels, value) => gauge.set({ ...labels }, value));
    }),
  ];
  return {
    contentType: registry.contentType,
    text(facts) {
      for (const fill of fills) fill(facts);
      return registry.metrics();
    },
  };
}

function configuration({ name, help, labels = [] }: Metric, registry: Registry): Configuration {
  return { name: PREFIX + name, help, labelNames: [...labels], registers: [registry] };
}

interface Configuration {
  readonly name: string;
  readonly help: string;
  readonly labelNames: string[];
  readonly registers: Registry[];
}

function filler(
  { labels, read }: Metric,
  kept: { reset(): void; remove(): void },
  put: (labels: Sample[0], value: number) => void,
): (facts: Facts) => void {
  return (facts) => {
    // without labels, a reset would leave a 0 for what is not known
    if (labels) kept.reset();
    else kept.remove();
    const value = read(facts);
    if (typeof value === "number") put({}, value);
    else for (const [own, count] of value ?? []) put(own, count);
  };
}
