"""Loaders that die, hang or answer wrongly: every batch still comes, once, with the same bits."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Serve, silent_server
from proxy import Cut, Proxy
from test_fleet import SHAPE, connect, digests, pair, plain, until

import ssl_r1
from ssl_r1 import frame
from ssl_r1.frame import CELL, DONE, END, ERROR, GET, INFO, WELCOME, pack_frame
from ssl_r1.loaders import Listing, Pace, Standing

__all__ = ["digests", "pair", "plain"]  # fixtures


class Once:
    """A rule for the n-th message of a kind; before and after it all is well."""

    def __init__(self, kind: int, n: int, act: Callable[[dict[str, Any], bytes], bytes]) -> None:
        self._kind = kind
        self._left = n
        self._act = act
        self._lock = threading.Lock()
        self.done = False

    def __call__(self, kind: int, meta: dict[str, Any], body: bytes) -> bytes:
        with self._lock:
            self._left -= kind == self._kind
            if kind != self._kind or self._left != 0:
                return pack_frame(kind, meta, body)
            self.done = True
        return self._act(meta, body)


def cell(meta: dict[str, Any], body: bytes) -> bytes:
    return pack_frame(CELL, meta, body)


def cut(data: bytes) -> bytes:
    raise Cut(data)


def other_slots(meta: dict[str, Any], body: bytes) -> bytes:
    moved = [(puzzle, (puzzle["slot"] + 4) % 8) for puzzle in meta["puzzles"]]
    return cell({**meta, "puzzles": [{**puzzle, "slot": slot, "index": meta["step"] * 8 + slot} for puzzle, slot in moved]}, body)


WRONG: dict[str, tuple[int, Callable[[dict[str, Any], bytes], bytes]]] = {
    "cut before a cell": (CELL, lambda meta, body: cut(b"")),
    "cut in a prefix": (CELL, lambda meta, body: cut(cell(meta, body)[:9])),
    "cut in a map": (CELL, lambda meta, body: cut(cell(meta, body)[:100])),
    "cut in a body": (CELL, lambda meta, body: cut(cell(meta, body)[:-7])),
    "cut after a cell": (CELL, lambda meta, body: cut(cell(meta, body))),
    "cut in an end": (END, lambda meta, body: cut(pack_frame(END, meta)[:-1])),
    "garbage": (CELL, lambda meta, body: random.Random(1).randbytes(500)),
    "garbage in a map": (CELL, lambda meta, body: cell(meta, body)[:16] + b"\xc1" * 4000),
    "a length beyond the limit": (CELL, lambda meta, body: b"R1S\x01\x42\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"),
    "another step": (CELL, lambda meta, body: cell({**meta, "step": meta["step"] + 1}, body)),
    "another step at the end": (END, lambda meta, body: pack_frame(END, {**meta, "step": meta["step"] + 1})),
    "slots of others": (CELL, other_slots),
    "a cell twice": (CELL, lambda meta, body: cell(meta, body) * 2),
    "puzzles of another step": (CELL, lambda meta, body: cell({**meta, "puzzles": [{**p, "index": p["index"] + 8} for p in meta["puzzles"]]}, body)),
    "a cell with too short a body": (CELL, lambda meta, body: cell(meta, body[:-1])),
    "a cell left out": (CELL, lambda meta, body: b""),
    "an end left out": (END, lambda meta, body: pack_frame(DONE, {"id": meta["id"]})),
    "an end twice": (END, lambda meta, body: pack_frame(END, meta) * 2),
    "an answer to nothing": (CELL, lambda meta, body: cell({**meta, "id": 999}, body)),
    "a second welcome": (CELL, lambda meta, body: pack_frame(WELCOME, {"protocol": 1})),
    "an unknown kind": (CELL, lambda meta, body: pack_frame(99, meta)),
    "an info that nobody asked for": (CELL, lambda meta, body: pack_frame(INFO, {"id": 5, "info": {}})),
    "an error without a code": (END, lambda meta, body: pack_frame(ERROR, {"id": meta["id"]})),
    "shutting down": (CELL, lambda meta, body: pack_frame(ERROR, {"code": "CLOSED", "message": "the server is shutting down"})),
}
LEAVING = ["CACHE", "NETWORK", "INTERNAL", "WORKER_DIED", "SKIP_BUDGET", "SHARD_CORRUPT", "SOURCE_NOT_FOUND", "LIMIT", "CLOSED", "TOO_PURPLE"]
for code in LEAVING:
    WRONG[f"refused: {code}"] = (CELL, lambda meta, body, code=code: pack_frame(ERROR, {"id": meta["id"], "code": code, "message": "as asked"}))  # type: ignore[misc]


@pytest.fixture
def proxies(pair: list[str]) -> Iterator[list[Proxy]]:
    made = [Proxy(url) for url in pair]
    yield made
    for proxy in made:
        proxy.close()


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("name", WRONG)
def test_a_loader_is_left_and_taken_back(name: str, n: int, pair: list[str], proxies: list[Proxy], digests: list[str]) -> None:
    rule = proxies[0].rule = Once(WRONG[name][0], n, WRONG[name][1])
    events: list[ssl_r1.Event] = []
    with connect([proxies[0].url, pair[1]], on_event=events.append) as client, client.stream(0, 12) as stream:
        found = [batch.digest() for batch in stream]
        assert rule.done
        assert found == digests[:12]
        until(lambda: [loader.state for loader in client.loaders] == ["used", "used"])
        until(lambda: [event.kind for event in events if event.loader == proxies[0].url and event.kind != "moved"] == ["left", "back"])
        assert client.get(20).digest() == digests[20]


@pytest.mark.parametrize("seed", range(8))
def test_anything_at_any_time(seed: int, proxies: list[Proxy], digests: list[str]) -> None:
    """Both loaders, each again and again; whole cells that have arrived stay."""
    draw = random.Random(seed)
    # One that shows slot 0 as slot 4, and was asked for both, nobody can find out.
    acts = [act for name, act in WRONG.items() if name != "slots of others"]

    def chaos(kind: int, meta: dict[str, Any], body: bytes) -> bytes:
        if kind in (CELL, END) and draw.random() < 0.08:
            wanted, act = draw.choice(acts)
            if wanted == kind:
                return act(meta, body)
        return pack_frame(kind, meta, body)

    for proxy in proxies:
        proxy.rule = chaos
    with connect([proxy.url for proxy in proxies], reconnect=30) as client, client.stream(prefetch=draw.randint(0, 3)) as stream:
        found = []
        while len(found) < 40:
            try:
                batch = next(stream)
            except ssl_r1.Error as error:
                # All have refused the same request, or answered it wrongly: the trainer's to know. It asks again.
                assert not isinstance(error, ssl_r1.ConnectionLost)
                continue
            assert batch.step == len(found)
            assert [puzzle.slot for puzzle in batch] == list(range(8))
            found.append(batch.digest())
    assert found == digests


def test_whole_cells_of_a_lost_request_are_kept(proxies: list[Proxy], pair: list[str], digests: list[str]) -> None:
    proxies[0].rule = Once(CELL, 2, lambda meta, body: cut(cell(meta, body)[:-1]))
    with connect([proxies[0].url, proxies[1].url]) as client:
        assert client.get(0).digest() == digests[0]
        asked = [meta["slots"] for kind, meta in proxies[1].asked if kind == GET]
        assert asked == [[4, 5, 6, 7], [2, 3]]


def test_what_a_liar_sent_before_is_not_kept(proxies: list[Proxy], digests: list[str]) -> None:
    proxies[0].rule = Once(CELL, 2, other_slots)
    with connect([proxies[0].url, proxies[1].url]) as client:
        assert client.get(0).digest() == digests[0]
        assert [meta["slots"] for kind, meta in proxies[1].asked if kind == GET] == [[4, 5, 6, 7], [0, 1, 2, 3]]


def test_a_loader_that_hangs_is_left(proxies: list[Proxy], pair: list[str], digests: list[str]) -> None:
    goes_on = threading.Event()

    def hang(meta: dict[str, Any], body: bytes) -> bytes:
        goes_on.wait()
        return b""

    proxies[0].rule = Once(CELL, 3, hang)
    events: list[ssl_r1.Event] = []
    with connect([proxies[0].url, pair[1]], stall=0.2, on_event=events.append) as client:
        assert [batch.digest() for batch in client.stream(0, 8)] == digests[:8]
        left = next(event for event in events if event.kind == "left")
        assert left.loader == proxies[0].url
        assert "sent nothing for 0.2 s" in left.reason
        assert left.step == 1
    goes_on.set()


def test_a_loader_that_stops_in_a_frame_is_left(proxies: list[Proxy], pair: list[str], digests: list[str]) -> None:
    goes_on = threading.Event()

    with connect([proxies[0].url, pair[1]], stall=0.2) as client:
        client.get(0)
        sockets = proxies[0]._open

        def half(meta: dict[str, Any], body: bytes) -> bytes:
            sockets[0].sendall(cell(meta, body)[:-50])
            goes_on.wait()
            return b""

        proxies[0].rule = Once(CELL, 1, half)
        assert client.get(1).digest() == digests[1]
        assert "sent nothing" in str(client.loaders[0].reason) or client.loaders[0].state == "used"
    goes_on.set()


def test_slow_is_better_than_nobody(proxies: list[Proxy], digests: list[str], tmp_path: Path) -> None:
    """A loader that is alone stays in use while it answers poll."""
    goes_on = threading.Event()
    polled = threading.Semaphore(0)
    held: list[bytes] = []

    def slow(kind: int, meta: dict[str, Any], body: bytes) -> bytes:
        held.append(pack_frame(kind, meta, body))
        if kind in (CELL, END) and not goes_on.is_set():
            return b""
        if kind == INFO:
            polled.release()
            if not goes_on.is_set():
                return held.pop()
        data = b"".join(held)
        held.clear()
        return data

    proxies[0].rule = slow
    (tmp_path / "list").write_text(proxies[0].url)
    events: list[ssl_r1.Event] = []
    with connect(f"file://{tmp_path}/list", stall=0.3, on_event=events.append) as client:
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.append(client.get(0).digest()))
        thread.start()
        for _ in range(4):
            assert polled.acquire(timeout=20)
        goes_on.set()
        thread.join(20)
        assert found == digests[:1]
        assert events == []


# ---- refused


def test_needs_index_leaves_nobody(pair: list[str], proxies: list[Proxy], digests: list[str]) -> None:
    def refuse(kind: int, meta: dict[str, Any], body: bytes) -> bytes:
        if kind == CELL:
            return b""
        if kind == END:
            return pack_frame(ERROR, {"id": meta["id"], "code": "NEEDS_INDEX", "message": "count a.tar first"})
        return pack_frame(kind, meta, body)

    proxies[0].rule = refuse
    events: list[ssl_r1.Event] = []
    with connect([proxies[0].url, pair[1]], on_event=events.append) as client:
        assert [batch.digest() for batch in client.stream(0, 5)] == digests[:5]
        assert [loader.state for loader in client.loaders] == ["used", "used"]
    proxies[1].rule = refuse
    with connect([proxy.url for proxy in proxies], on_event=events.append) as client:
        with pytest.raises(ssl_r1.NeedsIndex, match="count"):
            client.get(3)
        with client.stream(3) as stream, pytest.raises(ssl_r1.NeedsIndex):
            next(stream)
        assert [loader.state for loader in client.loaders] == ["used", "used"]
    assert events == []


@pytest.mark.parametrize(("code", "kind"), [("INTERNAL", ssl_r1.ServerError), ("CACHE", ssl_r1.ServerError), ("SLOT_FAILED", ssl_r1.SlotFailed)])
def test_what_all_refuse_is_the_trainers(proxies: list[Proxy], digests: list[str], code: str, kind: type[ssl_r1.Error]) -> None:
    bad = {5}

    def refuse(kind: int, meta: dict[str, Any], body: bytes) -> bytes:
        if kind in (CELL, END) and meta["step"] in bad:
            return b"" if kind == CELL else pack_frame(ERROR, {"id": meta["id"], "code": code, "message": "no"})
        return pack_frame(kind, meta, body)

    for proxy in proxies:
        proxy.rule = refuse
    with connect([proxy.url for proxy in proxies]) as client, client.stream() as stream:
        assert [next(stream).digest() for _ in range(5)] == digests[:5]
        with pytest.raises(kind) as caught:
            next(stream)
        assert caught.value.code == code
        bad.clear()
        assert [next(stream).digest() for _ in range(5)] == digests[5:10]


@pytest.mark.parametrize("code", ["LIMIT", "CLOSED"])
def test_what_says_nothing_about_the_request_is_asked_again(proxies: list[Proxy], digests: list[str], code: str) -> None:
    for proxy in proxies:
        proxy.rule = Once(CELL, 2, lambda meta, body: pack_frame(ERROR, {"id": meta["id"], "code": code, "message": "no"}))
    with connect([proxy.url for proxy in proxies]) as client:
        assert [batch.digest() for batch in client.stream(0, 5)] == digests[:5]


def test_patience_ends_where_all_welcome_and_none_answers(proxies: list[Proxy]) -> None:
    def refuse(kind: int, meta: dict[str, Any], body: bytes) -> bytes:
        if kind in (CELL, END):
            return b"" if kind == CELL else pack_frame(ERROR, {"id": meta["id"], "code": "LIMIT", "message": "too many"})
        return pack_frame(kind, meta, body)

    for proxy in proxies:
        proxy.rule = refuse
    with connect([proxy.url for proxy in proxies], reconnect=0.2) as client, pytest.raises(ssl_r1.ConnectionLost, match="too many"):
        client.get(3)


def test_who_answers_wrongly_is_not_asked_for_the_same_again(proxies: list[Proxy], digests: list[str]) -> None:
    wrong = {3}

    def lie(kind: int, meta: dict[str, Any], body: bytes) -> bytes:
        return other_slots(meta, body) if kind == CELL and meta["step"] in wrong else pack_frame(kind, meta, body)

    for proxy in proxies:
        proxy.rule = lie
    with connect([proxy.url for proxy in proxies]) as client:
        with pytest.raises(ssl_r1.ProtocolError, match="slots that were not asked for"):
            client.get(3, [0, 1])
        wrong.clear()
        assert client.get(3).digest() == digests[3]


@pytest.mark.parametrize("code", ["STEP_OUT_OF_RANGE", "BAD_SLOTS"])
def test_what_all_would_refuse_is_asked_once(proxies: list[Proxy], pair: list[str], code: str) -> None:
    proxies[0].rule = Once(CELL, 1, lambda meta, body: pack_frame(ERROR, {"id": meta["id"], "code": code, "message": "no"}))
    with connect([proxies[0].url, pair[1]]) as client:
        with pytest.raises(ssl_r1.Error) as caught:
            client.get(0)
        assert caught.value.code == code
        assert [loader.state for loader in client.loaders] == ["used", "used"]


def test_the_end_of_a_stream_that_nobody_knew_at_first(serve: Serve) -> None:
    ends = [Proxy(serve(near=near, steps=5, **SHAPE).url) for near in ("0,1", "2,3")]

    def unknowing(kind: int, meta: dict[str, Any], body: bytes) -> bytes:
        if kind == WELCOME:
            meta = {**meta, "info": {**meta["info"], "steps": None}}
        return pack_frame(kind, meta, body)

    for proxy in ends:
        proxy.rule = unknowing
    with connect([proxy.url for proxy in ends]) as client:
        assert [batch.step for batch in client.stream()] == [0, 1, 2, 3, 4]
    with connect([proxy.url for proxy in ends]) as client, pytest.raises(ssl_r1.StepOutOfRange):
        next(client.stream(6))
    for proxy in ends:
        proxy.close()


def test_slots_that_do_not_exist(serve: Serve) -> None:
    """With `passes` any batch may lack some."""
    ends = [Proxy(serve(near=near, steps=5, **SHAPE).url) for near in ("0,1", "2,3")]

    def short(kind: int, meta: dict[str, Any], body: bytes) -> bytes:
        if kind == WELCOME:
            meta = {**meta, "info": {**meta["info"], "steps": None}}
        if kind == CELL and any(puzzle["slot"] in (2, 6) for puzzle in meta["puzzles"]):
            return b""
        return pack_frame(kind, meta, body)

    for proxy in ends:
        proxy.rule = short
    with connect([proxy.url for proxy in ends]) as client:
        assert [[puzzle.slot for puzzle in batch] for batch in client.stream()] == [[0, 1, 4, 5]] * 5
        assert client.get(1, [2, 3]).puzzles == []
        assert [loader.state for loader in client.loaders] == ["used", "used"]
    for proxy in ends:
        proxy.close()


# ---- hedging


def test_a_late_request_is_also_asked_from_the_next(proxies: list[Proxy], digests: list[str]) -> None:
    goes_on = threading.Event()

    def late(kind: int, meta: dict[str, Any], body: bytes) -> bytes:
        if kind == CELL and meta["step"] == 2 and not goes_on.is_set():
            goes_on.wait()
        return pack_frame(kind, meta, body)

    proxies[0].rule = late
    events: list[ssl_r1.Event] = []
    with connect([proxy.url for proxy in proxies], hedge=0.05, on_event=events.append) as client:
        assert [client.get(step).digest() for step in range(3)] == digests[:3]
        assert [(event.kind, event.loader, event.step) for event in events if event.step == 2] == [("hedged", proxies[0].url, 2)]
        assert [meta["slots"] for kind, meta in proxies[1].asked if kind == GET and meta["step"] == 2] == [[4, 5, 6, 7], [0, 1, 2, 3]]
        until(lambda: any(kind == frame.CANCEL for kind, _ in proxies[0].asked))
        goes_on.set()
        # The late one stays in use, and what it still sends is dropped.
        assert [client.get(step).digest() for step in range(3, 9)] == digests[3:9]
        assert [loader.state for loader in client.loaders] == ["used", "used"]


def test_hedging_where_both_are_lost(proxies: list[Proxy], digests: list[str]) -> None:
    dead = threading.Event()

    def late(kind: int, meta: dict[str, Any], body: bytes) -> bytes:
        if kind == CELL and not dead.is_set():
            dead.wait()
            raise Cut(b"")
        return pack_frame(kind, meta, body)

    for proxy in proxies:
        proxy.rule = late
    events: list[ssl_r1.Event] = []
    with connect([proxy.url for proxy in proxies], hedge=0.05, on_event=events.append) as client:
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.append(client.get(7).digest()))
        thread.start()
        until(lambda: sum(event.kind == "hedged" for event in events) == 2)
        dead.set()
        thread.join(20)
        assert found == [digests[7]]


def test_alone_there_is_nobody_to_hedge_with(proxies: list[Proxy], pair: list[str], digests: list[str], tmp_path: Path) -> None:
    (tmp_path / "list").write_text(pair[0])
    with connect(f"file://{tmp_path}/list", hedge=0.001) as client:
        assert [batch.digest() for batch in client.stream(0, 9)] == digests[:9]


# ---- all gone


def test_all_gone_then_back(serve: Serve, tmp_path: Path, digests: list[str]) -> None:
    urls = [f"unix://{tmp_path}/{name}" for name in "ab"]
    servers = [serve(listen=url, near=near, **SHAPE) for url, near in zip(urls, ("0,1", "2,3"), strict=True)]
    events: list[ssl_r1.Event] = []
    with connect(urls, on_event=events.append) as client, client.stream() as stream:
        assert [next(stream).digest() for _ in range(5)] == digests[:5]
        for server in servers:
            server.kill()
        until(lambda: sum(event.kind == "left" for event in events) == 2)
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.extend(next(stream).digest() for _ in range(5)))
        thread.start()
        serve(listen=urls[1], near="2,3", **SHAPE)
        thread.join(20)
        assert found == digests[5:10]
        serve(listen=urls[0], near="0,1", **SHAPE)
        until(lambda: [loader.state for loader in client.loaders] == ["used", "used"])
        assert [next(stream).digest() for _ in range(5)] == digests[10:15]


def test_patience_ends(serve: Serve) -> None:
    servers = [serve(near=near, **SHAPE) for near in ("0,1", "2,3")]
    with connect([server.url for server in servers], reconnect=0.1) as client, client.stream() as stream:
        next(stream)
        for server in servers:
            server.kill()
        with pytest.raises(ssl_r1.ConnectionLost, match="no loader can be reached") as caught:
            for _ in range(10):
                next(stream)
        assert type(caught.value) is ssl_r1.ConnectionLost
        for call in (client.refresh, lambda: client.get(0), lambda: client.feedback(0, {0: 1.0})):
            with pytest.raises(ssl_r1.ConnectionLost):
                call()


def test_silent_loaders(pair: list[str], digests: list[str]) -> None:
    with silent_server() as mute, connect([pair[0], mute, pair[1]], stall=0.1) as client:
        assert client.get(0).digest() == digests[0]
        assert [loader.state for loader in client.loaders][::2] == ["used", "used"]
    with silent_server() as mute, connect([mute, pair[0]], stall=0.1) as client:
        assert client.get(0).digest() == digests[0]


def test_the_log(proxies: list[Proxy], pair: list[str], caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: ssl_r1.Event) -> None:
        raise ValueError("the listener's own")

    caplog.set_level(logging.INFO, "ssl_r1")
    with connect([proxies[0].url, pair[1]], on_event=broken, token="secret-token") as client:
        client.get(0)
        proxies[0].cut()
        until(lambda: any(" back" in record.message for record in caplog.records))
        client.get(1)
    found = [(record.levelno, record.message.split(":", 4)[-1]) for record in caplog.records if record.message.startswith("loader")]
    assert {level for level, message in found} == {logging.WARNING, logging.INFO}
    assert sum(record.levelno == logging.WARNING for record in caplog.records) == 2
    assert any(record.exc_info for record in caplog.records)
    assert "secret-token" not in caplog.text


# ---- with a clock of its own


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def test_pauses() -> None:
    clock = Clock()
    standing = Standing(Pace(now=clock))

    def lost(outage: bool = False) -> float:
        return round(standing.lost(outage) - clock.time, 3)

    standing.welcomed()
    clock.time += 3600
    assert [lost() for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    # Back, and left again within a minute: longer still; after a minute as at first.
    standing.welcomed()
    clock.time += 59
    assert lost() == 60
    standing.welcomed()
    clock.time += 60
    assert lost() == 1
    standing.welcomed()
    clock.time += 1
    assert lost() == 2
    # With nobody in use, and the pauses of before untouched.
    assert [lost(True) for _ in range(8)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2, 2]
    assert lost() == 4


def test_when_lists_are_read(tmp_path: Path) -> None:
    clock = Clock()
    names = {"a.example": ["10.0.0.2", "10.0.0.1", "fe80::1", "10.0.0.1"]}
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return names[host]

    path = tmp_path / "a list"
    path.write_text("tcp://b:2 # two\n")
    listing = Listing(f"tcp://z:1, file://{tmp_path}/a%20list ,dns+tls://a.example:7531,tcp://z:1", Pace(now=clock, resolve=resolve))
    looked_up = ["tls://10.0.0.1:7531", "tls://10.0.0.2:7531", "tls://[fe80::1]:7531"]
    assert listing.read() == (["tcp://z:1", "tcp://b:2", *looked_up], None)
    assert listing.names["tls://10.0.0.1:7531"] == "a.example"
    assert listing.alone is None
    path.write_text("tcp://c:3\ntcp://z:1\n")
    assert listing.read()[0][1] == "tcp://b:2"
    assert listing.pause() == 1
    clock.time += 1
    assert listing.read() == (["tcp://z:1", "tcp://c:3", *looked_up], None)
    assert asked == ["a.example"]
    clock.time += 9
    names["a.example"] = []
    found, trouble = listing.read()
    assert found == ["tcp://z:1", "tcp://c:3", *looked_up]
    assert trouble is not None
    assert asked == ["a.example"] * 2
    assert Listing("tcp://a:1").alone == "tcp://a:1"
    assert Listing(["unix:///with,comma"]).alone == "unix:///with,comma"
