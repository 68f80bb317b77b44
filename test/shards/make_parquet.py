"""Writes Parquet files with images as real programs write them, and says what pyarrow reads from each: make_parquet.py FOLDER; see FOLDER/expected.json"""

import base64
import datetime
import decimal
import hashlib
import json
import os
import random
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
folder = sys.argv[1]
os.environ["HF_HOME"] = os.path.join(folder, "home")

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

random.seed(7)
cases = []


def noise(size):
    return random.randbytes(size)


def sha(data):
    return hashlib.sha256(data).hexdigest() if data else None


def stem(path):
    head, slash, last = path.rpartition("/")
    return head + slash + last.split(".")[0] if "." in last else path


def case(name, rows, further=0, problems=None, **options):
    """rows: (key, group, name, bytes)"""
    listed = [{"key": k, "group": g, "name": n, "sha256": sha(b)} for k, g, n, b in rows]
    problems = sum(not b for *_, b in rows) if problems is None else problems
    cases.append({"file": name, "rows": listed, "further": further, "problems": problems, "options": options})


def written(name, table, **options):
    path = os.path.join(folder, name)
    pq.write_table(table, path, **options)
    return pq.ParquetFile(path).read()


def image_rows(table, column="image", column_name=None, first=0):
    """What pyarrow reads from a struct column, by the rules for keys and names."""
    for i, image in enumerate(table.column(column).to_pylist()):
        path = (image or {}).get("path")
        key = stem(path) if path else f"row {first + i}"
        yield key, key, path or column_name or column, (image or {}).get("bytes") or b""


# --- datasets ---------------------------------------------------------------
photos = []
for i in range(23):
    path = os.path.join(folder, "photos", f"class-{i % 3}", f"photo{i:03}.v1.png")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.frombytes("RGB", (16 + i, 9), noise((16 + i) * 27)).save(path)
    photos.append(path)
features = datasets.Features({"label": datasets.ClassLabel(names=["a", "b", "c"]), "image": datasets.Image(), "note": datasets.Value("string")})
data = datasets.Dataset.from_dict({"image": photos, "label": [i % 3 for i in range(23)], "note": ["x" * i for i in range(23)]}, features=features)
embed = dict(function=datasets.table.embed_table_storage, batched=True, keep_in_memory=True)
whole = data.with_format("arrow").map(**embed, batch_size=23)
embedded = whole[:]
for compression in ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]:
    name = f"datasets-{compression}.parquet"
    if compression == "none":
        # this version leaves images as they are; earlier ones compressed all columns
        whole.to_parquet(os.path.join(folder, name), batch_size=7)
    else:
        pq.write_table(embedded, os.path.join(folder, name), compression=compression, row_group_size=7)
    table = pq.read_table(os.path.join(folder, name))
    assert [r[3] for r in image_rows(table)] == [open(p, "rb").read() for p in photos]
    case(name, [(k, str(l), n, b) for (k, _, n, b), l in zip(image_rows(table), table.column("label").to_pylist())], group="label")

# as push_to_hub does: shards of the data set, images embedded by a map
for i in range(2):
    name = f"pushed-{i}.parquet"
    shard = data.shard(num_shards=2, index=i, contiguous=True).with_format("arrow").map(**embed, batch_size=5)
    shard.to_parquet(os.path.join(folder, name))
    case(name, list(image_rows(pq.read_table(os.path.join(folder, name)))))

# paths only: the images are not in the file
data.to_parquet(os.path.join(folder, "paths-only.parquet"))
pathless = pq.read_table(os.path.join(folder, "paths-only.parquet"))
case("paths-only.parquet", [(k, k, n, b"") for k, _, n, _ in image_rows(pathless)])

lists = [photos[:3], [], photos[3:4], None, photos[4:9], []] * 4
several = datasets.Dataset.from_dict({"images": lists}, features=datasets.Features({"images": datasets.Sequence(datasets.Image())}))
several = several.with_format("arrow").map(**embed, batch_size=7)
several.to_parquet(os.path.join(folder, "list.parquet"), batch_size=10)
rows = []
for i, images in enumerate(pq.read_table(os.path.join(folder, "list.parquet")).column("images").to_pylist()):
    first = (images or [{}])[0]
    path = first.get("path")
    rows.append((stem(path) if path else f"row {i}",) * 2 + (path or "images", first.get("bytes") or b""))
