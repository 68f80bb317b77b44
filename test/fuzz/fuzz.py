"""Changed inputs through the parsers of the Python client: fuzz.py SEED SECONDS. With Atheris where it is there, which sees what code they reach."""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

VECTORS = Path(__file__).parents[1] / "vectors" / "protocol"


def load() -> None:
    global Error, frame, model, rewards
    from ssl_r1 import frame, model, rewards
    from ssl_r1.errors import Error


def seeds() -> list[bytes]:
    names = ("messages", "bad", "digest")
    return [bytes.fromhex(one["hex"]) for name in names for one in json.loads((VECTORS / f"{name}.json").read_text())]


def wire(data: bytes) -> None:
    try:
        kind, meta, body = frame.read_prefix(data[:16].ljust(16, b"\0"))
        packed = data[16 : 16 + meta]
        pixels = data[16 + meta : 16 + meta + body]
        if len(packed) < meta or len(pixels) < body:
            # as far as they go, so that what is behind the lengths is looked at
            data = data[:8] + len(packed).to_bytes(4, "big") + len(pixels).to_bytes(4, "big") + data[16:]
        fields = frame.open_frame(data[:16], packed, pixels)
        if kind == frame.CELL:
            model.read_puzzles(fields, memoryview(pixels), False)
            model.read_failed(fields)
        elif kind in (frame.WELCOME, frame.INFO):
            model.read_info(model.mapping(fields, "info"))
            model.read_place(fields)
    except Error as error:
        if error.code not in ("BAD_FRAME", "PROTOCOL", "FRAME_TOO_LARGE"):
            raise


def completion(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for answer in ("90", "C", "2, 3, 1"):
        result = rewards.score(text, answer)
        assert 0 <= result.total <= 2, result


WORDS = [b"\\boxed{", b"}", b"<think>", b"</think>", b"\\text{", b"90", b"C", b"2, 3, 1", "\u3000\uff19".encode()]


def mutate(data: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(2 ** chance.randrange(4)):
        at = chance.randrange(len(made) + 1)
        length = 1 + chance.randrange(2 ** chance.randrange(10))
        draw = chance.randrange(6)
        if draw == 0 and at < len(made):
            made[at] ^= 1 << chance.randrange(8)
        elif draw == 1 and at < len(made):
            made[at] = chance.randrange(256)
        elif draw == 2:
            del made[at : at + length]
        elif draw == 3:
            made[at:at] = made[at : at + length]
        elif draw == 4:
            other = chance.choice(corpus)
            start = chance.randrange(len(other) + 1)
            made[at:at] = other[start : start + length]
        else:
            made[at:at] = chance.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", *WORDS])
    return bytes(made[:20_000])


def unguided(seed: str, seconds: float) -> int:
    load()
    chance = random.Random(seed)
    findings = 0
    for name, take, corpus in (("wire", wire, seeds()), ("rewards", completion, [b"<think>a</think>\\boxed{90}", b"\\boxed{2, 3, 1}"])):
        runs, slowest = 0, 0.0
        end = time.monotonic() + seconds / 2
        while time.monotonic() < end and findings < 10:
            data = mutate(chance.choice(corpus), corpus, chance)
            started = time.monotonic()
            runs += 1
            try:
                take(data)
            except Exception as error:
                findings += 1
                print(f"  {data.hex()}\n  {error!r}")
            slowest = max(slowest, time.monotonic() - started)
        print(f"python {name:11} {runs} inputs, slowest {slowest * 1000:.0f} ms: {findings} findings", flush=True)
    return findings


def guided(seconds: float) -> int:
    import atheris

    with atheris.instrument_imports(include=["ssl_r1"]):
        load()
    folder = Path(sys.argv[3])
    folder.mkdir(exist_ok=True)
    for number, one in enumerate(seeds()):
        (folder / f"seed-{number}").write_bytes(one)

    def take(data: bytes) -> None:
        wire(data)
        completion(data[:3_000])

    atheris.Setup([sys.argv[0], str(folder), f"-max_total_time={int(seconds)}", "-timeout=5", "-rss_limit_mb=1024"], take)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    given = float(sys.argv[2])
    # fuzz.py SEED SECONDS FOLDER: with Atheris, which keeps what it finds in the folder
    sys.exit(1 if (guided(given) if len(sys.argv) > 3 else unguided(sys.argv[1], given)) else 0)
