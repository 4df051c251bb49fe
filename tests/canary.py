"""A key that opens nothing: in the environment of all that the suite starts, and in nothing that may be kept."""

import logging
from collections.abc import Iterable

from google.protobuf.message import Message

VARIABLE = "OPENAI_API_KEY"
SECRET = "sk-test-canary-7f3a9c51d2e84b06"  # noqa: S105 (opens nothing)
_HALVES = (SECRET[: len(SECRET) // 2].encode(), SECRET[len(SECRET) // 2 :].encode())


def in_events(events: Iterable[Message]) -> bool:
    """Whether half of the key or more is in the events of a history, payloads as they are."""
    return _shown(b"".join(event.SerializeToString() for event in events))


def in_log(records: Iterable[logging.LogRecord]) -> bool:
    """Whether it is in what was logged, tracebacks included."""
    lines = logging.Formatter()
    return _shown("\n".join(map(lines.format, records)).encode(errors="replace"))


def _shown(kept: bytes) -> bool:
    return any(half in kept for half in _HALVES)
