"""Writes test/vectors/protocol/*.json with msgpack-python and struct alone: neither implementation of the protocol has a hand in it.

python python/tests/make_vectors.py
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import msgpack

FOLDER = Path(__file__).parents[2] / "test" / "vectors" / "protocol"
LARGEST = 2**53 - 1


def prefix(kind: int, meta: int, body: int, magic: bytes = b"R1S\x01", zero: bytes = b"\0\0\0") -> bytes:
    return magic + bytes([kind]) + zero + struct.pack(">II", meta, body)


def frame(kind: int, packed: bytes, body: bytes = b"") -> bytes:
    return prefix(kind, len(packed), len(body)) + packed + body


def pack(meta: Any) -> bytes:
    return msgpack.packb(meta)  # type: ignore[no-any-return]


def good(name: str, sender: str, kind: int, meta: Any, body: bytes = b"", packed: bytes | None = None) -> dict[str, Any]:
    given = pack(meta) if packed is None else packed
    return {"name": name, "from": sender, "hex": frame(kind, given, body).hex(), "kind": kind, "meta": meta, "body": body.hex()}


def sealed(kind: int, meta: dict[str, Any], body: bytes = b"") -> tuple[dict[str, Any], bytes]:
    """The map with its checksum, and its bytes, put together by hand."""
    packed = msgpack.packb({**meta, "crc": 0})[:-1] + b"\xce"
    crc = zlib.crc32(prefix(kind, len(packed) + 4, len(body)) + packed + body)
    return {**meta, "crc": crc}, packed + struct.pack(">I", crc)


def summed(name: str, sender: str, kind: int, meta: dict[str, Any], body: bytes = b"") -> dict[str, Any]:
    with_sum, packed = sealed(kind, meta, body)
    return good(name, sender, kind, with_sum, body, packed)


INFO = {
    "version": 1,
    "fingerprint": "sha256:00ff",
    "identity": {"plan": "0123456789abcdef", "shards": "fedcba9876543210"},
    "seed": LARGEST,
    "batch": 4,
    "partitions": 1,
    "entries": [
        {"name": "rotation", "task": "rotation", "weight": 2, "options": {"angles": [0, 90], "factor": 1.5, "on": True, "none": None}, "images": 2}
    ],
    "shards": 3,
    "samples": 12,
    "counted": False,
    "steps": None,
    "skipped": {"not an image": 1},
}


def puzzle(slot: int, step: int, images: list[tuple[int, int, str, int]], **more: Any) -> dict[str, Any]:
    return {
        "slot": slot,
        "index": step * 4 + slot,
        "entry": "rotation",
        "task": "rotation",
        "prompt": [{"type": "text", "text": "Image 1: "}, {"type": "image"}, {"type": "text", "text": '\n"90°" \\ \u0001 \u007f \u2028 \U0001f4d0'}],
        "images": [{"width": w, "height": h, "format": f, "bytes": n} for w, h, f, n in images],
        "answer": "90",
        "recipe": {"shard": "a.tar", "row": -1, "drawn": [0.5, None, True, {"deep": 2**40}]},
        **more,
    }


FAILED = {"slot": 2, "index": 2, "entry": "rotation", "task": "rotation", "error": {"code": "SLOT_FAILED", "message": "a.tar, key 7: no image"}}
COUNTED = [{"name": "é/a.tar", "size": 2**40, "hash": "sha256:00ff", "rows": 0}, {"name": "b.tar", "size": 0, "rows": LARGEST}]
PIXELS = bytes(range(2 * 1 * 3 + 1 * 2 * 3))
TWO = [puzzle(0, 0, [(2, 1, "raw", 6)]), puzzle(1, 0, [(1, 2, "raw", 6)])]


def nested(depth: int) -> dict[str, Any]:
    """Maps and arrays `depth` deep, the frame's own map included."""
    value: Any = 0
    for level in range(depth - 1):
        value = [value] if level % 2 else {"a": value}
    return {"id": 1, "extra": value}


