"""Sizes, canonical JSON and cutting to length: how the session measures what users send. Pure functions."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from workflows.wire.limits import JSON_DEPTH
from workflows.wire.mending import mended, mended_value

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


def canonical(value: Any) -> str:
    """`value` as compact JSON with sorted keys: the same for equal values, so it can be hashed and measured.

    Raises ValueError for what is not JSON or would not survive being carried: NaN and the infinities, lone surrogates,
    nesting deeper than `JSON_DEPTH`.
    """
    text = _encoded(value)
    # Counting brackets is a cheap upper bound; only what exceeds it is walked.
    if text.count("[") + text.count("{") > JSON_DEPTH and _depth(value) > JSON_DEPTH:
        raise ValueError(f"nested deeper than {JSON_DEPTH} levels")
    return text


def _encoded(value: Any) -> str:
    try:
        text = _ENCODER.encode(value)
        text.encode()
    except (TypeError, RecursionError, UnicodeEncodeError) as error:
        raise ValueError(f"not JSON: {error}") from None
    except ValueError as error:
        why = "NaN and infinite numbers have no JSON form" if "float" in str(error) else "a number has too many digits"
        raise ValueError(f"not JSON: {why}") from None
    return text


def plain(value: Any) -> Any:
    """`value` as JSON has it: lists for tuples, objects for pydantic models, U+FFFD for lone surrogates.

    Raises ValueError for all else that is not JSON, rather than take it for something that is: sets, bytes, times, NaN.
    """
    try:
        found = _plain(value)
    except RecursionError:
        raise ValueError("not JSON: it is nested without end") from None
    _encoded(found)
    return found


def _plain(value: Any) -> Any:
    match value:
        case str():
            return mended(value)
        case None | bool() | int() | float():
            return value
        case list() | tuple():
            return [_plain(item) for item in value]
        case Mapping() if all(isinstance(key, str) for key in value):
            return {mended(key): _plain(item) for key, item in value.items()}
        case BaseModel():
            return from_json(carried(value))
    what = "an object whose keys are not all strings" if isinstance(value, Mapping) else f"a {type(value).__name__}"
    raise ValueError(f"not JSON: {what}")


def carried(value: Any) -> bytes:
    """`value` as Temporal carries it, with U+FFFD for lone surrogates. Raises ValueError for what has no such form."""
    try:
        return to_json(value)
    except ValueError:
        return to_json(mended_value(value))


def alike(one: Any, other: Any) -> bool:
    """Equal as JSON: unlike in Python, 1, 1.0 and true are three values. Raises ValueError like `canonical`."""
    return one is other or canonical(one) == canonical(other)


def _depth(value: Any) -> int:
    """Containers within containers; what is not one has none."""
    deepest, level = 0, [value]
    # By `type`: the sandbox's own `isinstance` would take seconds over a large value.
    while level := [item for item in level if type(item) in (dict, list)]:
        level = [child for item in level for child in (item.values() if type(item) is dict else item)]
        deepest += 1
    return deepest


def json_bytes(value: Any) -> int:
    """Bytes of `value` as it is carried. Raises ValueError like `canonical`."""
    canonical(value)
    return len(to_json(value))


def model_bytes(model: BaseModel) -> int:
    """Bytes of `model` as it is carried: JSON without nulls."""
    return len(model.model_dump_json(exclude_none=True).encode())


def clip(text: str, limit: int) -> str:
    """`text`, mended and cut to weigh at most `limit` bytes as JSON, without the quotes; a cut ends in an ellipsis."""
    text = mended(text)
    if json_bytes(text) - 2 <= limit:
        return text
    kept = text[:limit]
    while json_bytes(kept) - 2 > limit - len("…".encode()):
        kept = kept[: len(kept) * 9 // 10]
    return kept + "…"


def _beginning(value: Any, characters: int) -> str:
    """At least so much of `canonical(value)`, without the work for the rest. Raises ValueError like it."""
    text = ""
    try:
        for part in _ENCODER.iterencode(value):
            text += part
            if len(text) > characters:
                break
    except (TypeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    return text


def preview(value: Any, limit: int) -> str:
    """One line that shows `value` to a person: strings as they are, everything else as JSON, at most `limit` bytes."""
    text = value if isinstance(value, str) else _beginning(value, 2 * limit)
    # Twice the limit is enough to cut from, and keeps this cheap for large inputs.
    return clip(" ".join(text[: 2 * limit].split()) + ("" if len(text) <= 2 * limit else "…"), limit)


def short_hash(text: str, characters: int) -> str:
    """The first `characters` (6 bits each) of the SHA-256 of `text`, in the URL-safe base64 alphabet."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()[:characters]
