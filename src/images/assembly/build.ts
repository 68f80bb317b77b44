// Builds ../kernels.wasm, or with --check builds it aside and compares: node src/images/assembly/build.ts [--check]
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";
import { MAXIMUM_PAGES } from "../arena.ts";

const here: string = fileURLToPath(new URL(".", import.meta.url));
export const kernelsFile: string = fileURLToPath(new URL("../kernels.wasm", import.meta.url));

/** The module's bytes: the same for the same sources and compiler version, on any machine. */
export async function buildKernels(): Promise<Uint8Array> {
  let built: Uint8Array | undefined;
  let messages = "";
  const options: readonly string[][] = [
    ["index.ts", "--baseDir", here, "--outFile", "kernels.wasm"],
    ["--runtime", "stub", "-O3", "--converge", "--noAssert"],
    ["--enable", "simd", "--enable", "bulk-memory", "--enable", "threads"],
    ["--importMemory", "--noExportMemory", "--sharedMemory"],
    ["--initialMemory", "1", "--maximumMemory", String(MAXIMUM_PAGES)],
  ];
  const { error } = await asc.main(options.flat(), {
    stderr: {
      write(text) {
        messages += String(text);
        return true;
      },
    },
    writeFile(_name, contents) {
      if (contents instanceof Uint8Array) built = contents;
    },
  });
  if (error !== null || built === undefined)
    throw new Error(`the kernels do not compile: ${messages}`, { cause: error });
  return built;
}

if (import.meta.main) {
  const built = await buildKernels();
  if (process.argv.includes("--check")) {
    const committed = await readFile(kernelsFile);
    if (!committed.equals(built)) {
      console.error(
        `${kernelsFile} is not what its sources build to: ${committed.length} bytes committed, ${built.length} built`,
      );
      process.exitCode = 1;
    }
  } else {
    await writeFile(kernelsFile, built);
    console.log(`${kernelsFile}: ${built.length} bytes`);
  }
}
