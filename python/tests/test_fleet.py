"""Several loaders as one stream, against real servers: routing, lists, threads, processes."""

from __future__ import annotations

import gc
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from conftest import FakeServer, Serve
from proxy import Proxy
from test_client import check_pixels
from test_client_torch import Puzzles, collate
from torch.utils.data import DataLoader

import ssl_r1
from ssl_r1.loaders import Pace, told

FAST = Pace(first=0.02, longest=0.1, outage_first=0.01, outage_longest=0.02, file=0.01, ask=0.02)
SHAPE: dict[str, object] = {"batch": 8, "cell": 2, "partitions": 4, "side": 6}


def connect(url: Any, **options: Any) -> ssl_r1.Client:
    client = ssl_r1.connect(url, **options)
    client._pace = FAST
    return client


def until(done: Callable[[], bool]) -> None:
    """For what other threads are about to do; a test that waits here for long has failed."""
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def lanes() -> int:
    return sum(thread.name.startswith("ssl_r1") for thread in threading.enumerate())


@pytest.fixture(scope="module")
def plain() -> Iterator[FakeServer]:
    server = FakeServer(**SHAPE)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def pair() -> Iterator[list[str]]:
    """Two loaders, each near one half, that the tests of a module share."""
    servers = [FakeServer(near=near, **SHAPE) for near in ("0,1", "2,3")]
    yield [server.url for server in servers]
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def ending() -> Iterator[list[str]]:
    servers = [FakeServer(near=near, steps=9, **SHAPE) for near in ("0,1", "2,3")]
    yield [server.url for server in servers]
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def digests(plain: FakeServer) -> list[str]:
    with ssl_r1.connect(plain.url) as client:
        return [client.get(step).digest() for step in range(40)]


# ---- routing


def test_each_loader_makes_what_it_prefers(serve: Serve, digests: list[str]) -> None:
    servers = [serve(near=near, **SHAPE) for near in ("0,3", "1", "2", "")]
    with connect([server.url for server in servers]) as client:
        assert [batch.digest() for batch in client.stream(0, 10)] == digests[:10]
        assert [loader.state for loader in client.loaders] == ["used"] * 4
        assert [loader.near for loader in client.loaders] == [[0, 3], [1], [2], []]
    assert [server.stop()["made"] for server in servers] == [20, 10, 10, 0]


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_stream(ending: list[str], prefetch: int) -> None:
    with connect(",".join(ending)) as client:
        assert [batch.step for batch in client.stream(2, 3, prefetch=prefetch)] == [2, 3, 4]
        found = list(client.stream(6, slots=[5, 1], prefetch=prefetch))
        assert [(batch.step, [puzzle.slot for puzzle in batch]) for batch in found] == [(step, [5, 1]) for step in (6, 7, 8)]
        for batch in found:
            check_pixels(batch)
        assert list(client.stream(9, prefetch=prefetch)) == []
        assert list(client.stream(0, 0, prefetch=prefetch)) == []
        with pytest.raises(ssl_r1.StepOutOfRange):
            next(client.stream(10, prefetch=prefetch))
        with pytest.raises(ssl_r1.StepOutOfRange):
            client.get(9)


def test_batches_do_not_depend_on_which_loaders_there_are(serve: Serve, digests: list[str]) -> None:
    servers = [serve(near=near, **SHAPE) for near in ("0", "1,2", "", "3,2")]
    for chosen in ([0], [1, 3], [2], [0, 2, 3], [3, 2, 1, 0]):
        with connect([servers[number].url for number in chosen] * 2) as client:
            assert [client.get(step).digest() for step in range(4)] == digests[:4]


def test_get(pair: list[str]) -> None:
    with connect(pair) as client:
        batch = client.get(1, numpy.array([6, 0, 5]))
        assert [puzzle.slot for puzzle in batch] == [6, 0, 5]
        check_pixels(batch)
        for wrong in ([8], [-1], [1, 1], []):
            with pytest.raises(ssl_r1.BadSlots):
                client.get(1, wrong)
        for step in (-1, 2**53):
            with pytest.raises(ssl_r1.StepOutOfRange):
                client.get(step)
        assert client.info == client.refresh()
        assert [loader.state for loader in client.loaders] == ["used", "used"]