case("list.parquet", rows, further=4 * (2 + 4))

# a sound has the form of an image; metadata tells them apart
media = datasets.Features({"sound": datasets.Audio(), "picture": datasets.Image()})
struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
mixed = pa.table(
    {
        "sound": pa.array([{"bytes": b"RIFF", "path": "a.wav"}] * 3, struct),
        "picture": pa.array([{"bytes": noise(50), "path": f"p{i}.jpg"} for i in range(3)], struct),
    }
).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": media.to_dict()}})})
case("sound.parquet", list(image_rows(written("sound.parquet", mixed), "picture")))

# --- pyarrow: encodings, pages, checksums -----------------------------------
many = [{"bytes": noise(random.randrange(1, 3000)), "path": f"dir.x/{i}.a.jpg"} for i in range(300)]
for i in range(0, 300, 41):
    many[i] = None
for i in range(5, 300, 37):
    many[i] = {"bytes": None, "path": f"only/{i}.png"}
for i in range(7, 300, 53):
    many[i] = {"bytes": noise(9), "path": None}
repeated = [dict(image) if image else None for image in (many[1:6] * 60)]
ids = list(range(-150, 150))
odd = {
    "when": pa.array([datetime.datetime(2020, 1, 1)] * 300, pa.timestamp("ns")),
    "price": pa.array([decimal.Decimal("1.25")] * 300, pa.decimal128(30, 2)),
    "half": pa.array([1.5] * 300, pa.float16()),
    "map": pa.array([[("k", 1)]] * 300, pa.map_(pa.string(), pa.int8())),
    "deep": pa.array([[[{"x": [1]}]]] * 300, pa.list_(pa.list_(pa.struct([("x", pa.list_(pa.int32()))])))),
    "flag": pa.array([True, None, False] * 100),
}
for version in ["1.0", "2.0"]:
    for codec in ["none", "snappy", "zstd", "gzip", "lz4"]:
        for encoding in ["plain", "dictionary", "delta"]:
            name = f"pages-{version[0]}-{codec}-{encoding}.parquet"
            source = repeated if encoding == "dictionary" else many
            table = pa.table({"when": odd["when"], "image": pa.array(source, struct), "map": odd["map"], "n": pa.array(ids, pa.int64()), "deep": odd["deep"], "flag": odd["flag"]})
            delta = {"image.bytes": "DELTA_LENGTH_BYTE_ARRAY", "image.path": "DELTA_BYTE_ARRAY", "n": "DELTA_BINARY_PACKED"}
            read = written(
                name,
                table,
                compression=codec,
                data_page_version=version,
                use_dictionary=["image.bytes", "image.path", "n"] if encoding == "dictionary" else False,
                column_encoding=delta if encoding == "delta" else None,
                write_page_checksum=True,
                data_page_size=2000,
                write_batch_size=16,
                row_group_size=110,
                use_deprecated_int96_timestamps=True,
            )
            case(name, [(k, str(n), m, b) for (k, _, m, b), n in zip(image_rows(read), ids)], group="n")

# --- columns ----------------------------------------------------------------
keys = [f"00{i}" for i in range(20)]
bodies = [noise(100 + i) for i in range(20)]
meta = [{"group": f"g{i // 4}", "other": i} for i in range(20)]
group = [f"g{i // 4}" for i in range(20)]
wds = list(zip(keys, group, ["jpg"] * 20, bodies))
for form, column in {
    "struct": pa.array(meta),
    "string": pa.array([json.dumps(m) for m in meta]),
    "binary": pa.array([json.dumps(m).encode() for m in meta], pa.large_binary()),
}.items():
    name = f"webdataset-{form}.parquet"
    written(name, pa.table({"jpg": pa.array(bodies, pa.large_binary()), "json": column, "__key__": pa.array(keys, pa.large_string()), "__url__": ["x.tar"] * 20}))
    case(name, wds, group="group")
    case(name, [(k, k, n, b) for k, _, n, b in wds])
    case(name, [(k, k, n, b) for k, _, n, b in wds], group="nothing")
