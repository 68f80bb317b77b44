import { createMemoryStore } from "../../src/cache/memory.ts";
import { storeContract } from "../contracts/store.ts";

storeContract("memory", () => ({ store: createMemoryStore({ limit: 10e6 }) }));
