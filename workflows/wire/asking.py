"""A question to a model, as it stands in a task's input: words, and files that go with them. Pure."""

from typing import Any, NamedTuple

from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.files import StoredFile, file_of, is_reference


class Asked(NamedTuple):
    """Words and files; `stored`: the question itself is in a file."""

    text: str
    files: list[StoredFile]
    stored: StoredFile | None = None


def asked_of(value: Any, session_id: str) -> Asked:
    """The question in a task's input: a string, `{"text", "files"?}`, or the reference of what was too large.

    Raises SessionError (InvalidRequest) where there is none, or a file is none of this session.
    """
    if is_reference(value):
        return Asked("", [], file_of(value, session_id))
    text, files = (value.get("text"), value.get("files")) if isinstance(value, dict) else (value, None)
    if files is not None and not isinstance(files, list):
        raise SessionError(ErrorType.INVALID_REQUEST, "files: must be a list of references")
    if not isinstance(text, str) or not (text.strip() or files):
        message = 'input must be a question: a string or {"text": ...}, with "files" if there are any'
        raise SessionError(ErrorType.INVALID_REQUEST, message)
    return Asked(text, [file_of(reference, session_id) for reference in files or []])