numbers = {
    "u32": (pa.uint32(), [4_000_000_000 + i for i in range(20)]),
    "u64": (pa.uint64(), [18_000_000_000_000_000_000 + i for i in range(20)]),
    "i8": (pa.int8(), [i - 10 for i in range(20)]),
    "i64": (pa.int64(), [(i - 10) * 10**17 for i in range(20)]),
    "null": (pa.int32(), [None if i % 2 else i for i in range(20)]),
}
for name, (kind, values) in numbers.items():
    for delta in [False, True]:
        file = f"group-{name}-{delta}.parquet"
        written(file, pa.table({"g": pa.array(values, kind), "image": pa.array(bodies)}), use_dictionary=False, column_encoding={"g": "DELTA_BINARY_PACKED"} if delta else None)
        case(file, [(f"row {i}", f"row {i}" if v is None else str(v), "image", b) for i, (v, b) in enumerate(zip(values, bodies))], group="g")
written("categories.parquet", pa.table({"id": pa.array(range(20)), "g": pa.array(group).dictionary_encode(), "image": bodies}))
case("categories.parquet", [(f"row {i}", group[i], "image", bodies[i]) for i in range(20)], group="g")

# required columns; a struct within a struct; names with dots; the key behind the image and before it
inner = pa.struct([pa.field("path", pa.string(), False), pa.field("bytes", pa.large_binary(), False)])
nested = pa.schema([pa.field("sample", pa.struct([pa.field("a.b", inner, False), pa.field("g.x", pa.string())]), False), pa.field("id", pa.string())])
table = pa.table({"sample": [{"a.b": {"path": f"{k}.png", "bytes": b}, "g.x": g} for k, b, g in zip(keys, bodies, group)], "id": keys}, nested)
written("nested.parquet", table, data_page_version="2.0", compression="zstd")
case("nested.parquet", [(k, g, f"{k}.png", b) for k, g, b in zip(keys, group, bodies)], group="sample.g.x", image="sample.a.b")
case("nested.parquet", [(k, k, f"{k}.png", b) for k, b in zip(keys, bodies)])
case("nested.parquet", [(k, k, "sample.a.b.bytes", b) for k, b in zip(keys, bodies)], image="sample.a.b.bytes")

# lists of plain bytes and of structs, rows that go over pages
spread = [[noise(random.randrange(400)) for _ in range(random.randrange(9))] for _ in range(120)]
for version in ["1.0", "2.0"]:
    name = f"spread-{version[0]}.parquet"
    written(name, pa.table({"crops": pa.array(spread, pa.large_list(pa.binary())), "key": [f"k{i}" for i in range(120)]}), data_page_size=700, write_batch_size=3, row_group_size=50, data_page_version=version)
    rows = [(f"k{i}", f"k{i}", "crops", next((one for one in row if one), b"")) for i, row in enumerate(spread)]
    case(name, rows, further=sum(max(len(row) - 1, 0) for row in spread), image="crops")

written("many-columns.parquet", pa.table({**{f"column {i}": pa.array([1]) for i in range(3000)}, "png": [noise(70_000)]}))
case("many-columns.parquet", [("row 0", "row 0", "png", pq.read_table(os.path.join(folder, "many-columns.parquet")).column("png")[0].as_py())])
big = pa.table({"image": bodies}).replace_schema_metadata({"filler": noise(400_000).hex()})
written("large-footer.parquet", big)
case("large-footer.parquet", [(f"row {i}", f"row {i}", "image", b) for i, b in enumerate(bodies)])
written("empty.parquet", pa.table({"image": pa.array([], struct)}))
case("empty.parquet", [])
large = [noise(1_500_000) for _ in range(4)]
written("large.parquet", pa.table({"image": pa.array([{"bytes": b, "path": f"{i}.jpg"} for i, b in enumerate(large)], struct)}), row_group_size=3)
case("large.parquet", [(str(i), str(i), f"{i}.jpg", b) for i, b in enumerate(large)])
with pq.ParquetWriter(os.path.join(folder, "empty-groups.parquet"), pa.schema([("image", pa.binary())])) as writer:
    for size in [3, 0, 2, 0]:
        writer.write_table(pa.table({"image": pa.array(bodies[:size], pa.binary())}))