def positive() -> list[dict[str, Any]]:
    get = {"id": 1, "step": 7}
    return [
        good("hello", "client", 1, {"protocol": 1, "format": "raw", "client": "vectors 1"}),
        good(
            "hello with everything", "client", 1, {"protocol": 1, "format": "png", "client": "é", "token": "secret ☃", "fingerprint": "sha256:00ff"}
        ),
        good("hello that asks for checksums", "client", 1, {"protocol": 1, "format": "raw", "client": "x", "checksum": True}),
        good("nil is missing", "client", 1, {"protocol": 1, "format": "jpeg", "client": "", "token": None, "fingerprint": None}),
        good("get", "client", 2, get),
        good("get with slots in another order", "client", 2, {"id": 2**32, "step": LARGEST, "slots": [3, 0, 1]}),
        good("an unknown field is ignored", "client", 2, {**get, "later": {"x": [1]}}),
        good("integer as float 64", "client", 2, get, packed=b"\x82" + pack("id") + b"\xcb" + struct.pack(">d", 1.0) + pack("step") + pack(7)),
        good("integer as float 32", "client", 2, get, packed=b"\x82" + pack("id") + b"\xca" + struct.pack(">f", 1.0) + pack("step") + pack(7)),
        good("integer as uint 64", "client", 2, get, packed=b"\x82" + pack("id") + b"\xcf" + struct.pack(">Q", 1) + pack("step") + pack(7)),
        good("integer as int 64", "client", 2, get, packed=b"\x82" + pack("id") + b"\xd3" + struct.pack(">q", 1) + pack("step") + pack(7)),
        good("integer as int 8", "client", 2, get, packed=b"\x82" + pack("id") + b"\xd0\x01" + pack("step") + b"\xd1\x00\x07"),
        good("map 16, text 8, 16 and 32", "client", 2, get, packed=b"\xde\x00\x02\xd9\x02id\x01\xdb\x00\x00\x00\x04step\xce\x00\x00\x00\x07"),
        good("map 32 and array 16", "client", 2, {**get, "slots": [1]}, packed=b"\xdf\0\0\0\x03\xda\0\x02id\x01\xa4step\x07\xa5slots\xdc\0\x01\x01"),
        good("array 32", "client", 2, {**get, "slots": [1]}, packed=b"\x83\xa2id\x01\xa4step\x07\xa5slots\xdd\0\0\0\x01\x01"),
        good("integers of one byte, 64 to 127", "client", 2, {"id": 64, "step": 127, "slots": list(range(60, 128))}),
        good("stream", "client", 3, {"id": 2, "step": 0, "credit": 1}),
        good("stream with everything", "client", 3, {"id": 2, "step": 5, "steps": 0, "slots": [0], "credit": 2**40}),
        good("credit", "client", 4, {"id": 2, "bytes": 2**33 + 1}),
        good("cancel", "client", 5, {"id": 2}),
        good(
            "feedback", "client", 6, {"step": 1, "rewards": [{"index": 4, "reward": 1}, {"index": 4, "reward": 0.5}, {"index": 5, "reward": -2.25}]}
        ),
        good("feedback of nothing", "client", 6, {"step": 1, "rewards": []}),
        good("poll", "client", 7, {"id": 3}),
        good("counts", "client", 9, {"id": 4}),
        good("bye", "client", 8, {}),
        good("nested 32 deep", "client", 7, nested(31)),
        good("welcome", "server", 65, {"protocol": 1, "info": INFO}),
        good("welcome of a finite stream", "server", 65, {"protocol": 1, "info": {**INFO, "steps": 0, "entries": [], "skipped": {}}}),
        good("welcome of a server with more calls", "server", 65, {"protocol": 1, "info": INFO, "calls": ["counts", "later"]}),
        good("welcome of one loader of several", "server", 65, {"protocol": 1, "info": INFO, "near": [0, 3], "loaders": ["tcp://a:1", "tcp://b:1"]}),
        good("welcome of a spare loader", "server", 65, {"protocol": 1, "info": INFO, "near": [], "loaders": None}),
        good("welcome without identity", "server", 65, {"protocol": 1, "info": {**INFO, "identity": None}}),
        good("cell", "server", 66, {"id": 1, "step": 0, "cell": 0, "puzzles": TWO, "failed": [FAILED]}, PIXELS),
        good(
            "cell with png and an empty jpeg",
            "server",
            66,
            {"id": 1, "step": 0, "cell": 0, "puzzles": [puzzle(3, 0, [(9, 9, "png", 2), (9, 9, "jpeg", 0)])], "failed": []},
            b"\0\xff",
        ),
        good("cell of failed slots alone", "server", 66, {"id": 1, "step": 0, "cell": 1, "puzzles": [], "failed": [FAILED]}),
        good("puzzle without images", "server", 66, {"id": 1, "step": 0, "cell": 1, "puzzles": [puzzle(0, 0, [])], "failed": []}),
        good("end", "server", 67, {"id": 1, "step": 0}),
        good("done", "server", 68, {"id": 1}),
        good("error of a request", "server", 69, {"id": 1, "code": "BAD_SLOTS", "message": "slot 9 of a batch of 4"}),
        good("error of the connection", "server", 69, {"code": "UNAUTHORIZED", "message": "wrong token"}),
        good("error with a code of the future", "server", 69, {"id": 1, "code": "TOO_PURPLE", "message": "?"}),
        good("info", "server", 70, {"id": 1, "info": INFO}),
        good("counted", "server", 71, {"id": 4, "image": None, "shards": COUNTED}),
        summed("end with a checksum", "server", 67, {"id": 1, "step": 0}),
        summed("poll with a checksum", "client", 7, {"id": 3}),
        summed("cell with a checksum", "server", 66, {"id": 1, "step": 0, "cell": 0, "puzzles": TWO, "failed": [FAILED]}, PIXELS),
        good("a checksum that is nil", "client", 7, {"id": 3, "crc": None}),
        good("counted by a field, nothing yet", "server", 71, {"id": 4, "image": "seg.png", "shards": []}),
    ]


