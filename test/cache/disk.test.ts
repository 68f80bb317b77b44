import { createDiskStore } from "../../src/cache/disk.ts";
import { storeContract } from "../contracts/store.ts";
import { openDescriptors, temporaryFolder } from "../fixtures/files.ts";

storeContract("disk", async () => {
  const folder = temporaryFolder();
  const store = await createDiskStore({ folder, size: 10e6 });
  return {
    store,
    handles: () => openDescriptors(`${folder}/`) - openDescriptors(`${folder}/users/`),
  };
});
