"""Images and files in what a user says, as base64 within the request; addresses are refused, nothing is fetched."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starter.client import Session
from starter.gateway.errors import invalid, unsupported

_DATA = re.compile(r"data:([^,;]{3,127})(?:;charset=([A-Za-z0-9._-]{1,32}))?;base64,")
_IMAGES = frozenset({"input_image", "image_url"})
_FILES = frozenset({"input_file", "file"})


@dataclass(frozen=True)
class Upload:
    """A file that came with a request."""

    content: bytes
    media_type: str
    name: str | None


def upload_in(part: Mapping[str, Any], where: str) -> Upload | None:
    """The image or file that a part of a content is; null for any other part. Raises ApiError."""
    kind = part.get("type")
    if kind in _IMAGES:
        given = part.get("image_url")
        url = given.get("url") if isinstance(given, dict) else given
        return _upload(url, None, f"{where}.image_url") if url is not None else _no_id(where)
    if kind in _FILES:
        inner = part.get("file", part)
        found = inner if isinstance(inner, dict) else {}
        name = found.get("filename")
        if name is not None and not isinstance(name, str):
            raise invalid(f"{where}.filename", "must be a text", "invalid_type")
        data = found.get("file_data")
        return _upload(data, name, f"{where}.file_data") if data is not None else _no_id(where)
    return None


async def with_files(session: Session, task_input: Any, uploads: tuple[Upload, ...]) -> Any:
    """A task's input with these files, which are stored for its session. Raises SessionError as `Session.put` does."""
    if not uploads:
        return task_input
    references = [await session.put(file.content, media_type=file.media_type, name=file.name) for file in uploads]
    return ({"text": task_input} if isinstance(task_input, str) else task_input) | {"files": references}


def _upload(url: Any, name: str | None, where: str) -> Upload:
    found = _DATA.match(url) if isinstance(url, str) else None
    if found is None:
        raise unsupported(where, "it has to be a data URL in base64; nothing is fetched from an address")
    try:
        content = base64.b64decode(url[found.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise invalid(where, "is no base64") from None
    return Upload(content, found[1] + (f"; charset={found[2]}" if found[2] else ""), name)


def _no_id(where: str) -> Upload:
    raise unsupported(
        where, "it has to have its data in it; there are no uploaded files to name by an id or an address"
    )