def bad(name: str, sender: str, code: str, data: bytes, limit: int = 2**26) -> dict[str, Any]:
    return {"name": name, "from": sender, "hex": data.hex(), "code": code, "limit": limit}


def poll(extra: bytes) -> bytes:
    """A poll or info-like map with one more value, as raw msgpack."""
    return b"\x82\xa2id\x01\xa1x" + extra


def negative() -> list[dict[str, Any]]:
    cell = {"id": 1, "step": 0, "cell": 0, "puzzles": TWO, "failed": []}
    empty = {**cell, "puzzles": []}
    frames: list[dict[str, Any]] = []
    for sender, kind in (("client", 7), ("server", 68)):
        packed = pack({"id": 1})
        whole = [
            ("another magic", "BAD_FRAME", b"HTTP" + frame(kind, packed)[4:]),
            ("another frame layout", "BAD_FRAME", b"R1S\x02" + frame(kind, packed)[4:]),
            ("bytes 5 to 7 are not zero", "BAD_FRAME", prefix(kind, len(packed), 0, zero=b"\0\1\0") + packed),
            ("no map at all", "BAD_FRAME", prefix(kind, 0, 0)),
            ("lengths that overflow 32 bits", "FRAME_TOO_LARGE", prefix(kind, 2**32 - 1, 2**32 - 1)),
            ("one byte above 64 MiB", "FRAME_TOO_LARGE", prefix(kind, 2**26 - 15, 0)),
            ("unknown kind", "PROTOCOL", frame(99, packed)),
            ("kind 0", "PROTOCOL", frame(0, packed)),
            ("a body where none belongs", "PROTOCOL", frame(kind, packed, b"x")),
            ("id is 0", "PROTOCOL", frame(kind, pack({"id": 0}))),
            ("id is missing", "PROTOCOL", frame(kind, pack({}))),
            ("id has a fraction", "PROTOCOL", frame(kind, pack({"id": 1.5}))),
            ("id is text", "PROTOCOL", frame(kind, pack({"id": "1"}))),
            ("id is true", "PROTOCOL", frame(kind, pack({"id": True}))),
            ("the map is an array", "BAD_FRAME", frame(kind, pack([1]))),
            ("the map is nil", "BAD_FRAME", frame(kind, b"\xc0")),
            ("bytes after the map", "BAD_FRAME", frame(kind, packed + b"\xc0")),
            ("the map ends early", "BAD_FRAME", frame(kind, packed[:-1])),
            ("a key is an integer", "BAD_FRAME", frame(kind, b"\x82\xa2id\x01\x05\x01")),
            ("a key is binary", "BAD_FRAME", frame(kind, b"\x82\xa2id\x01\xc4\x01x\x01")),
            ("a key is an array", "BAD_FRAME", frame(kind, b"\x82\xa2id\x01\x90\x01")),
            ("nested 33 deep", "BAD_FRAME", frame(kind, pack(nested(33)))),
            ("nested 5,000 deep", "BAD_FRAME", frame(kind, poll(b"\x91" * 5_000 + b"\xc0"))),
        ]
        values = [
            ("binary", b"\xc4\x01x"),
            ("fixext 1", b"\xd4\x05x"),
            ("fixext 1 as msgpackr's undefined", b"\xd4\x00\x00"),
            ("ext 8", b"\xc7\x01\x05x"),
            ("ext 16", b"\xc8\x00\x01\x05x"),
            ("ext 32", b"\xc9\x00\x00\x00\x01\x05x"),
            ("a record definition of msgpackr", b"\xd4\x72\x40\x91\xa1a\x01"),
            ("a timestamp", b"\xd6\xff\0\0\0\x01"),
            ("the never-used byte", b"\xc1"),
            ("not a number", b"\xcb" + struct.pack(">d", float("nan"))),
            ("infinity", b"\xca" + struct.pack(">f", float("-inf"))),
            ("an integer of 2^53", b"\xcf" + struct.pack(">Q", 2**53)),
            ("an integer of -2^53", b"\xd3" + struct.pack(">q", -(2**53))),
            ("the largest uint 64", b"\xcf" + b"\xff" * 8),
            ("text that is not UTF-8", b"\xa2\xc3\x28"),
            ("a lone surrogate", b"\xa3\xed\xa0\x80"),
            ("text longer than the map", b"\xdb\xff\xff\xff\xffa"),
            ("an array of 4 billion", b"\xdd\xff\xff\xff\xff\xc0"),
            ("a map of 4 billion", b"\xdf\xff\xff\xff\xff\xa0\xc0"),
            ("a map of 2 billion twice", b"\xdf\x7f\xff\xff\xff\xa0\xdf\x7f\xff\xff\xff"),
        ]
        frames += [bad(f"{sender}: {name}", sender, code, data) for name, code, data in whole]
        frames += [bad(f"{sender}: {name}", sender, "BAD_FRAME", frame(kind, poll(value))) for name, value in values]
    frames += [
        bad("a hello above 64 KiB", "client", "FRAME_TOO_LARGE", prefix(1, 2**16 - 15, 0), 2**16),
        bad("a request above 1 MiB", "client", "FRAME_TOO_LARGE", prefix(6, 2**20 - 15, 0), 2**20),
        bad("a cell from a client", "client", "PROTOCOL", frame(66, pack(empty))),
        bad("hello without a format", "client", "PROTOCOL", frame(1, pack({"protocol": 1, "client": "x"}))),
        bad("hello with another format", "client", "PROTOCOL", frame(1, pack({"protocol": 1, "format": "gif", "client": "x"}))),
        bad("hello with a number as token", "client", "PROTOCOL", frame(1, pack({"protocol": 1, "format": "raw", "client": "x", "token": 5}))),
        bad(
            "hello with a text as checksum", "client", "PROTOCOL", frame(1, pack({"protocol": 1, "format": "raw", "client": "x", "checksum": "yes"}))
        ),
        bad("get without a step", "client", "PROTOCOL", frame(2, pack({"id": 1}))),
        bad("get of a negative step", "client", "PROTOCOL", frame(2, pack({"id": 1, "step": -1}))),
        bad("slots are no array", "client", "PROTOCOL", frame(2, pack({"id": 1, "step": 1, "slots": 3}))),
        bad("a slot is negative", "client", "PROTOCOL", frame(2, pack({"id": 1, "step": 1, "slots": [-1]}))),
        bad("a slot is text", "client", "PROTOCOL", frame(2, pack({"id": 1, "step": 1, "slots": ["1"]}))),
        bad("stream without credit", "client", "PROTOCOL", frame(3, pack({"id": 1, "step": 1}))),
        bad("credit of nothing", "client", "PROTOCOL", frame(4, pack({"id": 1, "bytes": 0}))),
        bad("rewards are a map", "client", "PROTOCOL", frame(6, pack({"step": 1, "rewards": {"1": 1}}))),
        bad("a reward is text", "client", "PROTOCOL", frame(6, pack({"step": 1, "rewards": [{"index": 1, "reward": "1"}]}))),
        bad("a reward is no map", "client", "PROTOCOL", frame(6, pack({"step": 1, "rewards": [1]}))),
        bad("get from a server", "server", "PROTOCOL", frame(2, pack({"id": 1, "step": 0}))),
        bad("cell with a body too short", "server", "PROTOCOL", frame(66, pack(cell), PIXELS[:-1])),
        bad("cell with a body too long", "server", "PROTOCOL", frame(66, pack(cell), PIXELS + b"x")),
        bad("cell without its body", "server", "PROTOCOL", frame(66, pack(cell))),
        bad(
            "raw image of the wrong size", "server", "PROTOCOL", frame(66, pack({**cell, "puzzles": [puzzle(0, 0, [(2, 1, "raw", 7)])]}), b"1234567")
        ),
        bad("image without pixels", "server", "PROTOCOL", frame(66, pack({**cell, "puzzles": [puzzle(0, 0, [(0, 1, "raw", 0)])]}))),
        bad("image of another format", "server", "PROTOCOL", frame(66, pack({**cell, "puzzles": [puzzle(0, 0, [(1, 1, "gif", 1)])]}), b"x")),
        bad(
            "prompt part of another type", "server", "PROTOCOL", frame(66, pack({**cell, "puzzles": [puzzle(0, 0, [], prompt=[{"type": "audio"}])]}))
        ),
        bad("text part without text", "server", "PROTOCOL", frame(66, pack({**cell, "puzzles": [puzzle(0, 0, [], prompt=[{"type": "text"}])]}))),
        bad("puzzles are missing", "server", "PROTOCOL", frame(66, pack({"id": 1, "step": 0, "cell": 0, "failed": []}))),
        bad("recipe is text", "server", "PROTOCOL", frame(66, pack({**cell, "puzzles": [puzzle(0, 0, [], recipe="r")]}))),
        bad("failed slot without its error", "server", "PROTOCOL", frame(66, pack({**empty, "failed": [{**FAILED, "error": "x"}]}))),
        bad("calls are no array", "server", "PROTOCOL", frame(65, pack({"protocol": 1, "info": INFO, "calls": "counts"}))),
        bad("a call is a number", "server", "PROTOCOL", frame(65, pack({"protocol": 1, "info": INFO, "calls": [9]}))),
        bad("a part of the identity is a number", "server", "PROTOCOL", frame(65, pack({"protocol": 1, "info": {**INFO, "identity": {"plan": 1}}}))),
        bad("near is no array", "server", "PROTOCOL", frame(65, pack({"protocol": 1, "info": INFO, "near": 1}))),
        bad("a near partition is negative", "server", "PROTOCOL", frame(65, pack({"protocol": 1, "info": INFO, "near": [-1]}))),
        bad("a loader is a number", "server", "PROTOCOL", frame(65, pack({"protocol": 1, "info": INFO, "loaders": [1]}))),
        bad("a checksum of other pixels", "server", "BAD_FRAME", frame(66, sealed(66, cell, PIXELS)[1], PIXELS[6:] + PIXELS[:6])),
        bad("a checksum of another map", "server", "BAD_FRAME", frame(67, sealed(67, {"id": 1, "step": 0})[1].replace(b"step\0", b"step\1"))),
        bad("a checksum of another kind", "server", "BAD_FRAME", frame(68, sealed(67, {"id": 1, "step": 0})[1])),
        bad("a checksum that is text", "client", "BAD_FRAME", frame(7, pack({"id": 1, "crc": "0"}))),
        bad("counts without an id", "client", "PROTOCOL", frame(9, pack({}))),
        bad("counted without shards", "server", "PROTOCOL", frame(71, pack({"id": 1, "image": None}))),
        bad("counted shard without rows", "server", "PROTOCOL", frame(71, pack({"id": 1, "image": None, "shards": [{"name": "a", "size": 1}]}))),
        bad("a shard of negative rows", "server", "PROTOCOL", frame(71, pack({"id": 1, "shards": [{"name": "a", "size": 1, "rows": -1}]}))),
        bad("the hash of a shard is a number", "server", "PROTOCOL", frame(71, pack({"id": 1, "shards": [{**COUNTED[0], "hash": 5}]}))),
        bad("end without a step", "server", "PROTOCOL", frame(67, pack({"id": 1}))),
        bad("error without a code", "server", "PROTOCOL", frame(69, pack({"id": 1, "message": "x"}))),
    ]
    return frames


