"""Making the best of what cannot be read or written as it is: lone surrogates, and messages that do not parse. Pure.

A lone surrogate is half a character, as cutting an emoji in two leaves it. JSON can spell one, UTF-8 cannot, and Rust's
reader of JSON takes none: U+FFFD stands for it, as everywhere for what is no character.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pydantic_core import SchemaSerializer, core_schema, from_json

_ANYTHING = SchemaSerializer(core_schema.any_schema())
# One escape of a JSON text, whole, so that an escaped backslash before `ud83d` is told from the escape of a surrogate.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
# A string of a JSON text, one that breaks off included, so that no byte is looked at twice.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


def mended(text: str) -> str:
    """`text` with U+FFFD for each lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def mended_json(data: bytes) -> bytes:
    """A JSON text with U+FFFD for each lone surrogate, whether an escape spells it or bytes do."""
    with suppress(UnicodeDecodeError):
        data = mended(data.decode("utf-8", "surrogatepass")).encode()
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], data)


def mended_value(value: Any) -> Any:
    """Anything that pydantic can write, models as dicts and sets as lists, with U+FFFD for each lone surrogate."""
    return _mended(_ANYTHING.to_python(value))


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return mended(value)
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_mended(item) for item in value]
    return value


def texts_of(members: Sequence[str], data: bytes) -> dict[str, str]:
    """Those `members` of a JSON object that are texts. It need not parse: too deep, too long, broken off.

    Like every reader, it takes the last one of two.
    """
    found, depth, end = dict[str, bytes](), 0, 0
    wanted = re.compile(rb'"(%s)"\s*:\s*("(?:[^"\\]++|\\.)*+")?' % "|".join(members).encode(), re.DOTALL)
    for string in _STRING.finditer(data) if data.lstrip().startswith(b"{") else ():
        between = data[end : string.start()]
        depth += between.count(b"{") + between.count(b"[") - between.count(b"}") - between.count(b"]")
        end = string.end()
        if depth == 1 and (member := wanted.match(data, string.start())):
            found[member[1].decode()] = member[2] or b""
    return {name: text for name, spelled in found.items() if (text := _text(spelled)) is not None}


def _text(spelled: bytes) -> str | None:
    with suppress(ValueError):
        return str(from_json(spelled))
    return None
