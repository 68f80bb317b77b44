"""What a server sends: puzzles, batches and what there is to know about the stream."""

from __future__ import annotations

import hashlib
import io
import json
import operator
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar

from .errors import BadOption, ProtocolError

if TYPE_CHECKING:
    import numpy
    import numpy.typing
    import PIL.Image

T = TypeVar("T")


@dataclass(frozen=True)
class Image:
    """One image as it travelled. ``data`` is a view of the receive buffer, which is used again only when no view of it is left."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    format: str
    """raw (height x width x 3 bytes, RGB), jpeg or png."""
    data: memoryview

    def array(self) -> numpy.typing.NDArray[numpy.uint8]:
        """Height x width x 3, RGB. For raw images a view, made in a microsecond; others are decoded by Pillow at each call."""
        import numpy

        if self.format != "raw":
            return numpy.array(self.pil())
        return numpy.frombuffer(self.data, numpy.uint8).reshape(self.height, self.width, 3)

    def pil(self) -> PIL.Image.Image:
        """An RGB image with its own memory. Needs Pillow."""
        import PIL.Image

        if self.format == "raw":
            return PIL.Image.frombytes("RGB", (self.width, self.height), self.data)
        with PIL.Image.open(io.BytesIO(self.data)) as image:
            decoded: PIL.Image.Image = image.convert("RGB")
            return decoded

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        data = pickle.PickleBuffer(self.data) if operator.index(protocol) >= 5 else bytearray(self.data)
        return _restore_image, (self.width, self.height, self.format, data)


def _restore_image(width: int, height: int, format: str, data: Any) -> Image:
    return Image(width, height, format, memoryview(data))


@dataclass(frozen=True)
class Puzzle:
    slot: int
    """Position in the batch."""
    index: int
    """Number of the puzzle in the stream: step * batch + slot."""
    entry: str
    """Name of the mix entry, such as "ordering-2x2"."""
    task: str
    prompt: list[dict[str, str]]
    """Content parts: {"type": "text", "text": ...} or {"type": "image"}; the n-th image part stands for the n-th image."""
    shown: list[Image]
    """The images as they travelled."""
    answer: str
    """Canonical: "90", "C" or "2, 3, 1"."""
    recipe: dict[str, Any]
    """Where it came from, and every drawn parameter."""

    @property
    def images(self) -> list[Any]:
        """Arrays of height x width x 3, uint8, RGB; views where the images are raw. Without numpy: memoryviews of that shape (raw only)."""
        try:
            import numpy as _  # noqa: F401
        except ImportError:
            return [_shaped(image) for image in self.shown]
        return [image.array() for image in self.shown]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The prompt as a chat of one user message, as chat templates take it. Its parts are copies."""
        return [{"role": "user", "content": [dict(part) for part in self.prompt]}]

    def pil(self) -> list[PIL.Image.Image]:
        """The images as Pillow images, RGB. Needs Pillow."""
        return [image.pil() for image in self.shown]


def _shaped(image: Image) -> memoryview:
    if image.format != "raw":
        raise BadOption("BAD_OPTION", f"{image.format} images as arrays need numpy and Pillow; `shown` has their bytes")
    return image.data.cast("B", (image.height, image.width, 3))


@dataclass(frozen=True)
class FailedSlot:
    """A slot for which no usable image was found."""

    slot: int
    index: int
    entry: str
    task: str
    code: str
    message: str
    """Names shard, key and reason."""


@dataclass(frozen=True)
class Batch:
    step: int
    puzzles: list[Puzzle]
    """In slot order, or in the order asked for."""
    failed: list[FailedSlot]

    def __len__(self) -> int:
        return len(self.puzzles)

    def __iter__(self) -> Iterator[Puzzle]:
        return iter(self.puzzles)

    def digest(self) -> str:
        """ "sha256:" and a hash of all that the batch shows (docs/protocol.md, Batch digest). Raw images only."""
        sha = hashlib.sha256()
        for puzzle in sorted(self.puzzles, key=lambda puzzle: puzzle.slot):
            if any(image.format != "raw" for image in puzzle.shown):
                raise BadOption("BAD_OPTION", "a digest is defined for raw images only")
            line = {
                "answer": puzzle.answer,
                "entry": puzzle.entry,
                "images": [[image.width, image.height] for image in puzzle.shown],
                "index": puzzle.index,
                "prompt": puzzle.prompt,
                "slot": puzzle.slot,
                "task": puzzle.task,
            }
            sha.update(_canonical(line))
            for image in puzzle.shown:
                sha.update(image.data)
        for failed in sorted(self.failed, key=lambda failed: failed.slot):
            sha.update(_canonical({"failed": failed.slot}))
        return "sha256:" + sha.hexdigest()


