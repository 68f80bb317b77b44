"""The position of a run: restored at every step, with any number of loaders, refused for another stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from conftest import FakeServer, Serve
from test_client_torch import Puzzles, collate
from test_fleet import SHAPE, connect, digests, plain
from torch.utils.data import DataLoader, Sampler

import ssl_r1
from ssl_r1.state import make_state, read_state

__all__ = ["digests", "plain"]  # fixtures

STEPS = 12


@pytest.fixture(scope="module")
def loaders() -> Iterator[list[str]]:
    servers = [FakeServer(near=near, steps=STEPS, **SHAPE) for near in ("0,1", "2,3", "")]
    yield [server.url for server in servers]
    for server in servers:
        server.stop()


@pytest.mark.parametrize("before", [1, 3])
@pytest.mark.parametrize("after", [1, 2])
def test_restored_at_every_step(loaders: list[str], digests: list[str], before: int, after: int) -> None:
    for step in range(STEPS + 1):
        with connect(loaders[:before]) as client, client.stream(prefetch=2) as stream:
            assert [next(stream).digest() for _ in range(step)] == digests[:step]
            text = json.dumps(client.state())
        with connect(loaders[-after:]) as client:
            assert client.load_state(json.loads(text)) == step
            assert json.dumps(client.state()) == text
            assert [batch.digest() for batch in client.stream()] == digests[step:STEPS]
            assert client.state()["step"] == STEPS


def test_what_a_state_is(loaders: list[str]) -> None:
    with connect(loaders) as client:
        state = client.state(1200)
        assert len(json.dumps(state)) < 600
        assert json.loads(json.dumps(state)) == state
        empty = "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
        assert state["log"] == {"length": 0, "hash": empty}
        stream = {"version": 1, "seed": 2**53 - 1, "batch": 8, "partitions": 4, "shards": 1, "identity": {}}
        assert state == {"ssl_r1": 1, "step": 1200, "fingerprint": "sha256:fake", "log": state["log"], "stream": stream}
        for wrong in (-1, 2**53):
            with pytest.raises(ssl_r1.BadOption):
                client.state(wrong)


def test_the_position_is_that_of_the_streams(loaders: list[str]) -> None:
    with connect(loaders[:1]) as client:
        assert client.state()["step"] == 0
        client.get(5)
        with client.stream(3, prefetch=2) as stream:
            assert client.state()["step"] == 0
            next(stream)
            assert client.state()["step"] == 4
            next(stream)
        assert [batch.step for batch in client.stream(steps=2)] == [5, 6]
        assert next(client.stream()).step == 7
        assert next(client.stream(0)).step == 0
        assert client.state()["step"] == 1


def test_a_batch_that_was_refused_is_behind(serve: Serve) -> None:
    with connect(serve(failing="1", **SHAPE).url) as client:
        with pytest.raises(ssl_r1.SlotFailed):
            next(client.stream(4))
        assert client.state()["step"] == 5


class Samples(Sampler[int]):
    """TRL-like: every index in order, from a step on."""

    def __init__(self, client: ssl_r1.Client, step: int) -> None:
        self.indices = range(step * client.info.batch, STEPS * client.info.batch)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


@pytest.mark.parametrize("workers", [0, 2])
def test_map_style(loaders: list[str], digests: list[str], workers: int) -> None:
    """A data set of puzzle i = step * B + slot, in a DataLoader whose sampler starts in the middle, in the middle of which it is restored again."""
    with connect(loaders) as client:
        data = Puzzles(client, STEPS * client.info.batch)
        saved = [client.state(0)]
        found: list[str] = []
        for stop in (3, 7, STEPS):
            # As in another process: what is left of the first one is its state.
            with connect(loaders[1:]) as later:
                step = later.load_state(saved[-1])
            batches = DataLoader(data, 8, sampler=Samples(client, step), num_workers=workers, collate_fn=collate)
            for items in batches:
                puzzles = [puzzle for _, _, puzzle in items]
                found.append(ssl_r1.Batch(step, puzzles, []).digest())
                step += 1
                if step == stop:
                    break
            saved.append(client.state(step))
        assert found == digests[:STEPS]


# ---- refused


INFO = ssl_r1.Info(
    version=1,
    fingerprint="sha256:a",
    identity={"plan": "p", "entries": "e", "suffix": "s", "sizes": "z", "images": "i", "shards": "d"},
    seed=7,
    batch=40,
    partitions=5,
    entries=[],
    shards=128,
    samples=1,
    counted=True,
    steps=None,
    skipped={},
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 8}, "seed: 8 in the state, 7 here"),
        ({"version": 2}, "version of the stream format: 2 in the state, 1 here"),
        ({"batch": 80, "identity": {**INFO.identity, "plan": "q"}}, r"puzzles in a batch \(batch\): 80 in the state, 40 here$"),
        ({"partitions": 4}, "partitions: 4 in the state, 5 here"),
        ({"shards": 127, "identity": {**INFO.identity, "shards": "x"}}, "number of shards: 127 in the state, 128 here$"),
        ({"identity": {**INFO.identity, "plan": "x"}}, r"the plan \(window"),
        ({"identity": {**INFO.identity, "entries": "x"}}, "the mix, its task options or prompts"),
        ({"identity": {**INFO.identity, "suffix": "x"}}, "the prompts"),
        ({"identity": {**INFO.identity, "sizes": "x"}}, "image sizes"),
        ({"identity": {**INFO.identity, "images": "x"}}, "rules for images"),
        ({"identity": {**INFO.identity, "shards": "x"}}, "the data"),
        ({"identity": {**INFO.identity, "sources": "x"}}, "the sources' weights"),
        ({"identity": {**INFO.identity, "novelty": "x"}}, "novelty differ"),
        ({"identity": {}}, "does not tell"),
        ({"seed": 8, "identity": {**INFO.identity, "sizes": "x"}}, "seed: 8 .*; image sizes"),
    ],
    ids=str,
)
def test_another_stream(changes: dict[str, Any], words: str) -> None:
    other = make_state(replace(INFO, fingerprint="sha256:b", **changes), 3)
    with pytest.raises(ssl_r1.OtherStream, match=words):
        read_state(other, INFO)
    assert read_state(make_state(INFO, 3), INFO) == 3


@pytest.mark.parametrize("change", [{"ssl_r1": 2}, {"log": {"length": 1, "hash": "sha256:x"}}, {"log": {"length": 0, "hash": "sha256:x"}}], ids=str)
def test_another_format_or_log(change: dict[str, Any]) -> None:
    with pytest.raises(ssl_r1.OtherStream, match=r"format 2|mix log of length"):
        read_state({**make_state(INFO, 3), **change}, INFO)


@pytest.mark.parametrize(
    "bad",
    [None, 3, "{}", [], {}, {"step": 3}]
    + [{**make_state(INFO, 3), "step": step} for step in (-1, 1.5, "3", None, True, 2**53)]
    + [{**make_state(INFO, 3), name: None} for name in ("fingerprint", "log", "stream")],
    ids=str,
)
def test_no_state(bad: Any) -> None:
    with pytest.raises(ssl_r1.BadOption):
        read_state(bad, INFO)


def test_a_client_keeps_its_position_when_a_state_is_refused(loaders: list[str]) -> None:
    with connect(loaders[:2]) as client:
        client.load_state(client.state(4))
        with pytest.raises(ssl_r1.OtherStream, match="seed: 1 in the state"):
            client.load_state({**client.state(), "fingerprint": "sha256:b", "stream": {**client.state()["stream"], "seed": 1}})
        assert next(client.stream()).step == 4
