"""Reading what a request says: its JSON, and single fields of it, each refused by its name where it does not fit."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request

from starter.gateway.errors import ApiError, invalid

KEY_HEADER = "idempotency-key"
KEY_CHARS = 255
"""As OpenAI and Stripe have it."""


async def read_json(request: Request) -> dict[str, Any]:
    """The body, a JSON object. Raises ApiError for every other one.

    Only as `application/json`: a web page cannot send that anywhere without having asked.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, "unsupported_media_type", "a body has to be sent as application/json")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(415, "unsupported_content_encoding", "a body has to be sent as it is, without an encoding")
    try:
        found = from_json(await request.body(), allow_inf_nan=False)
    except ClientDisconnect:
        raise ApiError(400, "client_left", "the body is not whole") from None
    except ValueError:  # what is no JSON or no UTF-8, or nested too deeply
        raise ApiError(400, "invalid_json", "the body is no JSON, or is nested too deeply") from None
    if not isinstance(found, dict):
        raise ApiError(400, "invalid_json", "the body has to be a JSON object")
    return found


def idempotency_key(request: Request) -> str | None:
    """What makes a repeated request one task; null where none is given. Raises ApiError."""
    key = request.headers.get(KEY_HEADER)
    if key is not None and not 0 < len(key) <= KEY_CHARS:
        raise invalid("Idempotency-Key", f"must have 1 to {KEY_CHARS} characters")
    return key


def text_of(body: Mapping[str, Any], name: str) -> str | None:
    """A text; null where there is none. Raises ApiError."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid(name, "must be a string", "invalid_type")
    return value


def flag_of(body: Mapping[str, Any], name: str) -> bool:
    """A yes or no; no where there is none. Raises ApiError."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise invalid(name, "must be true or false", "invalid_type")
    return bool(value)


def labels_of(body: Mapping[str, Any], name: str) -> dict[str, str]:
    """Texts by name. Raises ApiError."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise invalid(name, "must be an object of strings", "invalid_type")
    return value


def number_in(text: str | None, name: str, least: int, most: int, default: int) -> int:
    """A whole number of a query. Raises ApiError."""
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise invalid(name, f"must be a whole number from {least} to {most}")
    return int(text)