case("empty-groups.parquet", [(f"row {i}", f"row {i}", "image", bodies[j]) for i, j in enumerate([0, 1, 2, 0, 1])])

import pandas

frame = pandas.DataFrame({"key": keys, "img": bodies, "score": [0.5] * 20})
for codec in ["snappy", "gzip"]:
    frame.to_parquet(os.path.join(folder, f"pandas-{codec}.parquet"), compression=codec)
    case(f"pandas-{codec}.parquet", [(k, k, "img", b) for k, b in zip(keys, bodies)])

# --- small ones, to be damaged by parquet-hostile.ts -------------------------
tiny = [{"bytes": noise(i % 50), "path": f"{i}.jpg"} if i % 7 else None for i in range(40)]
for version in ["1.0", "2.0"]:
    for codec in ["none", "snappy", "zstd", "gzip", "brotli", "lz4"]:
        for encoding in ["plain", "dictionary", "delta"]:
            listed = encoding == "dictionary"
            column = [[one, one] for one in tiny] if listed else tiny
            prefix = "image.list.element" if listed else "image"
            delta = {f"{prefix}.bytes": "DELTA_BYTE_ARRAY", f"{prefix}.path": "DELTA_LENGTH_BYTE_ARRAY", "n": "DELTA_BINARY_PACKED"}
            written(
                f"hostile-{version[0]}-{codec}-{encoding}.parquet",
                pa.table({"n": pa.array(range(40)), "image": pa.array(column, pa.list_(struct) if listed else struct)}),
                compression=codec,
                data_page_version=version,
                use_dictionary=listed,
                column_encoding=delta if encoding == "delta" else None,
                write_page_checksum=True,
                write_batch_size=4,
                data_page_size=100,
                row_group_size=25,
            )

# --- what Node can't decompress itself ---------------------------------------
text = " ".join(random.choice(["red", "green", "a longer word", "b" * 90]) for _ in range(9000)).encode()
blocks = [b"", b"x", b"ab" * 70_000, bytes(200_000), noise(70_000), text, noise(300) * 400, text[:70] + noise(70) + text]
vectors = [
    {
        "codec": codec,
        "size": len(block),
        "sha256": hashlib.sha256(block).hexdigest(),
        "input": base64.b64encode(pa.compress(block, codec=codec, asbytes=True)).decode(),
    }
    for block in blocks
    for codec in ["snappy", "lz4_raw"]
]
with open(os.path.join(folder, "blocks.json"), "w") as file:
    json.dump(vectors, file)

# --- what can't be read ------------------------------------------------------
sounds = datasets.Features({"sound": datasets.Audio()})
only = mixed.select(["sound"]).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": sounds.to_dict()}})})
written("sound-only.parquet", only)
written("no-image.parquet", pa.table({"text": ["a"], "number": [1]}))

import pyarrow.parquet.encryption as pe


class Keys(pe.KmsClient):
    """Keys that are wrapped by nothing."""

    def __init__(self, config):
        super().__init__()

    def wrap_key(self, key, name):
        return base64.b64encode(key)

    def unwrap_key(self, key, name):
        return base64.b64decode(key)


factory = pe.CryptoFactory(Keys)
for name, plaintext in [("encrypted.parquet", False), ("encrypted-plain-footer.parquet", True)]:
    config = pe.EncryptionConfiguration(footer_key="f", column_keys={"c": ["image"]}, plaintext_footer=plaintext)
    properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), config)
    table = pa.table({"image": bodies})
    with pq.ParquetWriter(os.path.join(folder, name), table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)

with open(os.path.join(folder, "expected.json"), "w") as file:
    json.dump(cases, file)
