"""Makes the encoded images of this folder and, with Pillow, the pixels that they stand for. Run: python make.py (Pillow 13, numpy).

Images are 45 x 33 pixels: no multiple of a JPEG block. `pixels.bin.gz` holds H x W x 3 bytes for each image of `images.json`, one after the other.
"""

import gzip
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent
WIDTH, HEIGHT = 45, 33
images: list[dict] = []
pixels: list[bytes] = []


def add(name: str, data: bytes, expected: Image.Image, tolerance: int) -> None:
    (HERE / name).write_bytes(data)
    rgb = np.asarray(expected.convert("RGB"), dtype=np.uint8)
    images.append({"name": name, "width": rgb.shape[1], "height": rgb.shape[0], "tolerance": tolerance})
    pixels.append(rgb.tobytes())


def saved(image: Image.Image, format: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def on_white(image: Image.Image) -> Image.Image:
    """alpha * colour + (1 - alpha) * white, rounded to nearest."""
    rgba = np.asarray(image.convert("RGBA"), dtype=np.int64)
    colour, alpha = rgba[..., :3], rgba[..., 3:]
    return Image.fromarray(((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG written by hand: Pillow writes neither 16-bit colour nor a colour key of it."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *(chunk(*one) for one in chunks)]
    return b"".join(parts) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
smooth = np.stack([x * 255 // (WIDTH - 1), y * 255 // (HEIGHT - 1), (x * 3 + y * 5) % 256], axis=-1)
smooth[4:14, 5:20] = [230, 40, 30]
smooth[18:30, 25:40] = [20, 60, 200]
rgb = Image.fromarray(smooth.astype(np.uint8))
gray = rgb.convert("L")
alpha = Image.fromarray(((x * 7 + y * 3) % 256).astype(np.uint8))
rgba = rgb.copy()
rgba.putalpha(alpha)

# JPEG. Pillow uses the slow integer DCT, the loader the fast one.
FAST = 6
for name, options in {
    "jpeg-444": {"subsampling": 0},
    "jpeg-422": {"subsampling": 1},
    "jpeg-420": {"subsampling": 2},
    "jpeg-progressive": {"subsampling": 2, "progressive": True},
    "jpeg-restart": {"subsampling": 2, "restart_marker_blocks": 2},
}.items():
    data = saved(rgb, "JPEG", quality=90, **options)
    add(f"{name}.jpg", data, opened(data), FAST)
data = saved(gray, "JPEG", quality=90)
add("jpeg-gray.jpg", data, opened(data), FAST)
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(rgb, "JPEG", quality=90, subsampling=2, exif=exif)
    add(f"jpeg-exif-{orientation}.jpg", data, ImageOps.exif_transpose(opened(data)), FAST)
# Adobe's inverted CMYK: the marker says so, Pillow writes it. Decoders agree on the inks to a level or two.
cmyk = rgb.convert("CMYK")
data = saved(cmyk, "JPEG", quality=95, subsampling=0)
inks = np.asarray(opened(data), dtype=np.int64)
light = ((255 - inks[..., :3]) * (255 - inks[..., 3:]) + 127) // 255
add("jpeg-cmyk.jpg", data, Image.fromarray(light.astype(np.uint8)), 3)

# PNG
add("png-rgb.png", saved(rgb, "PNG"), rgb, 0)
add("png-gray.png", saved(gray, "PNG"), gray, 0)
bilevel = gray.convert("1")
add("png-bilevel.png", saved(bilevel, "PNG"), bilevel.convert("L"), 0)
palette = rgb.quantize(17)
add("png-palette.png", saved(palette, "PNG"), palette.convert("RGB"), 0)
add("png-palette-key.png", saved(palette, "PNG", transparency=3), on_white(opened(saved(palette, "PNG", transparency=3))), 0)
add("png-rgba.png", saved(rgba, "PNG"), on_white(rgba), 0)
gray_alpha = gray.convert("LA")
gray_alpha.putalpha(alpha)
add("png-gray-alpha.png", saved(gray_alpha, "PNG"), on_white(gray_alpha), 0)
wide = smooth.astype(np.uint32) * 257 - (smooth > 0) * 100  # high byte is not the rounded value
wide = wide.astype(">u2")
rows = b"".join(b"\0" + row.tobytes() for row in wide)
add("png-rgb16.png", png(WIDTH, HEIGHT, 16, 2, rows), Image.fromarray((wide >> 8).astype(np.uint8)), 0)
deep = np.asarray(gray).astype(np.uint32) * 257 - (np.asarray(gray) > 0) * 100
deep = deep.astype(">u2")
rows = b"".join(b"\0" + row.tobytes() for row in deep)
add("png-gray16.png", png(WIDTH, HEIGHT, 16, 0, rows), Image.fromarray((deep >> 8).astype(np.uint8)), 0)
rows = b"".join(b"\0" + row.tobytes() for row in smooth.astype(np.uint8))
key = struct.pack(">HHH", 230, 40, 30)
keyed = smooth.copy()
keyed[(smooth == [230, 40, 30]).all(axis=-1)] = 255
add("png-rgb-key.png", png(WIDTH, HEIGHT, 8, 2, rows, (b"tRNS", key)), Image.fromarray(keyed.astype(np.uint8)), 0)
exif = Image.Exif()
exif[0x0112] = 6
data = saved(rgb, "PNG", exif=exif)
add("png-exif-6.png", data, ImageOps.exif_transpose(opened(data)), 0)

# The others
data = saved(rgb, "WEBP", lossless=True)
add("webp-lossless.webp", data, rgb, 0)
data = saved(rgba, "WEBP", lossless=True, exact=True)
add("webp-alpha.webp", data, on_white(opened(data)), 0)
data = saved(rgb, "WEBP", quality=90)
add("webp-lossy.webp", data, opened(data), 3)
data = saved(palette, "GIF")
add("gif.gif", data, opened(data).convert("RGB"), 0)
data = saved(palette, "GIF", save_all=True, append_images=[gray.quantize(16)], duration=100, loop=0)
add("gif-animated.gif", data, opened(data).convert("RGB"), 0)
for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate"):
    add(f"tiff-{compression.removeprefix('tiff_')}.tif", saved(rgb, "TIFF", compression=compression), rgb, 0)
add("tiff-gray16.tif", saved(Image.fromarray(deep.astype("<u2")), "TIFF"), Image.fromarray((deep >> 8).astype(np.uint8)), 0)
data = saved(cmyk, "TIFF")
inks = np.asarray(cmyk, dtype=np.int64)
light = ((255 - inks[..., :3]) * (255 - inks[..., 3:]) + 127) // 255
add("tiff-cmyk.tif", data, Image.fromarray(light.astype(np.uint8)), 0)
data = saved(rgb, "AVIF", quality=90, subsampling="4:4:4")
add("avif.avif", data, opened(data), 3)

(HERE / "images.json").write_text(json.dumps(images, indent=1) + "\n")
(HERE / "pixels.bin.gz").write_bytes(gzip.compress(b"".join(pixels), mtime=0))
