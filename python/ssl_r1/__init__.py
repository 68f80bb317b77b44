"""Visual puzzles for reinforcement learning, streamed from a loader: client, rewards and trainer adaptors."""

from .client import Client, connect
from .errors import (
    BadOption,
    BadSlots,
    Closed,
    ConnectionLost,
    Error,
    LimitReached,
    NeedsIndex,
    OtherStream,
    ProtocolError,
    ServerError,
    SlotFailed,
    StepOutOfRange,
    TimedOut,
    Unauthorized,
)
from .loaders import Event, Loader
from .model import Batch, EntryInfo, FailedSlot, Image, Info, Puzzle
from .stream import Stream

__all__ = [
    "BadOption",
    "BadSlots",
    "Batch",
    "Client",
    "Closed",
    "ConnectionLost",
    "EntryInfo",
    "Error",
    "Event",
    "FailedSlot",
    "Image",
    "Info",
    "LimitReached",
    "Loader",
    "NeedsIndex",
    "OtherStream",
    "ProtocolError",
    "Puzzle",
    "ServerError",
    "SlotFailed",
    "StepOutOfRange",
    "Stream",
    "TimedOut",
    "Unauthorized",
    "connect",
]
