"""What every door shows of a task: its words, why it did not complete. Pure."""

from typing import Any

from workflows.contract import TaskRecord
from workflows.wire.encoding import canonical
from workflows.wire.files import legible
from workflows.wire.markdown import words_of


def words(value: Any) -> str:
    """An output or input as a text: its words, everything else as JSON; a stored file as a line about it.

    A text with files is its words, and a line for each.
    """
    found = words_of(value)
    if found is not None:
        return found
    shown = legible(value)
    match shown:
        case {"text": str() as text, "files": [*files], **others} if not others:
            return "\n".join([text, *map(str, files)])
    return shown if isinstance(shown, str) else canonical(shown)


def failure(record: TaskRecord) -> str:
    """Why a task did not complete, in a line."""
    return f"{record.error.type}: {record.error.message}" if record.error else record.status
