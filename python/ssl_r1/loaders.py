"""Which loaders there are: lists, files and names that change while a run goes on. docs/cluster.md has the forms and the pauses."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from .errors import BadOption, ConnectionLost, Error
from .link import parse_url

#: More than any list has that was meant; beyond it somebody else writes the list.
_MOST: Final = 16_384


@dataclass(frozen=True)
class Loader:
    """A loader of the stream, as this client sees it."""

    address: str
    state: str
    """ "used"; "trying" before the first answer; "left" where it was lost, refused or answered wrongly: it is tried again."""
    near: list[int] | None = None
    """The partitions that it prefers, as far as it told."""
    reason: str | None = None
    """Why it was left."""


@dataclass(frozen=True)
class Event:
    """What the client did about its loaders; batches are the same, whatever it did."""

    kind: str
    """left, back, joined, gone, moved or hedged."""
    loader: str
    """Its address. For moved, the loader that has the partitions now; for hedged, the late one."""
    reason: str
    step: int | None = None


@dataclass(frozen=True)
class Pace:
    """Seconds between tries. Not an option: tests make it faster, or let it stand."""

    first: float = 1.0
    """Pause before a loader that was left is tried again; doubles ..."""
    longest: float = 60.0
    """... up to this. Also how long a loader has to hold out for its pause to begin at `first` again."""
    outage_first: float = 0.05
    """The same pauses where no loader is in use ..."""
    outage_longest: float = 2.0
    file: float = 1.0
    """Between two looks at a file."""
    ask: float = 10.0
    """Between two questions for a name, or to a loader for the others."""
    turn: float = 5.0
    """How long an address waits for those before it in the list to say which stream it is."""
    settle: float = 1.0
    """How long the first request waits for the loaders that have not answered yet, once one has."""
    now: Callable[[], float] = time.monotonic
    resolve: Callable[[str, int], Sequence[str]] | None = None
    """Host and port -> IP addresses; None asks the system."""


class Standing:
    """How long a loader pauses."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._pause = 0.0
        self._back: float | None = None
        self._outage = 0.0

    def welcomed(self) -> None:
        self._back = self._pace.now()

    def lost(self, outage: bool) -> float:
        """The time of the next try, for one that was in use or could not be reached. `outage`: no other is in use."""
        now, pace = self._pace.now(), self._pace
        held_out = 0.0 if self._back is None else now - self._back
        if held_out >= pace.longest:
            self._pause = 0.0
        if held_out >= pace.outage_longest:
            self._outage = 0.0
        if outage and self._back is None:
            # The others' absence is no reason to trust this one less later.
            return now + self.hurried()
        self._back = None
        self._pause = min(pace.longest, max(pace.first, 2 * self._pause))
        return now + (min(self._pause, self.hurried()) if outage else self._pause)

    def hurried(self) -> float:
        """The next pause where no loader is in use."""
        self._outage = min(self._pace.outage_longest, max(self._pace.outage_first, 2 * self._outage))
        return self._outage


class Listing:
    """The list as it was given, and as it is now."""

    def __init__(self, given: str | Iterable[str], pace: Pace = Pace()) -> None:
        entries = given.split(",") if isinstance(given, str) else [str(entry) for entry in given]
        self.given = tuple(entry.strip() for entry in entries if entry.strip())
        if not self.given:
            raise BadOption("BAD_OPTION", "the list of loaders is empty")
        self._pace = pace
        self._parts: list[list[str]] = [[] for _ in self.given]
        self._due = [0.0] * len(self.given)
        self._stamps: dict[str, tuple[int, ...]] = {}
        self.names: dict[str, str] = {}
        """Of an address that was looked up: the name behind it, which its certificate is for."""
        for entry in self.given:
            _check(entry)

    @property
    def alone(self) -> str | None:
        """The address, where one plain one is all that was given: its loader tells of the others."""
        return self.given[0] if len(self.given) == 1 and _kind(self.given[0]) == "plain" else None

    @property
    def changes(self) -> bool:
        return any(_kind(entry) != "plain" for entry in self.given)

    def read(self) -> tuple[list[str], str | None]:
        """Looks at what is due: the list, and what could not be read (that part stays as it was)."""
        trouble: str | None = None
        for at, entry in enumerate(self.given):
            if self._pace.now() < self._due[at]:
                continue
            kind = _kind(entry)
            self._due[at] = self._pace.now() + {"plain": float("inf"), "file": self._pace.file, "dns": self._pace.ask}[kind]
            try:
                self._parts[at] = [entry] if kind == "plain" else self._file(entry, at) if kind == "file" else self._look_up(entry)
            except Error as error:
                trouble = error.message
        return list(dict.fromkeys(address for part in self._parts for address in part))[:_MOST], trouble

    def pause(self) -> float:
        """Seconds until something is due."""
        return max(0.0, min(self._due) - self._pace.now())

    def _file(self, entry: str, at: int) -> list[str]:
        path = unquote(urlsplit(entry).path)
        try:
            status = os.stat(path)
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if self._stamps.get(entry) == stamp:
                return self._parts[at]
            with open(path, encoding="utf-8") as file:
                lines = [line.split("#")[0].strip() for line in file]
        except (OSError, ValueError) as error:
            raise ConnectionLost("CONNECTION_LOST", f"{entry}: {error}") from None
        found = [line for line in lines if line]
        for line in found:
            parse_url(line)
        if not found:
            raise ConnectionLost("CONNECTION_LOST", f"{entry}: no address in it")
        self._stamps[entry] = stamp
        return found

    def _look_up(self, entry: str) -> list[str]:
        scheme, host, port = _name(entry)
        try:
            found = (self._pace.resolve or _addresses)(host, port)
        except OSError as error:
            raise ConnectionLost("CONNECTION_LOST", f"{entry}: {error}") from None
        if not found:
            raise ConnectionLost("CONNECTION_LOST", f"{entry}: no address")
        addresses = [f"{scheme}://[{ip}]:{port}" if ":" in ip else f"{scheme}://{ip}:{port}" for ip in sorted(set(found))]
        self.names.update(dict.fromkeys(addresses, host))
        return addresses


def told(seed: str, addresses: Iterable[str]) -> list[str]:
    """What a loader tells, without what is no address and what would send in the clear what was to be encrypted."""
    found = []
    for address in addresses:
        try:
            parse_url(address)
        except BadOption:
            continue
        if address.startswith(("tls://", "unix://")) or not seed.startswith("tls://"):
            found.append(address)
    return found[:_MOST]


def _kind(entry: str) -> str:
    return "file" if entry.startswith("file:") else "dns" if entry.startswith("dns+") else "plain"


def _check(entry: str) -> None:
    kind = _kind(entry)
    if kind == "plain":
        parse_url(entry)
    elif kind == "dns":
        _name(entry)
    elif not re.match(r"file:///.", entry):
        raise BadOption("BAD_OPTION", f"a list of loaders is file:///absolute/path, not {entry!r}")


def _name(entry: str) -> tuple[str, str, int]:
    """Scheme, host and port of dns+tcp://host:port."""
    address = entry[len("dns+") :]
    parsed = parse_url(address)
    if isinstance(parsed, str):
        raise BadOption("BAD_OPTION", f"{entry}: only tcp:// and tls:// addresses have names")
    return address.split("://")[0], parsed[0], parsed[1]


def _addresses(host: str, port: int) -> list[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
