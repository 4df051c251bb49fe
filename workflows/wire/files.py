"""References to stored files, as they stand in inputs, outputs and values: `{"$file": {...}}`. Pure.

A key is the id of a session and the SHA-256 of the content, `<session_id>/<64 hex digits>`, and nothing else: what two
such words cannot say, a way out of the store among it, no key can. Whoever reads checks that the key is of his session.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from workflows.wire import limits
from workflows.wire.encoding import preview
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.fields import ID_PATTERN, Carried, Text

MARK = "$file"
"""The one field of a value that stands for a stored file."""

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
BINARY = "application/octet-stream"

_WORDS = {"txt": "plain", "log": "plain", "md": "markdown", "csv": "csv", "html": "html", "css": "css"} | {
    "py": "x-python",
    "tsv": "tab-separated-values",
}
_TYPES = {
    "json": JSON,
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "pdf": "application/pdf",
    "zip": "application/zip",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "svg": "image/svg+xml",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "mp4": "video/mp4",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

_HASH = r"[0-9a-f]{64}"
_KEY = rf"{ID_PATTERN.removesuffix('$')}/{_HASH}$"
_MEDIA_TYPE = (
    r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,63}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,63}(; ?charset=[A-Za-z0-9._-]{1,32})?$"
)
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f/\\\\\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a name must not have: control characters, what turns the reading direction, ways into other folders."""

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024


class StoredFile(Carried):
    """What a reference says: where the content is, what it weighs and is, and what people call it."""

    key: Annotated[str, Field(pattern=_KEY)]
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=rf"^{_HASH}$")]
    media_type: Annotated[str, Field(pattern=_MEDIA_TYPE)]
    name: Annotated[Text | None, Field(max_length=limits.NAME_CHARS)] = None

    @property
    def session_id(self) -> str:
        """Whose it is."""
        return self.key.partition("/")[0]

    def reference(self) -> dict[str, Any]:
        """The value that stands for it."""
        return {MARK: self.model_dump(exclude_none=True)}

    def words(self) -> str:
        """It in a line for people: name, media type, size."""
        return f"[file{f' {self.name}' if self.name else ''}: {self.media_type}, {in_words(self.bytes)}]"


def key_of(session_id: str, sha256: str) -> str:
    """The key of a content in a session."""
    return f"{session_id}/{sha256}"


def is_reference(value: Any) -> bool:
    """Whether it stands for a stored file, or is meant to."""
    return isinstance(value, dict) and len(value) == 1 and MARK in value


def file_of(value: Any, session_id: str) -> StoredFile:
    """What a reference says, which has to be of this session.

    Raises SessionError (InvalidRequest) for what is no reference, for one whose key says something else than its hash,
    and for the file of another session.
    """
    if not is_reference(value):
        raise SessionError(ErrorType.INVALID_REQUEST, f'{MARK}: not a reference, {{"{MARK}": {{"key", ...}}}}')
    try:
        file = StoredFile.model_validate(value[MARK], strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"])) or "value"
        raise SessionError(ErrorType.INVALID_REQUEST, f"{MARK}.{where}: {problem['msg']}") from None
    if file.key != key_of(file.session_id, file.sha256):
        raise SessionError(ErrorType.INVALID_REQUEST, f"{MARK}.key: does not end in the file's sha256")
    if file.session_id != session_id:
        message = f"{MARK}.key: a file of session {file.session_id!r}, which {session_id!r} may not read"
        raise SessionError(ErrorType.INVALID_REQUEST, message)
    if file.name is not None:
        checked_name(file.name)
    return file


def references_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every reference in a JSON value, well formed or not."""
    left = [value]
    while left:
        found = left.pop()
        if is_reference(found):
            yield found
        elif isinstance(found, dict):
            left.extend(found.values())
        elif isinstance(found, list | tuple):
            left.extend(found)


def check_references(value: Any, session_id: str) -> None:
    """Raise what `file_of` raises of any reference in `value`."""
    for reference in references_in(value):
        file_of(reference, session_id)


def moved(value: Any, keys: Mapping[str, str]) -> Any:
    """`value` with other keys in its references: the new one for each that `keys` has."""
    if is_reference(value):
        key = value[MARK].get("key") if isinstance(value[MARK], dict) else None
        return {MARK: {**value[MARK], "key": keys[key]}} if isinstance(key, str) and key in keys else value
    if isinstance(value, dict):
        return {name: moved(item, keys) for name, item in value.items()}
    return [moved(item, keys) for item in value] if isinstance(value, list) else value


def legible(value: Any) -> Any:
    """`value` with a line for people in the place of each reference."""
    if is_reference(value):
        try:
            return StoredFile.model_validate(value[MARK]).words()
        except ValidationError:
            return value
    if isinstance(value, dict):
        return {name: legible(item) for name, item in value.items()}
    return [legible(item) for item in value] if isinstance(value, list) else value


def checked_name(name: str) -> str:
    """The name, if it is that of a file and of no folder. Raises SessionError (InvalidRequest)."""
    if not name.strip() or len(name) > limits.NAME_CHARS or name.strip(". ") == "" or _UNSAFE.search(name):
        shown = preview(_UNSAFE.sub("\ufffd", name), limits.PREVIEW_BYTES)
        message = (
            f"name: {shown!r} is no name of a file: no folders, no control characters, {limits.NAME_CHARS} at most"
        )
        raise SessionError(ErrorType.INVALID_REQUEST, message)
    return name


def checked_media_type(media_type: str) -> str:
    """The media type, if it can be one. Raises SessionError (InvalidRequest)."""
    if not re.fullmatch(_MEDIA_TYPE.removesuffix("$"), media_type):
        shown = preview(media_type, limits.PREVIEW_BYTES)
        raise SessionError(ErrorType.INVALID_REQUEST, f"media_type: {shown!r} is none, like image/png")
    return media_type


def media_type_of(name: str | None) -> str:
    """What the end of a name says of a content; the same everywhere, so that the same file is the same reference."""
    end = name.rpartition(".")[2].lower() if name and "." in name else ""
    if end in _WORDS:
        return f"text/{_WORDS[end]}; charset=utf-8"
    return _TYPES.get(end, BINARY)


def is_text(media_type: str) -> bool:
    """Whether its content is read as words."""
    plain = media_type.partition(";")[0].strip().lower()
    return (
        plain.startswith("text/") or plain in {JSON, "application/xml", "application/yaml"} or plain.endswith("+json")
    )


def in_words(size: int) -> str:
    """A size for people."""
    number, unit = float(size), 0
    while number >= _STEP and unit < len(_UNITS) - 1:
        number, unit = number / _STEP, unit + 1
    return f"{number:.0f} {_UNITS[unit]}" if unit == 0 else f"{number:.1f} {_UNITS[unit]}"
