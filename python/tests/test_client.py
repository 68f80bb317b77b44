"""The client against a real server."""

from __future__ import annotations

import gc
import os
import pickle
import sys
import threading
from typing import Any

import numpy
import pytest
from conftest import Serve, silent_server

import ssl_r1


def expected(index: int, image: int, side: int = 6) -> Any:
    at = numpy.arange(side * side * 3)
    return ((index * 31 + image * 101 + at * 7 + (at >> 8)) & 0xFF).astype(numpy.uint8).reshape(side, side, 3)


def check_pixels(batch: ssl_r1.Batch, side: int = 6) -> None:
    for puzzle in batch:
        for number, image in enumerate(puzzle.images):
            assert numpy.array_equal(image, expected(puzzle.index, number, side))


def stream_threads() -> int:
    return sum(thread.name == "ssl_r1 stream" for thread in threading.enumerate())


# ---- get


def test_batch(url: str) -> None:
    with ssl_r1.connect(url) as client:
        batch = client.get(3)
    assert batch.step == 3
    assert [puzzle.slot for puzzle in batch] == list(range(8))
    assert [puzzle.index for puzzle in batch] == list(range(24, 32))
    check_pixels(batch)
    puzzle = batch.puzzles[1]
    assert (puzzle.entry, puzzle.task, puzzle.answer) == ("rotation", "rotation", "90")
    assert puzzle.recipe == {"shard": "a.tar", "row": 25, "drawn": [1, 2.5, None, True], "nested": {"seed": 2**40 + 25}}
    assert puzzle.messages == [{"role": "user", "content": puzzle.prompt}]
    assert [part["type"] for part in puzzle.prompt] == ["text", "image", "text", "image"]
    assert puzzle.prompt[2]["text"] == "\nHow far is it turned (“25”, 90°)? \U0001f4d0"


def test_info(url: str) -> None:
    with ssl_r1.connect(url) as client:
        assert client.info == client.refresh()
        assert client.info.seed == 2**53 - 1
        assert client.info.batch == 8
        assert client.info.steps is None
        assert client.info.entries[0].options == {"angles": [0, 90, 180, 270], "factor": 1.5}


def test_slots_in_the_order_asked_for(url: str) -> None:
    with ssl_r1.connect(url) as client:
        assert [puzzle.slot for puzzle in client.get(1, numpy.array([6, 0, 5]))] == [6, 0, 5]
        with pytest.raises(ssl_r1.BadSlots, match="slot 8 of a batch of 8") as caught:
            client.get(1, [8])
        assert caught.value.code == "BAD_SLOTS"
        check_pixels(client.get(2))


def test_raw_images_are_views_of_one_buffer_and_stay_as_long_as_they_are_kept(serve: Serve) -> None:
    with ssl_r1.connect(serve(side=200).url) as client:
        first = client.get(0)
        image = first.puzzles[0].images[0]
        assert image.base is not None
        assert image.flags.writeable
        assert image.__array_interface__["data"][0] == first.puzzles[0].images[0].__array_interface__["data"][0]
        kept = first.puzzles[5].images[1][10:20].reshape(-1)[::2]
        del first, image
        for step in range(1, 40):
            check_pixels(client.get(step), 200)
        assert numpy.array_equal(kept, expected(5, 1, 200)[10:20].reshape(-1)[::2])


def test_buffers_are_used_again_when_nothing_views_them(serve: Serve) -> None:
    with ssl_r1.connect(serve(side=200).url) as client:
        seen = set()
        for step in range(20):
            batch = client.get(step)
            seen |= {puzzle.images[0].__array_interface__["data"][0] for puzzle in batch}
        # Two cells a batch, four puzzles a cell; one batch is still held while the next arrives.
        assert len(seen) <= 4 * 4


def test_copies_do_not_share_memory(url: str) -> None:
    with ssl_r1.connect(url, copy=True) as client:
        batch = client.get(0)
        check_pixels(batch)
        one, other = batch.puzzles[0].images
        one[:] = 0
        assert numpy.array_equal(other, expected(0, 1))


