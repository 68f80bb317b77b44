"""Holds the Hub of test/fixtures/hub.ts to the real clients, `huggingface_hub` and `datasets`.

`hub_clients.py make FOLDER` writes files for its repos; `hub_clients.py check FOLDER` then reads the repos with
HF_ENDPOINT pointing at it and prints the name of each check that holds.
"""

import hashlib
import io
import json
import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHARDS = Path(__file__).parents[2] / "shards"
PHOTOS = 12


def photos() -> list[tuple[str, bytes]]:
    found = []
    with tarfile.open(SHARDS / "photos-000000.tar") as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file and member.name.endswith(".jpg"):
                found.append((member.name, file.read()))
    return found[:PHOTOS]


def make(folder: Path) -> None:
    """Parquet files as `datasets` writes them, and a folder of images."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = {"info": {"features": {"image": {"_type": "Image"}, "name": {"dtype": "string", "_type": "Value"}}}}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("image", image), ("name", pa.string())], {"huggingface": json.dumps(features)})

    def write(name: str, rows: list[tuple[str, bytes]]) -> None:
        path = folder / "parquet" / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = [
            pa.array([{"bytes": data, "path": key} for key, data in rows], image),
            pa.array([key for key, _ in rows]),
        ]
        pq.write_table(pa.table(columns, schema=schema), path, row_group_size=2)

    rows = photos()
    write("train-00000-of-00002.parquet", rows[:5])
    write("train-00001-of-00002.parquet", rows[5:9])
    write("test-00000-of-00001.parquet", rows[9:])
    for i, (name, data) in enumerate(rows):
        path = folder / "images" / ("train" if i < 8 else "test") / f"class {i % 2}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def check(folder: Path) -> None:
    import datasets
    from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, snapshot_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from PIL import Image

    datasets.disable_progress_bars()
    owner, stranger = os.environ["OWNER_TOKEN"], os.environ["STRANGER_TOKEN"]
    api = HfApi(token=False)
    shard = SHARDS / "photos-000001.tar"

    def fails(kind: type[Exception], call: Callable[[], Any]) -> Any:
        try:
            call()
        except kind as error:
            return error
        raise AssertionError(f"expected {kind.__name__}")

    def ok(name: str) -> None:
        print(name, flush=True)

    info = api.dataset_info("photos/tars")
    assert info.sha and len(info.sha) == 40 and info.gated is False and info.private is False
    assert [one.rfilename for one in info.siblings or []] == ["README.md", "photos-000000.tar", "photos-000001.tar"]
    tag = api.dataset_info("photos/tars", revision="v1")
    assert tag.sha != info.sha and tag.sha == api.dataset_info("photos/tars", revision=tag.sha).sha
    ok("dataset_info: branch, tag and commit")

    refs = api.list_repo_refs("photos/tars", repo_type="dataset")
    assert [(one.name, one.target_commit) for one in refs.branches] == [("main", info.sha)]
    assert [(one.name, one.target_commit) for one in refs.tags] == [("v1", tag.sha)]
    assert [one.name for one in refs.converts] == ["parquet"]
    ok("list_repo_refs")

    tree = {one.path: one for one in api.list_repo_tree("photos/tars", repo_type="dataset", recursive=True)}
    listed: Any = tree["photos-000001.tar"]
    data = shard.read_bytes()
    assert listed.size == len(data) and listed.lfs.size == len(data)
    assert listed.lfs.sha256 == hashlib.sha256(data).hexdigest()
    readme: Any = tree["README.md"]
    text = b"# photos\n"
    assert readme.lfs is None and readme.blob_id == hashlib.sha1(b"blob %d\0" % len(text) + text).hexdigest()
    ok("list_repo_tree: LFS and git hashes")

    many = list(api.list_repo_tree("photos/many", repo_type="dataset", recursive=True))
    assert len({one.path for one in many}) == len(many) == 2503, len(many)
    below = list(api.list_repo_tree("photos/many", "b/ü #?%", repo_type="dataset", expand=True))
    assert len(below) == 500 and all(one.last_commit for one in below)
    ok("list_repo_tree: pages, folders with odd names")

    found = api.get_paths_info("photos/tars", ["photos-000000.tar", "none", "README.md"], repo_type="dataset")
    assert sorted(one.path for one in found) == ["README.md", "photos-000000.tar"]
    ok("get_paths_info")

    path = hf_hub_download("photos/tars", "photos-000001.tar", repo_type="dataset", token=False)
    assert Path(path).read_bytes() == data
    assert Path(path).resolve().name == listed.lfs.sha256
    path = hf_hub_download("photos/tars", "README.md", repo_type="dataset", token=False)
    assert Path(path).read_bytes() == text and Path(path).resolve().name == readme.blob_id
    ok("hf_hub_download: from LFS and from git")

    snapshot = Path(snapshot_download("photos/folder", repo_type="dataset", token=False))
    wanted = sorted(one.relative_to(folder / "images") for one in (folder / "images").rglob("*.jpg"))
    assert sorted(one.relative_to(snapshot) for one in snapshot.rglob("*.jpg")) == wanted
    ok("snapshot_download")

    fs = HfFileSystem(token=False)
    assert fs.ls("datasets/photos/tars@v1", detail=False) == ["datasets/photos/tars@v1/photos-000000.tar"]
    assert fs.glob("datasets/photos/folder/**/*.jpg") == [f"datasets/photos/folder/{one}" for one in map(str, wanted)]
    assert fs.info("datasets/photos/tars@refs/convert/parquet/default/train/0000.parquet")["type"] == "file"
    with fs.open("datasets/photos/tars/photos-000001.tar", "rb", block_size=100_000) as file:
        file.seek(1_000_000)
        assert file.read(300_000) == data[1_000_000:1_300_000]
        file.seek(len(data) - 10)
        assert file.read() == data[-10:]
    ok("HfFileSystem: ls, glob, ranges")

    fails(RepositoryNotFoundError, lambda: HfApi(token=stranger).dataset_info("photos/none"))
    assert fails(HfHubHTTPError, lambda: api.dataset_info("photos/none")).response.status_code == 401
    assert fails(HfHubHTTPError, lambda: api.dataset_info("photos/private")).response.status_code == 401
    fails(RepositoryNotFoundError, lambda: HfApi(token=stranger).dataset_info("photos/private"))
    assert HfApi(token=owner).dataset_info("photos/private").private
    wrong = fails(HfHubHTTPError, lambda: HfApi(token="hf_wrong").dataset_info("photos/tars"))
    assert wrong.response.status_code == 401 and not isinstance(wrong, RepositoryNotFoundError)
    fails(RevisionNotFoundError, lambda: api.dataset_info("photos/tars", revision="none"))
    fails(EntryNotFoundError, lambda: hf_hub_download("photos/tars", "none", repo_type="dataset", token=False))
    fails(EntryNotFoundError, lambda: list(api.list_repo_tree("photos/tars", "none", repo_type="dataset")))
    ok("errors: repo, revision, entry, token")

    def gated(token: Any) -> str:
        return hf_hub_download("photos/gated", "a.tar", repo_type="dataset", token=token)

    assert api.dataset_info("photos/gated").gated == "manual"
    fails(GatedRepoError, lambda: gated(False))
    fails(GatedRepoError, lambda: gated(stranger))
    fails(GatedRepoError, lambda: HfApi(token=stranger).auth_check("photos/gated", repo_type="dataset"))
    HfApi(token=owner).auth_check("photos/gated", repo_type="dataset")
    assert Path(gated(owner)).read_bytes() == b"a" * 2000
    ok("gated")

    assert api.dataset_info("old/name").id == "photos/tars"
    assert Path(hf_hub_download("old/name", "README.md", repo_type="dataset", token=False)).read_bytes() == text
    ok("renamed")

    assert [one.path for one in api.list_repo_tree("photos/busy", repo_type="dataset")] == ["a.tar"]
    path = hf_hub_download("photos/busy", "a.tar", repo_type="dataset", token=False)
    assert Path(path).read_bytes() == (SHARDS / "photos-000000.tar").read_bytes()
    ok("a busy Hub, a download that is cut")

    snapshot_download("photos/tars", repo_type="dataset", token=False)

    def digest(rows: Any, column: str) -> list[str]:
        rows = rows.cast_column(column, datasets.Image(decode=False))
        out = []
        for row in rows:
            image = row[column]
            if image:  # a sample may have its image under another extension
                out.append(hashlib.sha256(image["bytes"] or Path(image["path"]).read_bytes()).hexdigest())
        return out

    def pixels(image: Any) -> str:
        return hashlib.sha256(image.tobytes()).hexdigest()

    hashes = [hashlib.sha256(image).hexdigest() for _, image in photos()]
    for streaming in (True, False):
        how = "streaming" if streaming else "downloaded"
        rows = datasets.load_dataset("photos/parquet", split="train", streaming=streaming, token=owner)
        assert digest(rows, "image") == hashes[:9]
        ok(f"load_dataset: Parquet, {how}")
        rows = datasets.load_dataset("photos/tars", split="train", streaming=streaming, token=False)
        assert digest(rows, "jpg")[:PHOTOS] == hashes
        ok(f"load_dataset: WebDataset, {how}")
        rows = datasets.load_dataset("photos/folder", split="test", streaming=streaming, token=False)
        tests = [pixels(Image.open(io.BytesIO(image))) for _, image in photos()[8:]]
        assert sorted(pixels(row["image"]) for row in rows) == sorted(tests)
        ok(f"load_dataset: image folder, {how}")


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](Path(sys.argv[2]))
