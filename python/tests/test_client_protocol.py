"""The vectors that the TypeScript side runs too, and servers that misbehave."""

from __future__ import annotations

import json
import random
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

import ssl_r1
from ssl_r1 import frame
from ssl_r1.link import is_open_way
from ssl_r1.model import integer, mapping, read_failed, read_info, read_place, read_puzzles

VECTORS = Path(__file__).parents[2] / "test" / "vectors" / "protocol"


def load(name: str) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in json.loads((VECTORS / f"{name}.json").read_text())]


def split(data: bytes, limit: int = frame.MAX_FRAME_BYTES) -> tuple[int, dict[str, Any], bytes]:
    kind, meta, body = frame.read_prefix(data[:16], limit)
    assert len(data) == 16 + meta + body
    return kind, frame.open_frame(data[:16], data[16 : 16 + meta], data[16 + meta :]), data[16 + meta :]


@pytest.mark.parametrize("vector", load("messages"))
def test_good_frames(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    kind, meta, body = split(data)
    assert (kind, meta, body.hex()) == (vector["kind"], vector["meta"], vector["body"])
    again, packed, same = split(frame.pack_frame(kind, meta, body))
    assert (again, {**packed, "crc": 0}, same) == (kind, {**meta, "crc": 0}, body)
    if kind in (frame.WELCOME, frame.INFO):
        info = read_info(mapping(meta, "info"))
        assert info.steps == meta["info"]["steps"]
        assert info.identity == (meta["info"].get("identity") or {})
        place = read_place(meta)
        assert (place.near, place.loaders) == (meta.get("near"), meta.get("loaders"))
    if kind == frame.CELL:
        puzzles = read_puzzles(meta, memoryview(body))
        assert [puzzle.prompt for puzzle in puzzles] == [puzzle["prompt"] for puzzle in meta["puzzles"]]
        assert b"".join(bytes(image.data) for puzzle in puzzles for image in puzzle.shown) == body
        assert [failed.slot for failed in read_failed(meta)] == [failed["slot"] for failed in meta["failed"]]
    if "id" in meta:
        assert integer(meta, "id", 1) == vector["meta"]["id"]


INFO = {"version": 1, "fingerprint": "f", "seed": 1, "batch": 4, "partitions": 1, "entries": [], "shards": 1}
INFO |= {"samples": 1, "counted": True, "steps": None, "skipped": {}}
WELCOME = frame.pack_frame(frame.WELCOME, {"protocol": 1, "info": INFO})


class Scripted:
    """A server that welcomes and then says what it is told to, in pieces, whatever it is asked; then it closes."""

    def __init__(self, path: Path, answer: bytes, pieces: list[int] | None = None) -> None:
        self.url = f"unix://{path}"
        self._answer = answer
        self._pieces = pieces
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._socket.accept()
        with client:
            client.recv(65536)
            client.sendall(WELCOME)
            client.recv(65536)
            try:
                at = 0
                for piece in self._pieces or [len(self._answer)]:
                    client.sendall(self._answer[at : at + piece])
                    at += piece
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
            except OSError:
                pass

    def __enter__(self) -> str:
        return self.url

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._thread.join(10)


@pytest.mark.parametrize("vector", [given for given in load("bad") if given.values[0]["from"] == "server"])
def test_bad_frames(vector: dict[str, Any], tmp_path: Path) -> None:
    with Scripted(tmp_path / "s", bytes.fromhex(vector["hex"])) as url, ssl_r1.connect(url, reconnect=0) as client:
        with pytest.raises(ssl_r1.ProtocolError) as caught:
            client.get(0)
        assert caught.value.code == vector["code"]
        assert client._link is None


@pytest.mark.parametrize("vector", [given for given in load("bad") if given.values[0]["from"] == "client" and given.values[0]["code"] != "PROTOCOL"])
def test_bad_frames_of_clients(vector: dict[str, Any]) -> None:
    with pytest.raises(ssl_r1.ProtocolError) as caught:
        split(bytes.fromhex(vector["hex"]), vector["limit"])
    assert caught.value.code == vector["code"]


@pytest.mark.parametrize("vector", load("digest"))
def test_digests(vector: dict[str, Any]) -> None:
    _, meta, body = split(bytes.fromhex(vector["hex"]))
    batch = ssl_r1.Batch(0, read_puzzles(meta, memoryview(body)), read_failed(meta))
    assert batch.digest() == vector["digest"]


def answer(steps: int = 1) -> bytes:
    cell = next(vector.values[0] for vector in load("messages") if vector.values[0]["name"] == "cell")
    parts = []
    for step in range(steps):
        meta = {**cell["meta"], "step": step}
        parts += [frame.pack_frame(frame.CELL, meta, bytes.fromhex(cell["body"])), frame.pack_frame(frame.END, {"id": 1, "step": step})]
    return b"".join(parts)


@pytest.mark.parametrize("seed", range(10))
def test_any_split(seed: int, tmp_path: Path) -> None:
    data = answer()
    draw = random.Random(seed)
    pieces: list[int] = []
    while sum(pieces) < len(data):
        pieces.append(draw.choice([1, 1, 2, 15, 16, 17, 100]))
    with Scripted(tmp_path / "s", data, pieces) as url, ssl_r1.connect(url, on_failed="skip") as client:
        batch = client.get(0)
    assert batch.digest() == json.loads((VECTORS / "digest.json").read_text())[0]["digest"]


@pytest.mark.parametrize("cut", [0, 1, 15, 16, 17, 200, -1])
def test_cut_anywhere(cut: int, tmp_path: Path) -> None:
    with Scripted(tmp_path / "s", answer()[:cut]) as url, ssl_r1.connect(url, reconnect=0) as client, pytest.raises(ssl_r1.ConnectionLost):
        client.get(0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("another request", frame.pack_frame(frame.END, {"id": 2, "step": 0})),
        ("another step", frame.pack_frame(frame.END, {"id": 1, "step": 5})),
        ("done without an end", frame.pack_frame(frame.DONE, {"id": 1})),
        ("a second welcome", WELCOME),
    ],
)
def test_answers_to_nothing(name: str, message: bytes, tmp_path: Path) -> None:
    with Scripted(tmp_path / "s", message) as url, ssl_r1.connect(url) as client, pytest.raises(ssl_r1.ProtocolError):
        client.get(0)