def digests() -> list[dict[str, Any]]:
    """The digest's bytes written out by hand, where a reader of docs/protocol.md can follow them."""
    text = '"Image 1: "', r'"\n\"90°\" \\ \u0001' + ' \u007f \u2028 \U0001f4d0"'
    prompt = f'[{{"text":{text[0]},"type":"text"}},{{"type":"image"}},{{"text":{text[1]},"type":"text"}}]'
    lines = [
        f'{{"answer":"90","entry":"rotation","images":[[2,1]],"index":0,"prompt":{prompt},"slot":0,"task":"rotation"}}\n'.encode() + PIXELS[:6],
        f'{{"answer":"90","entry":"rotation","images":[[1,2]],"index":1,"prompt":{prompt},"slot":1,"task":"rotation"}}\n'.encode() + PIXELS[6:],
        b'{"failed":2}\n',
    ]
    cells = [
        {"id": 1, "step": 0, "cell": 0, "puzzles": TWO, "failed": [FAILED]},
        {"id": 1, "step": 0, "cell": 0, "puzzles": TWO[::-1], "failed": [FAILED]},
        {"id": 1, "step": 0, "cell": 0, "puzzles": [], "failed": []},
    ]
    bodies = [PIXELS, PIXELS[6:] + PIXELS[:6], b""]
    hashes = [hashlib.sha256(b"".join(lines))] * 2 + [hashlib.sha256(b"")]
    names = ["two puzzles and a failed slot", "the same in another order", "nothing"]
    return [
        {"name": name, "hex": frame(66, pack(cell), body).hex(), "digest": "sha256:" + sha.hexdigest()}
        for name, cell, body, sha in zip(names, cells, bodies, hashes, strict=True)
    ]


def write(name: str, vectors: list[dict[str, Any]]) -> None:
    lines = ",\n".join("  " + json.dumps(vector, ensure_ascii=True) for vector in vectors)
    (FOLDER / name).write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    write("messages.json", positive())
    write("bad.json", negative())
    write("digest.json", digests())
