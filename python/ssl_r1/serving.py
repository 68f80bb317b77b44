"""``ssl-r1 serve`` as a child process: started, watched, started again when it dies, exchanged for one with other flags."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from http.client import HTTPException
from typing import Any, Final

from .errors import BadOption

#: Seconds that a child has to end by itself before it is killed.
GRACE: Final = 10.0
#: Seconds that a child goes on after its successor listens: clients hear of the new address within that time and leave on their own.
LINGER: Final = 5.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 10.0
_REMEMBERED_LINES: Final = 20
_MOST_FAILED: Final = 3

_direct: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class State:
    """What there is to know of a loader at one moment."""

    version: int = 0
    """Grows with every change."""
    node: tuple[int, int] = (0, 1)
    """i and N of the child that listens, or of the next one."""
    address: str | None = None
    """Where it listens; None while it does not."""
    http: str | None = None
    """Where its metrics and probes are."""
    pid: int | None = None
    starts: int = 0
    """Children started so far."""
    failure: str | None = None
    """What the last child said when it ended without ever having listened."""
    hopeless: bool = False
    """That failure is a wrong option: another try would end in the same way."""


def find_command(given: str | Sequence[str] | None = None) -> list[str]:
    """The command that is `ssl-r1` on this machine: the one given, that of SSL_R1_COMMAND, one on the PATH, else what npx has installed here."""
    if given is None:
        given = os.environ.get("SSL_R1_COMMAND")
    if given:
        return shlex.split(given) if isinstance(given, str) else list(given)
    if found := shutil.which("ssl-r1"):
        return [found]
    if found := shutil.which("npx"):
        return [found, "--no-install", "ssl-r1"]
    raise BadOption("BAD_OPTION", "command: no ssl-r1 and no npx on the PATH; install Node and ssl-r1-stream there, or say which command it is")


def flags(options: Mapping[str, object]) -> list[str]:
    """Options by their Python names as flags: ``min_pixels=784`` is ``--min-pixels 784``, True the flag alone, False its ``--no-`` form."""
    found: list[str] = []
    for name, value in options.items():
        flag = name.replace("_", "-")
        if value is None:
            continue
        if value is True:
            found.append(f"--{flag}")
        elif value is False:
            found.append(f"--no-{flag}")
        elif isinstance(value, (list, tuple)):
            found += [f"--{flag}", ",".join(map(str, value))]
        elif isinstance(value, (str, int, float)):
            found += [f"--{flag}", str(value)]
        else:
            raise BadOption(
                "BAD_OPTION", f"{name}: got {value!r}; expected text, a number, a flag or a list of these (a mapping goes into a config file)"
            )
    return found


class Serving:
    """Keeps one child listening, from the moment it is made until stop(). `command` has everything but ``--node i/N``.

    check: seconds between two questions whether it lives, and for an answer. One that fails three times in a row is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        node: tuple[int, int],
        environment: Mapping[str, str],
        say: Callable[[str], None],
        check: float = 10.0,
    ) -> None:
        self._command = list(command)
        self._check = check
        self._environment = {**os.environ, **environment}
        self._say = say
        self._changed = threading.Condition()
        self._node = node
        # Beyond whatever was told before a restart of this process.
        self._state = State(version=time.time_ns() // 1000, node=node)
        self._current: _Child | None = None
        self._leaving: list[threading.Thread] = []
        self._stopped = False
        self._thread = threading.Thread(target=self._supervise, name="ssl_r1 serving", daemon=True)
        self._thread.start()

    def state(self, after: int = -1, timeout: float | None = 0.0) -> State:
        """The state, as soon as its version is beyond `after`, at the latest after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._state.version > after or self._stopped, timeout)
            return self._state

    def place(self, node: tuple[int, int]) -> None:
        """Another i and N: a new child takes over once it listens, and the old one ends when it has been left alone for a while."""
        with self._changed:
            self._node = node
            self._changed.notify_all()

    def stop(self, grace: float = GRACE) -> None:
        """Ends all children; returns when they are gone. Idempotent."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()
        if self._current is not None:
            self._current.end(grace)
        for leaving in self._leaving:
            leaving.join()

    def _set(self, **changes: Any) -> None:
        with self._changed:
            self._state = replace(self._state, version=self._state.version + 1, **changes)
            self._changed.notify_all()

    def _supervise(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopped:
            node = self._node
            old = self._current
            try:
                child = _Child([*self._command, "--node", f"{node[0]}/{node[1]}"], self._environment, self._say, self._notify)
            except OSError as error:
                self._set(failure=f"command: {self._command[0]} can't be run: {error.strerror}", hopeless=True)
                return
            self._set(starts=self._state.starts + 1)
            address = self._await_address(child)
            if address is not None:
                pause = _FIRST_PAUSE
                self._current = child
                self._set(node=node, address=address, http=child.http, pid=child.pid, failure=None, hopeless=False)
                if old is not None:
                    self._leave(old)
                self._watch(child, node)
                if child.ended and not self._stopped:
                    self._say(f"the loader ended with {child.status}; it is started again")
                    self._current = None
                    self._set(address=None, http=None, pid=None)
                continue
            child.end(0)
            if self._stopped:
                return
            # A wrong option (2) will not heal; whatever else went wrong may.
            self._set(failure=child.last_words(), hopeless=child.status == 2)
            with self._changed:
                self._changed.wait_for(lambda: self._stopped, pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            if old is not None and old.ended:
                self._current = None
                self._set(address=None, http=None, pid=None)

    def _watch(self, child: _Child, node: tuple[int, int]) -> None:
        """Until it ends, or has to."""
        failed = 0
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._stopped or child.ended or self._node != node, self._check):
                    return
            failed = 0 if child.lives(self._check) else failed + 1
            if failed == _MOST_FAILED:
                self._say(f"the loader has not answered {failed} times; it is killed")
                child.kill()

    def _await_address(self, child: _Child) -> str | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or child.ended or child.address is not None)
        return None if self._stopped else child.address

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _leave(self, child: _Child) -> None:
        def leave() -> None:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or child.ended, LINGER)
            child.end(GRACE)

        self._leaving = [thread for thread in self._leaving if thread.is_alive()]
        self._leaving.append(threading.Thread(target=leave, name="ssl_r1 leaving", daemon=True))
        self._leaving[-1].start()


