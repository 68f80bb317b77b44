"""Small photos, cut from the sample photos, in shards of three forms: make_photos.py FOLDER SHARDS ROWS. Each form in a folder of its own, with the same rows:
tars and gz by Python's tarfile and gzip, parquet as datasets writes it (an image is a struct of bytes and path)."""

import gzip
import io
import json
import os
import random
import sys
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

folder, shards, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
here = os.path.dirname(os.path.abspath(__file__))
rng = random.Random(11)

photos = []
for name in ("photos-000000.tar", "photos-000001.tar"):
    with tarfile.open(os.path.join(here, "..", "..", "shards", name)) as archive:
        for member in archive:
            if not member.name.endswith(".jpg"):
                continue
            with Image.open(archive.extractfile(member)) as image:
                image.draft("RGB", (300, 300))
                image.thumbnail((300, 300))
                photos.append((member.name[:-4], image.convert("RGB")))


def cut():
    name, photo = rng.choice(photos)
    width, height = (rng.randint(100, 150) for _ in "ab")
    left = rng.randint(0, photo.width - width)
    top = rng.randint(0, photo.height - height)
    coded = io.BytesIO()
    photo.crop((left, top, left + width, top + height)).save(coded, "JPEG", quality=80)
    return name, coded.getvalue()


for form in ("tar", "gz", "parquet"):
    os.makedirs(os.path.join(folder, form))
kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
for shard in range(shards):
    cuts = [(f"{shard:03}{row:04}", *cut()) for row in range(rows)]
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for key, group, image in cuts:
            for name, data in ((f"{key}.jpg", image), (f"{key}.json", json.dumps({"group": group}).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    stem = f"cuts-{shard:06}"
    with open(os.path.join(folder, "tar", f"{stem}.tar"), "wb") as file:
        file.write(plain.getvalue())
    with open(os.path.join(folder, "gz", f"{stem}.tar.gz"), "wb") as file:
        file.write(gzip.compress(plain.getvalue(), 1, mtime=0))
    table = pa.table(
        {
            "image": pa.array([{"bytes": image, "path": f"{key}.jpg"} for key, _, image in cuts], kind),
            "group": pa.array([group for _, group, _ in cuts]),
        }
    )
    table = table.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}, "group": {"dtype": "string", "_type": "Value"}}}})}
    )
    pq.write_table(table, os.path.join(folder, "parquet", f"{stem}.parquet"), row_group_size=rows // 2 + 1, compression="snappy")
