"""What Pillow and torchvision make of a small picture: drawing.json lists the cases, drawing.bin.gz holds their pixels.

Needs numpy, Pillow, torch (CPU) and torchvision. Run from anywhere; writes beside itself.
"""

import gzip
import json
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image

# A torchvision built for another torch lacks its compiled operators and can't be imported without their names; none is used here.
operators = torch.library.Library("torchvision", "DEF")
for definition in ["nms(Tensor a, Tensor b, float c) -> Tensor", "qnms(Tensor a, Tensor b, float c) -> Tensor"]:
    try:
        operators.define(definition)
    except RuntimeError:
        pass  # the compiled ones are there
import torchvision
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

HERE = Path(__file__).parent
WIDTH, HEIGHT = 64, 48


def scene() -> np.ndarray:
    """Something like a photo: a sky with a gradient, a sun, hills with texture, a wall with hard edges, a little noise."""
    random = np.random.Generator(np.random.PCG64(7))
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    image = np.stack([90 + 2.2 * y, 140 + 1.8 * y, 235 - 0.6 * y], axis=-1)
    image[(x - 47) ** 2 + (y - 10) ** 2 < 36] = (255, 236, 150)
    hill = y > 26 + 6 * np.sin(x / 9) + 2 * np.sin(x / 2.3)
    image[hill] = (52, 104, 38)
    image[hill] += (14 * np.sin(x * 1.7 + y * 2.3))[hill][:, None]
    image[20:44, 6:24] = (176, 60, 48)
    image[20:44:4, 6:24] = (212, 196, 186)
    image[28:36, 11:17] = (14, 18, 34)
    image[40:48, 36:64] = np.where(((x // 3 + y // 3) % 2 == 0)[40:48, 36:64, None], 255, 0)
    image[0:4, 0:12] = (255, 0, 0)
    image[4:8, 0:12] = (0, 0, 255)
    image += random.normal(0, 4, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


source = scene()
picture = Image.fromarray(source)
tensor = torch.from_numpy(source).permute(2, 0, 1)
blob = bytearray()
cases: list[dict[str, object]] = []


def add(operation: str, by: str, result: "np.ndarray | Image.Image | torch.Tensor", **arguments: object) -> None:
    if isinstance(result, torch.Tensor):
        result = result.permute(1, 2, 0).numpy()
    pixels = np.asarray(result)
    assert pixels.dtype == np.uint8 and pixels.shape[2] == 3
    height, width = pixels.shape[:2]
    cases.append({"operation": operation, "by": by, **arguments, "offset": len(blob), "width": width, "height": height})
    blob.extend(pixels.tobytes())


add("source", "numpy", source)

for x, y, width, height, to_width, to_height in [
    (5, 3, 50, 40, 28, 24),
    (0, 0, 64, 48, 17, 13),
    (10, 8, 20, 30, 45, 56),
    (41, 2, 23, 9, 23, 31),
    (30, 20, 3, 2, 20, 30),
]:
    box = {"x": x, "y": y, "width": width, "height": height}
    cropped = picture.crop((x, y, x + width, y + height)).resize((to_width, to_height), Image.Resampling.BILINEAR)
    add("resize", "pillow", cropped, box=box)
    resized = tv.resized_crop(tensor, y, x, height, width, [to_height, to_width], antialias=True)
    add("resize", "torchvision", resized, box=box)

for operation, function in [
    ("brightness", tv.adjust_brightness),
    ("contrast", tv.adjust_contrast),
    ("saturation", tv.adjust_saturation),
]:
    for factor in [0.2, 0.83, 1.4, 1.8, 3.0]:
        add(operation, "torchvision", function(tensor, factor), amount=factor)
for turns in [-0.5, -0.2, -0.031, 0.07, 0.2]:
    add("hue", "torchvision", tv.adjust_hue(tensor, turns), amount=turns)
jittered = tensor
jitter = [["brightness", 1.2], ["contrast", 0.8], ["saturation", 1.3], ["hue", -130 / 1536]]
for operation, amount in jitter:
    jittered = getattr(tv, f"adjust_{operation}")(jittered, amount)
add("jitter", "torchvision", jittered, steps=jitter)

add("grayscale", "torchvision", tv.rgb_to_grayscale(tensor, num_output_channels=3))
add("grayscale", "pillow", picture.convert("L").convert("RGB"))

for sigma in [0.1, 0.4, 0.9, 1.4, 2.0]:
    add("blur", "torchvision", tv.gaussian_blur(tensor, [23, 23], [sigma, sigma]), amount=sigma)

add("flip", "torchvision", tv.horizontal_flip(tensor))
for quarters in [1, 2, 3]:
    add("turn", "torchvision", torch.rot90(tensor, -quarters, (1, 2)), quarters=quarters)

FILL = (114, 20, 230)
for degrees, scale, shift in [(12.0, 1.1, (3.3, -2.1)), (45.0, 0.75, (0.0, 0.0)), (200.0, 1.7, (-4.0, 6.5))]:
    # the map from the result to the source, about the middle, pixel centres at + 0.5: Pillow's own convention
    c, s = math.cos(math.radians(degrees)) / scale, math.sin(math.radians(degrees)) / scale
    middle = (WIDTH / 2, HEIGHT / 2)
    inverse = [
        *(c, s, middle[0] - c * middle[0] - s * middle[1] + shift[0]),
        *(-s, c, middle[1] + s * middle[0] - c * middle[1] + shift[1]),
    ]
    warped = picture.transform(
        (WIDTH, HEIGHT), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR, fillcolor=FILL
    )
    add("warp", "pillow", warped, inverse=inverse, fill=FILL)
rotated = tv.rotate(tensor, -30.0, interpolation=InterpolationMode.BILINEAR, fill=list(FILL))
c, s = math.cos(math.radians(30.0)), math.sin(math.radians(30.0))
inverse = [c, s, 32 - c * 32 - s * 24, -s, c, 24 + s * 32 - c * 24]
add("warp", "torchvision", rotated, inverse=inverse, fill=FILL)

made_by = {"pillow": Image.__version__, "torch": torch.__version__, "torchvision": torchvision.__version__}
(HERE / "drawing.bin.gz").write_bytes(gzip.compress(bytes(blob), 9, mtime=0))
(HERE / "drawing.json").write_text(json.dumps({"made_by": made_by, "cases": cases}, indent=1) + "\n")
print(len(cases), "cases,", len(blob), "bytes of pixels")