class _Child:
    """One process."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], say: Callable[[str], None], notify: Callable[[], None]) -> None:
        self.address: str | None = None
        self.http: str | None = None
        self.ended = False
        self._say = say
        self._notify = notify
        self._lines: deque[str] = deque(maxlen=_REMEMBERED_LINES)
        # A session of its own, so that a wrapper like npx is killed together with what it started.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(environment), start_new_session=True
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, name="ssl_r1 log", daemon=True)
        self._reader.start()
        threading.Thread(target=self._listen, name="ssl_r1 child", daemon=True).start()

    @property
    def status(self) -> int | None:
        return self._process.returncode

    def last_words(self) -> str:
        """The error as the loader tells it, else its last lines."""
        for line in reversed(self._lines):
            with contextlib.suppress(ValueError, TypeError, KeyError):
                error = json.loads(line)["error"]
                return f"{error['code']}: {error['message']}"
        return "\n".join(self._lines) or f"it ended with {self.status}"

    def lives(self, seconds: float) -> bool:
        """What it says itself; one without --http is believed."""
        if self.http is None:
            return True
        try:
            # Not through a proxy of the environment: it is a neighbour.
            with _direct.open(f"{self.http}/livez", timeout=seconds):
                return True
        except (OSError, HTTPException):
            return False

    def end(self, grace: float) -> None:
        """End of input is the sign to finish; who has not within `grace` seconds is killed."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                ready = json.loads(line)
                self.http = ready.get("http")
                self.address = str(ready["listening"])
                self._notify()
        self._process.wait()
        self._reader.join(1)
        self.ended = True
        self._notify()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.decode("utf-8", "replace").rstrip()
            self._lines.append(text)
            self._say(text)
