#!/usr/bin/env python3
"""Makes the photos that the benchmarks use: 2,000 JPEG files of 640 x 480 and about 100 kB, and the same in eight tars.

    apt-get download mate-backgrounds gnome-backgrounds plasma-workspace-wallpapers
    for deb in *.deb; do dpkg-deb -x "$deb" packages; done
    python bench/make-corpus.py packages corpus

Every crop is a function of its number; flat ones are drawn again.
"""

import io
import json
import pathlib
import sys
import tarfile

import numpy as np
from PIL import Image

Image.MAX_IMAGE_PIXELS = None
COUNT, SHARDS, SIZE = 2000, 8, (640, 480)
# photographs; the rest of the packages are drawings
NAMES = [
    "Aqua", "Blinds", "Dune", "Garden", "GreenMeadow", "LadyBird", "RainDrops", "Storm", "TwoWings", "Wood", "YellowFlower", "Elephants",
    "Autumn", "BytheWater", "ColdRipple", "ColorfulCups", "DarkestHour", "EveningGlow", "FallenLeaf", "Grey", "Kite", "OneStandsOut",
    "Path", "Volna", "summer_1am",
]


def photos(folder: pathlib.Path) -> list[Image.Image]:
    found = []
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() not in (".jpg", ".png", ".webp") or file.is_symlink() or file.stat().st_size < 100_000:
            continue
        if "screenshot" in file.name or "_dark" in str(file) or not any(f"/{name}" in str(file) for name in NAMES):
            continue
        image = Image.open(file).convert("RGB")
        image.thumbnail((3840, 3840), Image.LANCZOS)
        found.append(image)
    return found


def crop(number: int, images: list[Image.Image]) -> bytes:
    random = np.random.default_rng([1, number])
    while True:
        image = images[random.integers(len(images))]
        most = min(image.width / SIZE[0], image.height / SIZE[1])
        scale = float(random.uniform(min(1.0, most * 0.55), min(most, 2.6)))
        width, height = int(SIZE[0] * scale), int(SIZE[1] * scale)
        x, y = int(random.integers(image.width - width + 1)), int(random.integers(image.height - height + 1))
        cut = image.crop((x, y, x + width, y + height)).resize(SIZE, Image.LANCZOS)
        gray = np.asarray(cut.convert("L"), np.float32)
        if np.abs(np.diff(gray, axis=0)).mean() + np.abs(np.diff(gray, axis=1)).mean() < 8 or gray.std() < 15:
            continue
        out = io.BytesIO()
        cut.save(out, "JPEG", quality=90, subsampling="4:2:0")
        return out.getvalue()


def main() -> None:
    images = photos(pathlib.Path(sys.argv[1]))
    target = pathlib.Path(sys.argv[2])
    (target / "folder").mkdir(parents=True, exist_ok=True)
    (target / "tars").mkdir(exist_ok=True)
    total = 0
    for shard in range(SHARDS):
        with tarfile.open(target / "tars" / f"corpus-{shard:06}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for number in range(shard * COUNT // SHARDS, (shard + 1) * COUNT // SHARDS):
                data = crop(number, images)
                total += len(data)
                (target / "folder" / f"{number:06}.jpg").write_bytes(data)
                member = tarfile.TarInfo(f"{number:06}.jpg")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    print(json.dumps({"photos": COUNT, "sources": len(images), "mean_bytes": total // COUNT}))


if __name__ == "__main__":
    main()
