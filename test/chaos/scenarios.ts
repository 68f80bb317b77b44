import { ofClients } from "./clients.ts";
import { ofDisks } from "./disks.ts";
import type { Scenario } from "./during.ts";
import { ofLinks } from "./links.ts";
import { ofLoaders } from "./loaders.ts";

/** Everything that is done. Each has to end with the batches of an undisturbed run. */
export const scenarios: readonly Scenario[] = [...ofLoaders, ...ofLinks, ...ofClients, ...ofDisks];
