import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { Command } from "commander";
import type { Batch, Puzzle, StreamInfo } from "../model.ts";
import { wholeNumber, withStreamOptions } from "./stream-options.ts";
import { withBatches, withConnect, type ConnectFlags } from "./with-client.ts";

interface PreviewOptions extends ConnectFlags {
  readonly step: string;
  readonly out: string;
  readonly json?: boolean;
}

/** `ssl-r1 preview SOURCE --step 0 --out page.html`: one self-contained page to look at. */
export function previewCommand(): Command {
  return withConnect(withStreamOptions(new Command("preview")))
    .description("write one batch as a self-contained HTML page, answers hidden until clicked")
    .option("--step <number>", "which batch", "0")
    .requiredOption("--out <file>", "the page")
    .option("--json", "print what was written as JSON")
    .action(async (source: readonly string[], options: PreviewOptions) => {
      const step = wholeNumber("step", options.step);
      await withBatches(source, options, "jpeg", async (from) => {
        const batch = await from.get(step);
        const { info } = from;
        await writeFile(options.out, previewPage(batch, info));
        const { fingerprint } = info;
        const puzzles = batch.puzzles.length;
        const failed = batch.failed.length;
        process.stdout.write(
          options.json
            ? `${JSON.stringify({ out: options.out, step, puzzles, failed, fingerprint })}\n`
            : `${options.out}: batch ${step}, ${puzzles} puzzles${failed > 0 ? `, ${failed} slots failed` : ""}; fingerprint ${fingerprint}\n`,
        );
      });
    });
}

const style = `
:root { color-scheme: light dark; --back: light-dark(#f3f3ef, #131313); --card: light-dark(#fff, #1d1d1d); --line: light-dark(#d8d8d2, #383838);
  --soft: light-dark(#63635e, #a3a3a0); --accent: light-dark(#0b57a4, #8ec1ff); --bad: light-dark(#b3261e, #ff8a80) }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1440px; padding: 20px 16px 40px; background: var(--back) }
h1 { font-size: 24px; margin: 0 } header p { margin: 2px 0; color: var(--soft) } code, pre { font: 12px/1.45 ui-monospace, monospace; overflow-wrap: anywhere }
nav { position: sticky; top: 0; z-index: 1; display: flex; flex-wrap: wrap; gap: 8px; padding: 10px 0; margin-bottom: 8px; background: var(--back) }
nav label, button { font: inherit; border: 1px solid var(--line); border-radius: 99px; padding: 2px 12px; background: var(--card); color: inherit; cursor: pointer }
nav label:not(:has(:checked)) { color: var(--soft); text-decoration: line-through } nav input { margin: 0 4px 0 0 } #answers { margin-left: auto }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 520px), 1fr)); gap: 16px }
article { display: flex; flex-direction: column; background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px }
article.large { grid-column: 1 / -1 } article[hidden] { display: none }
article h2 { display: flex; align-items: baseline; gap: 8px; font-size: 16px; margin: 0 0 8px } h2 small { color: var(--soft); font-weight: normal }
h2 button { margin-left: auto; font-size: 12px; font-weight: normal; color: var(--soft) }
.images { display: grid; gap: 10px; align-items: start } figure { margin: 0; min-width: 0 }
.c1 { grid-template-columns: 1fr } .c2 { grid-template-columns: 1fr 1fr } .c3 { grid-template-columns: repeat(3, 1fr) } .c4 { grid-template-columns: repeat(4, 1fr) }
.lead { grid-template: auto 1fr / 2fr 1fr 1fr } .lead figure:first-child { grid-row: span 2 }
img { display: block; width: auto; max-width: 100%; height: auto; border-radius: 4px } figcaption { font-size: 13px; line-height: 1.3; margin-bottom: 3px }
figcaption span, summary { color: var(--soft) } .text { white-space: pre-wrap; margin: 12px 0 } .failed { color: var(--bad) } article:has(.failed) { align-self: start }
details { margin-top: auto; border-top: 1px solid var(--line); padding-top: 8px } summary { cursor: pointer } .answer { font-size: 20px; font-weight: 600; color: var(--accent); margin: 4px 0 }
pre { white-space: pre-wrap; margin: 0; color: var(--soft) } :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
@media (max-width: 560px) { body { padding: 14px 10px 30px } article { padding: 12px } nav { position: static } #answers { margin-left: 0 } h2 button { display: none }
  .images { gap: 6px } .c3 figcaption span { display: none } .lead { grid-template: none / 1fr 1fr } .lead figure:first-child { grid-row: auto; grid-column: 1 / -1 } }
`;