def test_failed_slots(serve: Serve) -> None:
    urls = [serve(near=near, failing="2,6", **SHAPE).url for near in ("0,1", "2,3")]
    with connect(urls) as client, pytest.raises(ssl_r1.SlotFailed, match=r"step 1, slot 2 .* \(and 1 more"):
        client.get(1)
    with connect(urls, on_failed="skip") as client:
        batch = client.get(1)
        assert [puzzle.slot for puzzle in batch] == [0, 1, 3, 4, 5, 7]
        assert [failed.slot for failed in batch.failed] == [2, 6]


def test_images_are_views_and_buffers_are_used_again(serve: Serve) -> None:
    urls = [serve(near=near, batch=8, cell=2, partitions=4, side=200).url for near in ("0,1", "2,3")]
    with connect(urls) as client:
        first = client.get(0)
        kept = first.puzzles[5].images[1][10:20]
        copy = kept.copy()
        assert kept.base is not None
        del first
        seen = set()
        for step in range(1, 30):
            batch = client.get(step)
            check_pixels(batch, 200)
            seen |= {puzzle.images[0].__array_interface__["data"][0] for puzzle in batch}
        # Four cells a batch of two puzzles each; a batch is still held while the next one arrives.
        assert len(seen) <= 8 * 4
        assert numpy.array_equal(kept, copy)


def test_feedback_goes_to_those_that_made_the_puzzles(serve: Serve) -> None:
    servers = [serve(near=near, **SHAPE) for near in ("0,1", "2,3")]
    with connect([server.url for server in servers]) as client:
        client.feedback(1, {8: 1.0, 9: 0.5, 15: 0.25})
    # What was sent may still be on its way.
    with connect([server.url for server in servers]) as client:
        client.get(0)
    given = [[reward["index"] for feedback in server.stop()["feedback"] for reward in feedback["rewards"]] for server in servers]
    assert given == [[8, 9], [15]]


# ---- lists


def test_a_list_in_a_file_that_changes(serve: Serve, tmp_path: Path, digests: list[str]) -> None:
    one, two, three = (serve(near=near, **SHAPE) for near in ("0,1", "2,3", ""))
    path = tmp_path / "loaders.txt"
    path.write_text(f"# the loaders\n{one.url}  # first\n\n{two.url}\n")
    events: list[ssl_r1.Event] = []
    with connect(f"file://{path}", on_event=events.append) as client, client.stream(0, 40) as stream:
        assert [next(stream).digest() for _ in range(10)] == digests[:10]
        (tmp_path / "next").write_text(f"{two.url}\n{three.url}\n")
        (tmp_path / "next").rename(path)
        until(lambda: [(loader.address, loader.state) for loader in client.loaders] == [(two.url, "used"), (three.url, "used")])
        assert [next(stream).digest() for _ in range(10)] == digests[10:20]
        # What can't be read leaves things as they are.
        path.write_text("http://no.address\n")
        time.sleep(0.05)
        path.unlink()
        time.sleep(0.05)
        assert [next(stream).digest() for _ in range(20)] == digests[20:]
        assert len(client.loaders) == 2
    kinds = [(event.kind, event.loader) for event in events if event.kind != "moved"]
    assert kinds == [("gone", one.url), ("joined", three.url)]


def test_a_name_whose_addresses_change(serve: Serve, digests: list[str]) -> None:
    one, two = serve(near="0,1", **SHAPE), serve(near="2,3", **SHAPE)
    known = ["127.0.0.1"]
    asked: list[tuple[str, int]] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        if not known:
            raise OSError("no such name")
        return known

    port = int(one.url.rsplit(":", 1)[1])
    with ssl_r1.connect([f"dns+tcp://loaders.example:{port}", two.url]) as client:
        client._pace = Pace(first=0.02, ask=0.01, resolve=resolve)
        stream = client.stream()
        assert [next(stream).digest() for _ in range(5)] == digests[:5]
        assert [loader.address for loader in client.loaders] == [one.url, two.url]
        known.append("127.0.0.2")
        until(lambda: any(loader.address == f"tcp://127.0.0.2:{port}" for loader in client.loaders))
        assert [next(stream).digest() for _ in range(5)] == digests[5:10]
        known.clear()
        before = len(asked)
        until(lambda: len(asked) > before + 1)
        assert [next(stream).digest() for _ in range(5)] == digests[10:15]
        stream.close()
    assert set(asked) == {("loaders.example", port)}


