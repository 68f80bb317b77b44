"""The position of a run as a small JSON object, and why it does not fit another stream. docs/cluster.md, "Position"."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from .errors import BadOption, OtherStream
from .model import Info

_VERSION: Final = 1
#: The mix has never been changed: the hash of an empty list.
_LOG: Final = {"length": 0, "hash": "sha256:" + hashlib.sha256(b"[]").hexdigest()}
_NUMBERS: Final = {
    "version": "version of the stream format",
    "seed": "seed",
    "batch": "puzzles in a batch (batch)",
    "partitions": "partitions",
    "shards": "number of shards",
}
_PARTS: Final = {
    "plan": "the plan (window, order, deal, passes)",
    "entries": "the mix, its task options or prompts",
    "suffix": "the prompts' format instruction",
    "sizes": "image sizes (factor, minPixels, maxPixels, fit)",
    "images": "rules for images (imageField, groupField, maxInputPixels)",
    "sources": "the sources' weights",
    "shards": "the data (names, sizes or contents of shards)",
}


def make_state(info: Info, step: int) -> dict[str, Any]:
    """`step` is the next one that the trainer needs."""
    return {
        "ssl_r1": _VERSION,
        "step": step,
        "fingerprint": info.fingerprint,
        "log": dict(_LOG),
        "stream": {**{name: getattr(info, name) for name in _NUMBERS}, "identity": dict(info.identity)},
    }


def read_state(state: Mapping[str, Any], info: Info) -> int:
    """The step of a state of this very stream. OtherStream says what differs; BadOption where it is no state."""
    if not isinstance(state, Mapping) or "ssl_r1" not in state:
        raise BadOption("BAD_OPTION", f"not a state of this client: {state!r:.80}")
    if state["ssl_r1"] != _VERSION:
        raise OtherStream("OTHER_STREAM", f"the state has format {state['ssl_r1']!r:.40}, this client reads {_VERSION}")
    step, fingerprint = state.get("step"), state.get("fingerprint")
    log, stream = state.get("log"), state.get("stream")
    if type(step) is not int or not 0 <= step < 2**53:
        raise BadOption("BAD_OPTION", f"step of a state must be an integer from 0 to 2^53 - 1, not {step!r:.80}")
    if not isinstance(fingerprint, str) or not isinstance(log, Mapping) or not isinstance(stream, Mapping):
        raise BadOption("BAD_OPTION", "a state has a fingerprint (text), log and stream (maps)")
    if fingerprint != info.fingerprint:
        what = "; ".join(_differences(stream, info)) or "what, an old server does not tell"
        raise OtherStream("OTHER_STREAM", f"the state is of another stream ({fingerprint:.80}, not {info.fingerprint}): {what}")
    if dict(log) != _LOG:
        raise OtherStream("OTHER_STREAM", f"the state has a mix log of length {log.get('length')!r:.40}, this stream has none or another")
    return step


def _differences(stream: Mapping[str, Any], info: Info) -> list[str]:
    found = []
    for name, words in _NUMBERS.items():
        here = getattr(info, name)
        if stream.get(name) != here:
            found.append(f"{words}: {stream.get(name)!r:.40} in the state, {here} here")
    given = stream.get("identity")
    identity = given if isinstance(given, Mapping) else {}
    # What a number above already says is no second difference.
    told = {"plan"} if any(stream.get(name) != getattr(info, name) for name in ("seed", "batch", "partitions")) else set()
    told |= {"shards"} if stream.get("shards") != info.shards else set()
    for part in sorted({*identity, *info.identity}):
        if identity.get(part) != info.identity.get(part) and part not in told and identity and info.identity:
            found.append(_PARTS.get(part, f"{part:.40}") + " differ")
    return found
