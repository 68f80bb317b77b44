"""Writes shards with Python's webdataset into a folder, prints what they hold; then, for each shard given, what it and tarfile find there."""

import json
import os
import sys
import tarfile

import webdataset

folder, *paths = sys.argv[1:]

written = [
    {"__key__": key, "jpg": bytes([number]) * (number * 300), "seg.png": b"mask" * number, "json": {"group": f"g{number}"}, "cls": number}
    for number, key in enumerate(["a", "b/c", "d.e/f", "ü/図", "x" * 150])
]
for name in ["plain.tar", "packed.tar.gz"]:
    with webdataset.TarWriter(os.path.join(folder, name)) as writer:
        for sample in written:
            writer.write(sample)
with webdataset.ShardWriter(os.path.join(folder, "many-%06d.tar"), maxcount=2, verbose=0) as writer:
    for sample in written:
        writer.write(sample)


def encoded(value):
    if isinstance(value, bytes):
        return value.hex()
    return (json.dumps(value) if isinstance(value, dict) else str(value)).encode().hex()


def described(sample):
    return {"key": sample["__key__"], "members": {name: encoded(value) for name, value in sample.items() if not name.startswith("__")}}


print(json.dumps([described(sample) for sample in written]))
for path in paths:
    samples = webdataset.WebDataset(path, shardshuffle=False, handler=webdataset.reraise_exception)
    with tarfile.open(path) as tar:
        members = [[member.name, member.size, member.mtime, member.uid, member.mode] for member in tar]
    print(json.dumps({"samples": [described(sample) for sample in samples], "members": members}))