def test_one_loader_tells_of_the_others(serve: Serve, tmp_path: Path, digests: list[str]) -> None:
    path = tmp_path / "told"
    path.write_text("")
    one, two, three = (serve(near=near, loaders=path, **SHAPE) for near in ("0,1", "2,3", ""))
    path.write_text(f"{one.url}\n{two.url}\nhttp://nonsense\n")
    with connect(one.url) as client, client.stream(0, 40) as stream:
        assert [next(stream).digest() for _ in range(10)] == digests[:10]
        assert [loader.address for loader in client.loaders] == [one.url, two.url]
        path.write_text(f"{two.url}\n{three.url}\n")
        until(lambda: [loader.address for loader in client.loaders] == [one.url, two.url, three.url])
        one.kill()
        assert [next(stream).digest() for _ in range(10)] == digests[10:20]
        # The first one's list is no longer asked for, the others' are.
        path.write_text(f"{three.url}\n")
        until(lambda: [loader.address for loader in client.loaders] == [one.url, three.url])
        assert [next(stream).digest() for _ in range(20)] == digests[20:]
    with connect(three.url) as client:
        assert client.get(5).digest() == digests[5]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_loader_that_comes_back_and_tells_of_others(serve: Serve, tmp_path: Path, pair: list[str], digests: list[str], prefetch: int) -> None:
    url, path = f"unix://{tmp_path}/one", tmp_path / "told"
    one = serve(listen=url, **SHAPE)
    with connect(url) as client, client.stream(0, 20, prefetch=prefetch) as stream:
        assert [next(stream).digest() for _ in range(5)] == digests[:5]
        assert client._fleet is None
        one.kill()
        path.write_text("\n".join(pair) + "\n")
        serve(listen=url, loaders=path, **SHAPE)
        assert [batch.digest() for batch in stream] == digests[5:20]
        assert [loader.address for loader in client.loaders] == [url, *pair]


def test_a_list_that_is_told_never_leaves_tls() -> None:
    addresses = ["tls://a:1", "tcp://a:1", "unix:///x", "http://a", "tls://a", "file:///x", "dns+tls://a:1"]
    assert told("tls://seed:1", addresses) == ["tls://a:1", "unix:///x"]
    assert told("tcp://seed:1", addresses) == ["tls://a:1", "tcp://a:1", "unix:///x"]


def test_one_loader_that_tells_of_none_is_one_connection(plain: FakeServer) -> None:
    with connect([plain.url]) as client:
        client.get(0)
        assert client._fleet is None
        assert client.loaders == [ssl_r1.Loader(plain.url, "used")]


BAD = ["", ",", "tcp://a:1,tcp://b", "file:loaders.txt", "file://host/x", "dns+unix:///x", "dns+tcp://a", "dns+file:///x", [], ["tcp://a:1", "x"]]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_addresses(bad: Any) -> None:
    with pytest.raises(ssl_r1.BadOption):
        ssl_r1.connect(bad)


@pytest.mark.parametrize("option", [{"stall": 0}, {"hedge": 0}, {"hedge": -1}], ids=str)
def test_options(option: dict[str, Any]) -> None:
    with pytest.raises(ssl_r1.BadOption):
        ssl_r1.connect("tcp://127.0.0.1:1,tcp://127.0.0.1:2", **option)


# ---- the first connection


def test_the_first_in_the_list_says_which_stream_it_is(serve: Serve, digests: list[str]) -> None:
    one = serve(**SHAPE)
    other = serve(fingerprint="sha256:other", **SHAPE)
    gone = serve(**SHAPE)
    gone.kill()
    for _ in range(5):
        with connect([gone.url, one.url, other.url]) as client:
            assert client.info.fingerprint == "sha256:fake"
            assert client.get(0).digest() == digests[0]
            states = [(loader.state, loader.reason or "") for loader in client.loaders]
            assert [state for state, _ in states] == ["left", "used", "left"]
            assert "sha256:other" in states[2][1]
        with connect([gone.url, other.url, one.url]) as client:
            assert client.info.fingerprint == "sha256:other"
    with connect([one.url, other.url], fingerprint="sha256:third") as client, pytest.raises(ssl_r1.OtherStream):
        client.get(0)


def test_all_want_a_token(serve: Serve) -> None:
    urls = [serve(token="secret", **SHAPE).url for _ in range(2)]
    with connect(urls) as client, pytest.raises(ssl_r1.Unauthorized):
        client.get(0)
    with connect(urls, token="secret") as client:
        assert len(client.get(0)) == 8


def test_nobody_there(tmp_path: Path) -> None:
    urls = [f"unix://{tmp_path}/{name}" for name in "ab"]
    for given in (urls, f"file://{tmp_path}/none"):
        with connect(given) as client, pytest.raises(ssl_r1.ConnectionLost, match=r"no loader can be reached.*(/b|none)"):
            client.get(0)


