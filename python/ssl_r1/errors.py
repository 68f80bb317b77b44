"""What can go wrong, as exceptions. Every one is an ``Error`` with a ``code`` of the closed set in docs/errors.md."""

from __future__ import annotations


class Error(Exception):
    """``str(error)`` is the message, ``error.code`` says which kind of failure it is."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


class BadOption(Error):
    """An option has a wrong type or range."""


class Closed(Error):
    """Used after close()."""


class Unauthorized(Error):
    """Wrong or missing token."""


class ConnectionLost(Error):
    """The server went away, or never was there, and could not be reached again in time."""


class TimedOut(ConnectionLost):
    """The server is there but sent nothing for ``timeout`` seconds."""


class ProtocolError(Error):
    """Bytes or messages that the protocol does not allow."""


class OtherStream(Error):
    """The server's stream is not the one that was expected: another configuration, catalog or version."""


class StepOutOfRange(Error):
    """No such step."""


class BadSlots(Error):
    """Slots repeat or are out of range."""


class SlotFailed(Error):
    """No usable image was found for a slot. Ask with ``on_failed="skip"`` to get the batch without it."""


class NeedsIndex(Error):
    """The step can't be planned before the named shards are counted."""


class LimitReached(Error):
    """A limit of the server, such as its number of clients."""


class ServerError(Error):
    """Anything else that a server reports."""


_BY_CODE: dict[str, type[Error]] = {
    "BAD_FRAME": ProtocolError,
    "BAD_OPTION": BadOption,
    "BAD_SLOTS": BadSlots,
    "CLOSED": Closed,
    "CONNECTION_LOST": ConnectionLost,
    "FRAME_TOO_LARGE": ProtocolError,
    "LIMIT": LimitReached,
    "NEEDS_INDEX": NeedsIndex,
    "OTHER_STREAM": OtherStream,
    "PROTOCOL": ProtocolError,
    "SLOT_FAILED": SlotFailed,
    "STEP_OUT_OF_RANGE": StepOutOfRange,
    "UNAUTHORIZED": Unauthorized,
}


def error_of(code: str, message: str) -> Error:
    """The exception for an error message of a server."""
    return _BY_CODE.get(code, ServerError)(code, message)
