"""What a process forked off a trainer must not share with it: connections, locks and the threads behind them."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class _Forgetful(Protocol):
    def _reset(self) -> None: ...


_all: weakref.WeakSet[_Forgetful] = weakref.WeakSet()


def reset_after_fork(thing: _Forgetful) -> None:
    """Calls thing._reset() in every forked child, before anything else runs there."""
    _all.add(thing)


def _in_child() -> None:
    for thing in list(_all):
        thing._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
