"""A key that opens nothing: in the environment of all that the suite starts, and in nothing that may be kept."""

import base64
import json
import logging
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from google.protobuf.message import Message

VARIABLE = "OPENAI_API_KEY"
SECRET = "sk-test-canary-7f3a9c51d2e84b06"  # noqa: S105 (opens nothing)
_HALVES = (SECRET[: len(SECRET) // 2].encode(), SECRET[len(SECRET) // 2 :].encode())


PART = 8
"""Characters in a row of a key that nothing may keep."""


def told(secret: str, text: str) -> set[str]:
    """Parts of `secret` that somebody finds who reads all of `text` as base64, hexadecimal, a URL or JSON as well."""
    readings = [text, unquote(text), *_decoded(text)]
    return {part for part in parts(secret) if any(part in reading for reading in readings)}


def parts(secret: str) -> set[str]:
    """All that `told` looks for."""
    return {secret[start : start + PART] for start in range(len(secret) - PART + 1)}


def _decoded(text: str) -> Iterator[str]:
    for word in re.findall(r"[\w+/-]{8,}", text):
        for start in range(4):
            cut = word[start:].replace("-", "+").replace("_", "/")
            if re.fullmatch(r"[A-Za-z0-9+/]+", cut):
                cut = cut[: len(cut) - (len(cut) % 4 == 1)]
                yield base64.b64decode(cut + "=" * (-len(cut) % 4)).decode("latin-1")
    for digits in re.findall(r"(?:[0-9a-fA-F]{2}){8,}", text):
        yield bytes.fromhex(digits).decode("latin-1")
    for word in re.findall(r'(?:[^"\\\s]|\\u[0-9a-fA-F]{4}|\\/)+', text):
        yield json.loads(f'"{word}"', strict=False)


def in_events(events: Iterable[Message]) -> bool:
    """Whether half of the key or more is in the events of a history, payloads as they are."""
    return _shown(b"".join(event.SerializeToString() for event in events))


def in_log(records: Iterable[logging.LogRecord]) -> bool:
    """Whether it is in what was logged, tracebacks included."""
    lines = logging.Formatter()
    return _shown("\n".join(map(lines.format, records)).encode(errors="replace"))


def _shown(kept: bytes) -> bool:
    return any(half in kept for half in _HALVES)
