"""Makes docs/images: one batch of the sample shards as a picture, and one puzzle of each task, as docs/tasks.md tells them.

    .venv/bin/python bench/doc-images.py [--out docs/images]

Needs Pillow. Nothing is retouched: the pictures show what `ssl-r1 batch` wrote, scaled down, with the labels of the prompt above the images.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
STREAM = ["shards", "--seed", "7", "--batch", "40"]
TASKS = ["rotation", "similarity", "inpainting", "ordering", "correspondence"]
#: Task -> step and slot of the puzzle that docs/tasks.md tells; test/tasks/page.test.ts reads them there.
SHOWN = {"rotation": (0, 10), "similarity": (0, 16), "inpainting": (0, 12), "ordering": (0, 3), "correspondence": (0, 4)}

PAPER, INK, SOFT = (255, 255, 255), (30, 30, 30), (110, 110, 110)
Pictures = list[Image.Image]


def font(size: int) -> Any:
    """Pillow's own: the same on every machine."""
    return ImageFont.load_default(size)


def batch(step: int, folder: Path) -> list[dict[str, Any]]:
    command = ["node", "src/cli/main.ts", "batch", *STREAM, "--step", str(step), "--out", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    puzzles: list[dict[str, Any]] = json.loads((folder / "batch.json").read_text())["puzzles"]
    for puzzle in puzzles:
        puzzle["pictures"] = [Image.open(folder / name).convert("RGB") for name in puzzle["images"]]
    return puzzles


def labels(puzzle: dict[str, Any]) -> list[str]:
    """The last line of the text before each image."""
    parts = puzzle["prompt"]
    return [before["text"].split("\n")[-1].strip(" :") for before, part in itertools.pairwise(parts) if part["type"] == "image"]


def within(image: Image.Image, width: float, height: float) -> Image.Image:
    scale = min(width / image.width, height / image.height)
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.LANCZOS)


def centred(sheet: Image.Image, image: Image.Image, x: float, y: float, width: float, height: float) -> None:
    small = within(image, width, height)
    sheet.paste(small, (round(x + (width - small.width) / 2), round(y + (height - small.height) / 2)))


def grid(pictures: Pictures, columns: int, width: float, height: float, gap: int) -> Image.Image:
    """Pictures of one size, row by row, as large as they fit into width x height."""
    rows = -(-len(pictures) // columns)
    first = within(pictures[0], (width - gap * (columns - 1)) / columns, (height - gap * (rows - 1)) / rows)
    across, down = first.size
    sheet = Image.new("RGB", (columns * (across + gap) - gap, rows * (down + gap) - gap), PAPER)
    for k, picture in enumerate(pictures):
        sheet.paste(picture.resize((across, down), Image.Resampling.LANCZOS), (k % columns * (across + gap), k // columns * (down + gap)))
    return sheet


def thumbnail(puzzle: dict[str, Any], width: int, height: int, gap: int) -> Image.Image:
    """A whole puzzle, without labels."""
    sheet = Image.new("RGB", (width, height), PAPER)
    pictures: Pictures = puzzle["pictures"]
    if len(pictures) == 9:
        centred(sheet, grid(pictures, 3, width, height, gap), 0, 0, width, height)
        return sheet
    half = (width - gap) / 2
    others = pictures[1] if len(pictures) == 2 else grid(pictures[1:], 2, half, height, gap)
    centred(sheet, pictures[0], 0, 0, half, height)
    centred(sheet, others, half + gap, 0, half, height)
    return sheet


def whole_batch(puzzles: list[dict[str, Any]]) -> Image.Image:
    """A column a task, a row a turn of the cycle of the mix."""
    columns, width, height, caption, gap, head = len(TASKS), 304, 150, 22, 16, 44
    rows = len(puzzles) // columns
    sheet = Image.new("RGB", (columns * (width + gap), head + rows * (height + caption + gap)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for k, task in enumerate(TASKS):
        draw.text((gap // 2 + k * (width + gap) + width / 2, head / 2), task, INK, font(22), anchor="mm")
    for k, puzzle in enumerate(puzzles):
        assert puzzle["task"] == TASKS[k % columns], "slots are a stretch of the cycle"
        x, y = gap // 2 + k % columns * (width + gap), head + k // columns * (height + caption + gap)
        sheet.paste(thumbnail(puzzle, width, height, 4), (x, y))
        draw.text((x + width / 2, y + height + caption / 2), puzzle["answer"], SOFT, font(15), anchor="mm")
    return sheet


def one_puzzle(puzzle: dict[str, Any]) -> Image.Image:
    """Each image with its label above."""
    pictures: Pictures = puzzle["pictures"]
    line, gap = 26, 14
    places: list[tuple[int, int]] = []
    if len({picture.size for picture in pictures}) > 1:
        # One large image, and two rows of two candidates beside it.
        small = [within(pictures[0], 440, 440)] + [within(picture, 230, 190) for picture in pictures[1:]]
        across, down = small[1].size
        block = 2 * (down + line) + gap
        places.append((0, max(0, (block - small[0].height - line) // 2)))
        places += [(small[0].width + 2 * gap + k % 2 * (across + gap), k // 2 * (down + line + gap)) for k in range(4)]
    else:
        columns, size = {2: (2, (440, 320)), 5: (5, (170, 170)), 9: (3, (230, 160))}[len(pictures)]
        small = [within(picture, *size) for picture in pictures]
        across, down = small[0].size
        places = [(k % columns * (across + gap), k // columns * (down + line + gap)) for k in range(len(small))]
    right = max(x + one.width for (x, _), one in zip(places, small, strict=True))
    bottom = max(y + line + one.height for (_, y), one in zip(places, small, strict=True))
    sheet = Image.new("RGB", (right + 2 * gap, bottom + 2 * gap), PAPER)
    draw = ImageDraw.Draw(sheet)
    for (x, y), picture, label in zip(places, small, labels(puzzle), strict=True):
        draw.text((gap + x, gap + y + line / 2 - 3), label, INK, font(17), anchor="lm")
        sheet.paste(picture, (gap + x, gap + y + line))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        steps = {step: batch(step, Path(folder) / str(step)) for step in sorted({step for step, _ in SHOWN.values()} | {0})}
        pictures = {"batch": (whole_batch(steps[0]), 70)} | {task: (one_puzzle(steps[step][slot]), 82) for task, (step, slot) in SHOWN.items()}
        for name, (picture, quality) in pictures.items():
            picture.save(out / f"{name}.jpg", quality=quality, optimize=True, progressive=True)
            print(f"{name}.jpg {picture.width} x {picture.height}, {(out / f'{name}.jpg').stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