def test_a_code_of_the_future(tmp_path: Path) -> None:
    message = frame.pack_frame(frame.ERROR, {"id": 1, "code": "TOO_PURPLE", "message": "?"})
    with Scripted(tmp_path / "s", message) as url, ssl_r1.connect(url) as client, pytest.raises(ssl_r1.ServerError) as caught:
        client.get(0)
    assert caught.value.code == "TOO_PURPLE"


@pytest.mark.parametrize(
    ("url", "is_open"),
    [
        ("tcp://10.0.0.7:1", True),
        ("tcp://[fe80::1]:1", True),
        ("tcp://loader.example:1", True),
        ("tcp://127.0.0.9:1", False),
        ("tcp://localhost:1", False),
        ("tcp://[::1]:1", False),
        ("tls://10.0.0.7:1", False),
        ("unix:///run/a.sock", False),
    ],
)
def test_where_bytes_may_be_damaged_on_the_way(url: str, is_open: bool) -> None:
    assert is_open_way(url) is is_open


@pytest.mark.parametrize("checksum", [None, True, False])
def test_cells_come_with_a_checksum_where_one_is_asked_for(url: str, checksum: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    summed: list[bool] = []
    opened = frame.open_frame

    def watched(prefix: bytearray, packed: bytearray, body: memoryview) -> dict[str, Any]:
        meta = opened(prefix, packed, body)
        if prefix[4] == frame.CELL:
            summed.append("crc" in meta)
        return meta

    monkeypatch.setattr(frame, "open_frame", watched)
    with ssl_r1.connect(url, checksum=checksum) as client:
        client.get(0)
    assert summed == [checksum is True] * 2
