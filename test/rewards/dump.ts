/** JSON lines {completion, answer, options} on standard input; a score, or {"error": code}, for each on standard output. For python/tests. */
import { splitLines } from "../../src/rewards/lines.ts";
import { asStreamError } from "../../src/errors.ts";
import { wireScore, type Question } from "./vectors.ts";

const out: string[] = [];
for await (const line of splitLines(process.stdin.setEncoding("utf8")))
  out.push(JSON.stringify(answer(line)));
process.stdout.write(`${out.join("\n")}\n`);

function answer(line: string): object {
  try {
    return wireScore(JSON.parse(line) as Question);
  } catch (error) {
    return { error: asStreamError(error).code };
  }
}
