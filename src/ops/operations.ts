/** The HTTP port of a loader: /livez, /readyz, /metrics, /status. */
import { startBeat } from "./beat.ts";
import { whyDead, whyNotReady } from "./health.ts";
import { serveHttp, text, type Http, type HttpOptions } from "./http.ts";
import type { Facts } from "./measures.ts";
import { createMetrics } from "./metrics.ts";
import type { RewardCounts } from "./rewards.ts";
import { statusOf } from "./status.ts";
import type { Subject } from "./subject.ts";
import { watchVitals } from "./vitals.ts";

export interface OperationsOptions extends Omit<HttpOptions, "pages"> {
  /** As it is now. */
  readonly subject: () => Subject;
  readonly rewards: () => { readonly [entry: string]: RewardCounts };
}

export async function serveOperations({
  subject,
  rewards,
  ...options
}: OperationsOptions): Promise<Http> {
  const began = Date.now() / 1000 - process.uptime();
  const vitals = watchVitals();
  const beat = startBeat(() => {
    vitals.turn();
    subject().stream?.now(); // sees which cells are in the making
  });
  const metrics = createMetrics();

  function facts(): Facts {
    const now = subject();
    const { stream, server } = now;
    return {
      subject: now,
      info: stream?.info(),
      statistics: stream?.statistics,
      now: stream?.now(),
      counts: server?.counts(),
      rewards: rewards(),
      vitals: vitals.read(),
      began,
    };
  }

  const stop = (): void => {
    beat.stop();
    vitals.stop();
  };
  try {
    const http = await serveHttp({
      ...options,
      pages: {
        "/livez": () => verdict(whyDead(subject(), beat)),
        "/readyz": () => verdict(whyNotReady(subject())),
        "/metrics": async () => ({
          status: 200,
          type: metrics.contentType,
          body: await metrics.text(facts()),
        }),
        "/status": () => ({
          status: 200,
          type: "application/json",
          body: `${JSON.stringify(statusOf(facts()))}\n`,
        }),
      },
    });
    return {
      address: http.address,
      close() {
        stop();
        return http.close();
      },
    };
  } catch (error) {
    stop();
    throw error;
  }
}

const verdict = (wrong: string | undefined): ReturnType<typeof text> =>
  wrong === undefined ? text(200, "ok") : text(503, wrong);