const script = `
const articles = [...document.querySelectorAll("article")];
document.querySelector("nav").addEventListener("change", ({ target }) => {
  for (const one of articles) if (one.dataset.entry === target.value) one.hidden = !target.checked;
});
document.querySelector("#answers").addEventListener("click", ({ target }) => {
  const open = target.textContent.startsWith("Show");
  for (const one of document.querySelectorAll("details")) one.open = open;
  target.textContent = open ? "Hide all answers" : "Show all answers";
});
document.querySelector("main").addEventListener("click", ({ target }) => {
  if (target.tagName === "BUTTON") target.textContent = target.closest("article").classList.toggle("large") ? "smaller" : "larger";
});
`;

/** The page runs this script and uses this style only, and loads nothing. */
function policy(): string {
  const hash = (text: string): string =>
    `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  return `default-src 'none'; img-src data:; style-src ${hash(style)}; script-src ${hash(script)}; base-uri 'none'; form-action 'none'`;
}

function previewPage(batch: Batch, info: StreamInfo): string {
  const { step, puzzles, failed } = batch;
  const filters = info.entries.map(({ name }) => {
    const count = [...puzzles, ...failed].filter(({ entry }) => entry === name).length;
    return `<label><input type="checkbox" checked value="${escape(name)}">${escape(name)} ${count}</label>`;
  });
  const failures = failed.map(
    ({ slot, index, entry, error }) =>
      `<article data-entry="${escape(entry)}"><h2>${escape(entry)} <small>slot ${slot}, puzzle ${index}</small></h2><p class="failed">No puzzle: ${escape(error.message)}</p></article>`,
  );
  const without = failed.length > 0 ? `, ${failed.length} slots without a usable image` : "";
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="${policy()}">
<title>Batch ${step}, seed ${info.seed}</title><style>${style}</style></head>
<body>
<header><h1>Batch ${step}</h1>
<p>${puzzles.length} puzzles${without}; seed ${info.seed}; ${info.samples} images in the source. Each as the model gets it: images, labels, question.</p>
<p><code>${escape(info.fingerprint)}</code></p></header>
<nav aria-label="What is shown">${filters.join("\n")}<button id="answers">Show all answers</button></nav>
<main>
${[...puzzles.map(article), ...failures].join("\n")}
</main>
<script>${script}</script>
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
    const { width, height, data } = images[figures.length]!;
    const name = escape(label.replace(/:\s*$/, "").trim());
    const source = `data:image/jpeg;base64,${Buffer.from(data).toString("base64")}`;
    figures.push(
      `<figure><figcaption>${name} <span>${width} × ${height}</span></figcaption><img src="${source}" width="${width}" height="${height}" alt="${name} of puzzle ${index}" loading="lazy" decoding="async"></figure>`,
    );
    label = "";
  }
  texts.push(label);
  return `<article data-entry="${escape(entry)}"><h2>${escape(entry)} <small>slot ${slot}, puzzle ${index}</small><button>larger</button></h2>
<div class="images ${layout(figures.length)}">${figures.join("")}</div>
<p class="text">${escape(texts.join("\n").trim())}</p>
<details><summary>Answer and recipe</summary><p class="answer">${escape(answer)}</p><pre>${escape(recipeText(recipe))}</pre></details></article>`;
}

/** Columns for pairs and squares; else the first image leads. */
function layout(images: number): string {
  if (images < 4) return `c${images}`;
  const side = Math.sqrt(images);
  return Number.isInteger(side) ? `c${Math.min(4, side)}` : "lead";
}

/** A line a value; what is short stays on one. */
function recipeText(recipe: Puzzle["recipe"]): string {
  return Object.entries(recipe)
    .map(([name, value]) => {
      const rows = Array.isArray(value) && value.some((one) => typeof one === "object");
      const text = (one: unknown): string => JSON.stringify(one).replaceAll(",", ", ");
      return rows
        ? `${name}:\n${value.map((one) => `  ${text(one)}`).join("\n")}`
        : `${name}: ${text(value)}`;
    })
    .join("\n");
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
