import { StreamError } from "../errors.ts";
import { correspondence } from "./correspondence/correspondence.ts";
import { inpainting } from "./inpainting/inpainting.ts";
import { ordering } from "./ordering/ordering.ts";
import { rotation } from "./rotation/rotation.ts";
import { similarity } from "./similarity/similarity.ts";
import type { Task } from "./task.ts";

/** Every task there is; a new one needs its folder and one line here. */
export const tasks: readonly Task[] = [rotation, similarity, inpainting, ordering, correspondence];

/** BAD_OPTION where there is no such task; the message names those there are. */
export function taskByName(name: string): Task {
  const task = tasks.find((one) => one.name === name);
  if (task === undefined) {
    throw new StreamError(
      "BAD_OPTION",
      `no task is called ${JSON.stringify(name)}; there are ${tasks.map((one) => one.name).join(", ")}`,
    );
  }
  return task;
}