def test_waits_for_loaders_that_start_later(serve: Serve, tmp_path: Path, digests: list[str]) -> None:
    url = f"unix://{tmp_path}/late"
    with connect(f"file://{tmp_path}/list", wait=60) as client:
        found: list[ssl_r1.Batch] = []
        thread = threading.Thread(target=lambda: found.append(client.get(0)))
        thread.start()
        (tmp_path / "list").write_text(f"unix://{tmp_path}/never\n{url}\n")
        serve(listen=url, **SHAPE)
        thread.join(20)
        assert [batch.digest() for batch in found] == digests[:1]


# ---- threads, processes


def test_threads_share_a_client(pair: list[str], digests: list[str]) -> None:
    with connect(pair) as client:
        found: dict[int, str] = {}

        def work(first: int) -> None:
            for step in range(first, 40, 4):
                found[step] = client.get(step).digest()

        threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [found[step] for step in range(40)] == digests
    until(lambda: lanes() == 0)


def test_close_wakes_everybody(serve: Serve) -> None:
    stuck = threading.Event()

    def hang(kind: int, meta: dict[str, Any], body: bytes) -> bytes:
        if kind != ssl_r1.frame.WELCOME:
            stuck.wait()
        return ssl_r1.frame.pack_frame(kind, meta, body)

    proxies = [Proxy(serve(**SHAPE).url, hang) for _ in range(2)]
    client = connect([proxy.url for proxy in proxies])
    ended: list[object] = []

    def catch(call: Callable[[], object]) -> None:
        try:
            ended.append(call())
        except ssl_r1.Closed as error:
            ended.append(error.code)

    first, second = client.stream(), client.stream(prefetch=0)
    calls: list[Callable[[], object]] = [lambda: client.get(0), lambda: next(first), lambda: list(second), client.refresh]
    threads = [threading.Thread(target=catch, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    until(lambda: sum(len(proxy.asked) for proxy in proxies) >= 9)
    second.close()
    threads[2].join(10)
    assert ended == [[]]
    client.close()
    for thread in threads:
        thread.join(10)
    assert ended == [[], "CLOSED", "CLOSED", "CLOSED"]
    with pytest.raises(ssl_r1.Closed):
        client.get(0)
    until(lambda: lanes() == 0)
    stuck.set()
    for proxy in proxies:
        proxy.close()


def test_what_is_dropped_ends(pair: list[str]) -> None:
    client = connect(pair)
    stream = client.stream()
    next(stream)
    del client, stream
    gc.collect()
    until(lambda: lanes() == 0)


def test_a_dropped_stream_asks_for_nothing_more(pair: list[str], digests: list[str]) -> None:
    with connect(pair) as client:
        stream = client.stream()
        next(stream)
        del stream
        gc.collect()
        assert client.get(30).digest() == digests[30]
        fleet = client._fleet
        assert fleet is not None
        assert not fleet._jobs


def test_pickle(pair: list[str], digests: list[str]) -> None:
    with connect(pair, on_event=lambda event: None) as client:
        next(client.stream())
        other = pickle.loads(pickle.dumps(client))
        assert other._fleet is None
        with other:
            assert other.get(0).digest() == digests[0]
            assert next(other.stream()).digest() == digests[1]


def test_fork(pair: list[str], digests: list[str]) -> None:
    with connect(pair) as client, client.stream() as stream:
        assert next(stream).digest() == digests[0]
        fleet = client._fleet
        assert fleet is not None
        with fleet.changed:  # as if another thread were in the middle of a call
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    good = client.get(2).digest() == digests[2] and next(stream).digest() == digests[1]
                    stream.close()
                    client.close()
                    status = 0 if good else 2
                finally:
                    os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        # The child closed its own connections, not these.
        links = [lane.link for lane in fleet._lanes.values()]
        assert [next(stream).digest() for _ in range(5)] == digests[1:6]
        assert client._fleet is fleet
        assert [lane.link for lane in fleet._lanes.values()] == links


def test_workers(pair: list[str]) -> None:
    with connect(pair) as client:
        client.get(0)
        loader = DataLoader(Puzzles(client, 48), batch_size=8, num_workers=2, multiprocessing_context="fork", collate_fn=collate)
        found = [item for items in loader for item in items]
        assert [index for index, _, _ in found] == list(range(48))
        assert all(int(image[0, 0, 0]) == (index * 31 + 101) & 0xFF for index, image, _ in found)