def _canonical(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


@dataclass(frozen=True)
class EntryInfo:
    name: str
    task: str
    weight: int
    options: dict[str, Any]
    images: int
    """Images in one puzzle of this entry."""


@dataclass(frozen=True)
class Info:
    """What a client learns when it connects."""

    version: int
    """Of the stream format: two versions make different bits."""
    fingerprint: str
    identity: dict[str, str]
    """Short hashes of the fingerprint's parts (plan, entries, shards, ...): tell which differ between two streams. Empty from an old server."""
    seed: int
    batch: int
    """Puzzles in a batch."""
    partitions: int
    entries: list[EntryInfo]
    shards: int
    samples: int
    """Rows counted so far ..."""
    counted: bool
    """... and whether that is all of them."""
    steps: int | None
    """Number of batches of a finite stream."""
    skipped: dict[str, int]
    """Unusable rows met so far, by reason."""


def read_info(meta: dict[str, Any]) -> Info:
    steps = meta.get("steps")
    return Info(
        version=integer(meta, "version"),
        fingerprint=text(meta, "fingerprint"),
        identity={} if meta.get("identity") is None else {part: text(mapping(meta, "identity"), part) for part in mapping(meta, "identity")},
        seed=integer(meta, "seed"),
        batch=integer(meta, "batch", 1),
        partitions=integer(meta, "partitions", 1),
        entries=[
            EntryInfo(text(entry, "name"), text(entry, "task"), integer(entry, "weight", 1), mapping(entry, "options"), integer(entry, "images"))
            for entry in mappings(meta, "entries")
        ],
        shards=integer(meta, "shards"),
        samples=integer(meta, "samples"),
        counted=_field(meta, "counted", bool, "true or false"),
        steps=None if steps is None else integer(meta, "steps"),
        skipped={reason: integer(mapping(meta, "skipped"), reason) for reason in mapping(meta, "skipped")},
    )


@dataclass(frozen=True)
class Place:
    """Where a server stands among others."""

    near: list[int] | None = None
    """The partitions that it prefers; it answers for all others too. None where it prefers none."""
    loaders: list[str] | None = None
    """Addresses of all loaders of the stream, as far as it was told."""


def read_place(meta: dict[str, Any]) -> Place:
    """Of a welcome, or of the answer to poll."""
    near: list[int] | None = None
    loaders: list[str] | None = None
    if meta.get("near") is not None:
        numbers: list[Any] = _field(meta, "near", list, "an array of integers")
        near = [integer({"near": value}, "near") for value in numbers]
    if meta.get("loaders") is not None:
        texts: list[Any] = _field(meta, "loaders", list, "an array of text")
        loaders = [text({"loaders": value}, "loaders") for value in texts]
    return Place(near, loaders)


def read_puzzles(meta: dict[str, Any], body: memoryview, copy: bool = False) -> list[Puzzle]:
    """The puzzles of a cell; their images are views of its body, or copies of their own."""
    puzzles: list[Puzzle] = []
    at = 0
    for puzzle in mappings(meta, "puzzles"):
        shown: list[Image] = []
        for image in mappings(puzzle, "images"):
            width, height, size, format = integer(image, "width", 1), integer(image, "height", 1), integer(image, "bytes"), text(image, "format")
            if format not in ("raw", "jpeg", "png"):
                raise ProtocolError("PROTOCOL", f"field format must be one of raw, jpeg, png, and is {format[:60]!r}")
            if format == "raw" and size != width * height * 3:
                raise ProtocolError("PROTOCOL", f"{size} bytes are no raw image of {width} x {height}")
            if at + size > len(body):
                raise ProtocolError("PROTOCOL", "the images of a cell are longer than its body")
            data = body[at : at + size]
            shown.append(Image(width, height, format, memoryview(bytearray(data)) if copy else data))
            at += size
        puzzles.append(
            Puzzle(
                slot=integer(puzzle, "slot"),
                index=integer(puzzle, "index"),
                entry=text(puzzle, "entry"),
                task=text(puzzle, "task"),
                prompt=[_read_part(part) for part in mappings(puzzle, "prompt")],
                shown=shown,
                answer=text(puzzle, "answer"),
                recipe=mapping(puzzle, "recipe"),
            )
        )
    if at != len(body):
        raise ProtocolError("PROTOCOL", "the body of a cell is longer than its images")
    return puzzles


def _read_part(part: dict[str, Any]) -> dict[str, str]:
    kind = part.get("type")
    if kind == "text":
        return {"type": "text", "text": text(part, "text")}
    if kind == "image":
        return {"type": "image"}
    raise ProtocolError("PROTOCOL", f"field type must be text or image, and is {kind!r}")


def read_failed(meta: dict[str, Any]) -> list[FailedSlot]:
    return [
        FailedSlot(
            slot=integer(slot, "slot"),
            index=integer(slot, "index"),
            entry=text(slot, "entry"),
            task=text(slot, "task"),
            code=text(mapping(slot, "error"), "code"),
            message=text(mapping(slot, "error"), "message"),
        )
        for slot in mappings(meta, "failed")
    ]


def integer(meta: dict[str, Any], name: str, least: int = 0) -> int:
    """An integer may arrive as a float with an integral value."""
    value = meta.get(name)
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or not least <= value < 2**53:
        raise _wrong(meta, name, f"an integer from {least} to 2^53 - 1")
    return value


def text(meta: dict[str, Any], name: str) -> str:
    return _field(meta, name, str, "text")


def mapping(meta: dict[str, Any], name: str) -> dict[str, Any]:
    return _field(meta, name, dict, "a map")


def mappings(meta: dict[str, Any], name: str) -> list[dict[str, Any]]:
    values: list[Any] = _field(meta, name, list, "an array of maps")
    for value in values:
        if type(value) is not dict:
            raise _wrong(meta, name, "an array of maps")
    return values


def _field(meta: dict[str, Any], name: str, kind: Callable[..., T], wanted: str) -> T:
    value: Any = meta.get(name)
    if type(value) is not kind:
        raise _wrong(meta, name, wanted)
    return value  # type: ignore[no-any-return]


def _wrong(meta: dict[str, Any], name: str, wanted: str) -> ProtocolError:
    given = repr(meta[name])[:60] if name in meta else "missing"
    return ProtocolError("PROTOCOL", f"field {name} must be {wanted}, and is {given}")
