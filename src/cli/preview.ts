import { writeFile } from "node:fs/promises";
import { Command } from "commander";
import type { Batch, Puzzle, StreamInfo } from "../model.ts";
import { wholeNumber, withStreamOptions } from "./stream-options.ts";
import { withStream } from "./with-stream.ts";

/** `ssl-r1 preview SOURCE --step 0 --out page.html`: one self-contained page to look at. */
export function previewCommand(): Command {
  return withStreamOptions(new Command("preview"))
    .description("write one batch as a self-contained HTML page, answers hidden until clicked")
    .option("--step <number>", "which batch", "0")
    .requiredOption("--out <file>", "the page")
    .option("--json", "print what was written as JSON")
    .action(
      async (
        source: string | undefined,
        options: { step: string; out: string; json?: boolean },
      ) => {
        const step = wholeNumber("step", options.step);
        await withStream(source, options, async (stream) => {
          const batch = await stream.get(step, undefined, { format: "jpeg" });
          const info = stream.info();
          await writeFile(options.out, previewPage(batch, info));
          const { fingerprint } = info;
          const puzzles = batch.puzzles.length;
          process.stdout.write(
            options.json
              ? `${JSON.stringify({ out: options.out, step, puzzles, fingerprint })}\n`
              : `${options.out}: batch ${step}, ${puzzles} puzzles; fingerprint ${fingerprint}\n`,
          );
        });
      },
    );
}

const style = `
:root { color-scheme: light dark; --line: light-dark(#d5d5d0, #3a3a3a); --card: light-dark(#fff, #1e1e1e); --soft: light-dark(#666, #a5a5a5) }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1200px; padding: 24px; background: light-dark(#f4f4f0, #141414) }
h1 { font-size: 22px; margin: 0 } header p { color: var(--soft); margin: 4px 0 16px; overflow-wrap: anywhere }
nav { display: flex; flex-wrap: wrap; gap: 8px; margin-bottom: 20px }
nav label { border: 1px solid var(--line); border-radius: 99px; padding: 3px 12px; background: var(--card); cursor: pointer }
article { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px; margin-bottom: 16px }
article h2 { font-size: 15px; margin: 0 0 8px } article h2 small { color: var(--soft); font-weight: normal }
.text { white-space: pre-wrap; margin: 10px 0 0 }
.images { display: flex; flex-wrap: wrap; gap: 12px }
figure { margin: 0 } figcaption { font-size: 13px; color: var(--soft) }
img { display: block; max-width: min(100%, 420px); height: auto; border-radius: 4px }
.many img { max-width: 168px }
details { margin-top: 12px } summary { cursor: pointer; color: var(--soft) }
.answer { font-size: 18px; font-weight: 600; margin: 6px 0 } pre { overflow-x: auto; font-size: 12px }
.failed { color: #c33 }
`;

function previewPage(batch: Batch, info: StreamInfo): string {
  const names = info.entries.map(({ name }) => name);
  const filters = names
    .map(
      (name) =>
        `<label><input type="checkbox" checked value="${escape(name)}"> ${escape(name)} (${batch.puzzles.filter((puzzle) => puzzle.entry === name).length})</label>`,
    )
    .join("\n");
  const failed = batch.failed
    .map(
      ({ slot, entry, error }) =>
        `<article data-entry="${escape(entry)}"><h2>Slot ${slot}: ${escape(entry)}</h2><p class="failed">${escape(error.message)}</p></article>`,
    )
    .join("\n");
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Batch ${batch.step}</title><style>${style}</style></head>
<body>
<header><h1>Batch ${batch.step}</h1><p>${batch.puzzles.length} puzzles, seed ${info.seed}, ${info.samples} images; ${escape(info.fingerprint)}</p></header>
<nav>${filters}</nav>
<main>
${batch.puzzles.map(article).join("\n")}
${failed}
</main>
<script>
document.querySelector("nav").addEventListener("change", ({ target }) => {
  for (const one of document.querySelectorAll("article")) if (one.dataset.entry === target.value) one.hidden = !target.checked;
});
</script>
</body></html>
`;
}

function article(puzzle: Puzzle): string {
  const { slot, index, entry, prompt, answer, recipe, images } = puzzle;
  const figures: string[] = [];
  const texts: string[] = [];
  let label = "";
  for (const part of prompt) {
    if (part.type === "text") {
      // The last line of a text before an image is that image's label; the rest is read as text.
      const lines = part.text.split("\n");
      label = lines.pop() ?? "";
      texts.push(lines.join("\n"));
      continue;
    }
    const image = images[figures.length]!;
    const data = Buffer.from(image.data).toString("base64");
    const name = label.replace(/:\s*$/, "").trim();
    figures.push(
      `<figure><img src="data:image/jpeg;base64,${data}" width="${image.width}" height="${image.height}" alt="${escape(name)}"><figcaption>${escape(name)} <span>${image.width} x ${image.height}</span></figcaption></figure>`,
    );
    label = "";
  }
  texts.push(label);
  return `<article data-entry="${escape(entry)}"><h2>${escape(entry)} <small>slot ${slot}, puzzle ${index}</small></h2>
<div class="images${figures.length > 5 ? " many" : ""}">${figures.join("")}</div>
<p class="text">${escape(texts.join("\n").trim())}</p>
<details><summary>Answer</summary><p class="answer">${escape(answer)}</p><pre>${escape(JSON.stringify(recipe, null, 1))}</pre></details></article>`;
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