def test_without_numpy(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with ssl_r1.connect(url) as client:
        batch = client.get(0)
    monkeypatch.setitem(sys.modules, "numpy", None)
    image = batch.puzzles[1].images[1]
    assert isinstance(image, memoryview)
    assert image.shape == (6, 6, 3)
    assert image.tobytes() == expected(1, 1).tobytes()


@pytest.mark.parametrize("image_format", ["raw", "png", "jpeg"])
def test_pillow_and_encoded_images(serve: Serve, image_format: str) -> None:
    with ssl_r1.connect(serve(side=16).url, image_format=image_format) as client:
        puzzle = client.get(1).puzzles[2]
    for number, (image, array, shown) in enumerate(zip(puzzle.pil(), puzzle.images, puzzle.shown, strict=True)):
        assert shown.format == image_format
        assert (image.mode, image.size) == ("RGB", (16, 16))
        assert numpy.array_equal(numpy.asarray(image), array)
        if image_format != "jpeg":
            assert numpy.array_equal(array, expected(10, number, 16))
    if image_format != "raw":
        with pytest.raises(ssl_r1.BadOption):
            ssl_r1.Batch(1, [puzzle], []).digest()


def test_failed_slots_are_raised_or_skipped(serve: Serve) -> None:
    server = serve(failing="2,6")
    with ssl_r1.connect(server.url) as client:
        with pytest.raises(ssl_r1.SlotFailed, match=r"step 1, slot 2 \(puzzle 10, rotation\): SLOT_FAILED: shard a.tar, key 000007.* \(and 1 more"):
            client.get(1)
        assert len(client.get(1, [0, 1])) == 2
    with ssl_r1.connect(server.url, on_failed="skip") as client:
        batch = client.get(1)
        assert [puzzle.slot for puzzle in batch] == [0, 1, 3, 4, 5, 7]
        assert [(failed.slot, failed.code) for failed in batch.failed] == [(2, "SLOT_FAILED"), (6, "SLOT_FAILED")]


# ---- stream


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_stream(serve: Serve, prefetch: int) -> None:
    server = serve(steps=9, side=100)
    with ssl_r1.connect(server.url) as client:
        found = []
        for batch in client.stream(2, 3, prefetch=prefetch):
            check_pixels(batch, 100)
            found.append(batch.step)
        assert found == [2, 3, 4]
        assert [batch.step for batch in client.stream(6, slots=[3], prefetch=prefetch)] == [6, 7, 8]
        assert [batch.step for batch in client.stream(9, prefetch=prefetch)] == []
        assert [batch.step for batch in client.stream(0, 0, prefetch=prefetch)] == []
        with pytest.raises(ssl_r1.StepOutOfRange):
            next(client.stream(10, prefetch=prefetch))
    server.stop()
    assert stream_threads() == 0


@pytest.mark.parametrize("prefetch", [0, 1])
def test_stream_closed_early(url: str, prefetch: int) -> None:
    with ssl_r1.connect(url) as client:
        with client.stream(prefetch=prefetch) as stream:
            assert next(stream).step == 0
            assert stream.step == 1
        assert list(stream) == []
        dropped = client.stream(prefetch=prefetch)
        next(dropped)
        threads = [thread for thread in threading.enumerate() if thread.name == "ssl_r1 stream"]
        del dropped
        gc.collect()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()


def test_stream_prefetches_no_more_than_asked(serve: Serve) -> None:
    server = serve(side=2, images=1)
    with ssl_r1.connect(server.url) as client:
        stream = client.stream(prefetch=2)
        for step in range(6):
            assert next(stream).step == step
        feed = stream._feed
        assert feed is not None
        assert len(feed._ready) <= 2
        stream.close()


def test_stream_goes_on_after_a_failed_slot(serve: Serve) -> None:
    with ssl_r1.connect(serve(failing="1").url) as client:
        stream = client.stream(4)
        for step in (4, 5):
            with pytest.raises(ssl_r1.SlotFailed, match=f"step {step}, slot 1"):
                next(stream)
        stream.close()


@pytest.mark.parametrize("prefetch", [0, 1])
def test_close_from_another_thread_wakes_the_reader(prefetch: int) -> None:
    with silent_server(welcome=True) as url, ssl_r1.connect(url) as client:
        stream = client.stream(prefetch=prefetch)
        ended = []
        thread = threading.Thread(target=lambda: ended.append(list(stream)))
        thread.start()
        while stream._feed is None or stream._feed._assembler is None:
            pass
        stream.close()
        thread.join(10)
        assert ended == [[]]


# ---- threads, processes


def test_feedback(serve: Serve) -> None:
    server = serve()
    with ssl_r1.connect(server.url) as client:
        client.feedback(1, {8: 1.0, 9: 0.5})
        client.feedback(1, [(8, 0), (8, 2)])
        client.refresh()
    given = [feedback["rewards"] for feedback in server.stop()["feedback"]]
    assert given == [[{"index": 8, "reward": 1}, {"index": 9, "reward": 0.5}], [{"index": 8, "reward": 0}, {"index": 8, "reward": 2}]]


def test_threads_share_a_client(url: str) -> None:
    with ssl_r1.connect(url) as client:
        steps: list[int] = []

        def work(first: int) -> None:
            for step in range(first, first + 10):
                batch = client.get(step)
                check_pixels(batch)
                steps.append(batch.step)

        threads = [threading.Thread(target=work, args=(first,)) for first in (0, 100, 200, 300)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(steps) == [first + i for first in (0, 100, 200, 300) for i in range(10)]


def test_pickle(url: str) -> None:
    with ssl_r1.connect(url) as client:
        batch = client.get(0)
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            again = pickle.loads(pickle.dumps(batch, protocol))
            assert again.digest() == batch.digest()
            assert again.puzzles[0].images[0].flags.writeable
        other = pickle.loads(pickle.dumps(client))
        assert other._link is None
        assert other._dialer.fingerprint == "sha256:fake"
        assert other.get(0).digest() == batch.digest()
        other.close()
        client.get(1)
        error = pickle.loads(pickle.dumps(ssl_r1.BadSlots("BAD_SLOTS", "x")))
        assert (type(error), error.code, str(error)) == (ssl_r1.BadSlots, "BAD_SLOTS", "x")


def test_fork(url: str) -> None:
    with ssl_r1.connect(url) as client, client.stream() as stream:
        digests = [client.get(step).digest() for step in range(4)]
        assert next(stream).digest() == digests[0]
        with client._lock:  # as if another thread were in the middle of a call
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
        link = client._link
        assert client.get(3).digest() == digests[3]
        assert client._link is link
        assert [next(stream).digest() for _ in range(3)] == digests[1:]
