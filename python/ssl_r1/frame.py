"""Frames: 16 bytes of prefix, a msgpack map, a body. docs/protocol.md is normative."""

from __future__ import annotations

import math
import struct
import zlib
from typing import Any, Final

import msgpack

from .errors import ProtocolError

PREFIX_BYTES: Final = 16
MAX_FRAME_BYTES: Final = 64 * 1024 * 1024
PROTOCOL_VERSION: Final = 1

HELLO: Final = 1
GET: Final = 2
STREAM: Final = 3
CREDIT: Final = 4
CANCEL: Final = 5
FEEDBACK: Final = 6
POLL: Final = 7
BYE: Final = 8
WELCOME: Final = 65
CELL: Final = 66
END: Final = 67
DONE: Final = 68
ERROR: Final = 69
INFO: Final = 70

_PREFIX = struct.Struct(">4sB3sII")
_MAGIC = b"R1S\x01"
_LARGEST = 2**53 - 1
_MAX_DEPTH = 32
#: Bytes of a checksum at the end of a map.
_SUM = 4


def pack_frame(kind: int, meta: dict[str, Any], body: bytes = b"") -> bytes:
    """With `crc`, so that the other side sees what was damaged on the way."""
    # The largest integer that every reader takes for four bytes holds their place.
    packed: bytes = msgpack.packb({**meta, "crc": 0x7FFF_FFFF})
    head = _PREFIX.pack(_MAGIC, kind, b"\0\0\0", len(packed), len(body)) + packed[:-_SUM]
    return b"".join((head, zlib.crc32(body, zlib.crc32(head)).to_bytes(_SUM, "big"), body))


def open_frame(prefix: bytes | bytearray, packed: bytes | bytearray, body: bytes | memoryview) -> dict[str, Any]:
    """The map of a frame, or a ProtocolError where it is none, or not what was sent."""
    meta = unpack_meta(packed)
    crc = meta.get("crc")
    if crc is not None and crc != zlib.crc32(body, zlib.crc32(memoryview(packed)[:-_SUM], zlib.crc32(prefix))):
        raise ProtocolError("BAD_FRAME", "a frame whose checksum does not fit: bytes were damaged on the way")
    return meta


def read_prefix(prefix: bytes | bytearray, limit: int = MAX_FRAME_BYTES) -> tuple[int, int, int]:
    """Kind of message, bytes of the map, bytes of the body. Nothing has been allocated for the frame by then."""
    magic, kind, zero, meta, body = _PREFIX.unpack(prefix)
    if magic != _MAGIC:
        raise ProtocolError("BAD_FRAME", "not a frame of this protocol: the first four bytes are not R1S and version 1")
    if zero != b"\0\0\0":
        raise ProtocolError("BAD_FRAME", "bytes 5 to 7 of a frame must be 0")
    if PREFIX_BYTES + meta + body > limit:
        raise ProtocolError("FRAME_TOO_LARGE", f"a frame of {PREFIX_BYTES + meta + body} bytes, at most {limit} are allowed here")
    if meta == 0:
        raise ProtocolError("BAD_FRAME", "a frame without its map")
    return kind, meta, body


def unpack_meta(packed: bytes | bytearray | memoryview) -> dict[str, Any]:
    """One map of JSON values with text keys, or a ProtocolError."""
    try:
        meta = msgpack.unpackb(packed, raw=False, strict_map_key=True, ext_hook=_refuse)
    except (ValueError, TypeError, RecursionError) as error:
        raise ProtocolError("BAD_FRAME", f"the map of a frame is damaged: {error}") from None
    if type(meta) is not dict:
        raise ProtocolError("BAD_FRAME", "the map of a frame is not a map")
    _check_map(meta, 1)
    return meta


def _refuse(code: int, data: bytes) -> None:
    raise ValueError("msgpack extensions are not allowed")


def _check_map(value: dict[Any, Any], depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ProtocolError("BAD_FRAME", f"maps and arrays nested deeper than {_MAX_DEPTH}")
    for key, item in value.items():
        if type(key) is not str:
            raise ProtocolError("BAD_FRAME", "a key that is not text")
        if type(item) is not str:
            _check(item, depth + 1)


def _check(value: Any, depth: int) -> None:
    kind = type(value)
    if kind is dict:
        _check_map(value, depth)
    elif kind is list:
        if depth > _MAX_DEPTH:
            raise ProtocolError("BAD_FRAME", f"maps and arrays nested deeper than {_MAX_DEPTH}")
        for item in value:
            _check(item, depth + 1)
    elif kind is int:
        if not -_LARGEST <= value <= _LARGEST:
            raise ProtocolError("BAD_FRAME", "an integer beyond 2^53 - 1")
    elif kind is float:
        if not math.isfinite(value):
            raise ProtocolError("BAD_FRAME", "a number that is not finite")
    elif kind is not str and kind is not bool and value is not None:
        raise ProtocolError("BAD_FRAME", f"msgpack type {kind.__name__} is not allowed")
