import { once } from "node:events";
import { openLink, type Answer, type Link } from "../../src/transport/link.ts";
import type { StreamError } from "../../src/errors.ts";

/** A connection whose frames a test sends and sees one by one. */
export interface RawClient {
  readonly link: Link;
  /** All answers so far, with the lengths of their frames. */
  readonly answers: readonly (readonly [Answer, number])[];
  readonly lost: Promise<StreamError>;
  /** Resolves when an answer, present or to come, fits. */
  until(fits: (answer: Answer) => boolean): Promise<Answer>;
}

export async function rawClient(
  address: string,
  ids: readonly number[],
  token?: string,
): Promise<RawClient> {
  const link = await openLink({
    address,
    format: "raw",
    name: "raw test client",
    timeout: 10_000,
    token,
  });
  const answers: (readonly [Answer, number])[] = [];
  const news = new EventTarget();
  const lost = Promise.withResolvers<StreamError>();
  for (const id of ids)
    link.attach(id, {
      message(message, bytes) {
        answers.push([message, bytes]);
        news.dispatchEvent(new Event("answer"));
      },
      lost: (error) => lost.resolve(error),
    });
  return {
    link,
    answers,
    lost: lost.promise,
    async until(fits) {
      for (;;) {
        const found = answers.find(([answer]) => fits(answer));
        if (found) return found[0];
        await once(news, "answer");
      }
    },
  };
}
