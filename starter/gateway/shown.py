"""What every door shows of a task: its words, why it did not complete, the tool that it asks leave for. Pure."""

from typing import Any

from workflows.contract import Question, TaskRecord
from workflows.wire.approval import ToolCall
from workflows.wire.encoding import canonical
from workflows.wire.markdown import words_of


def words(value: Any) -> str:
    """An output or input as a text: its words, everything else as JSON."""
    found = words_of(value)
    return canonical(value) if found is None else found


def failure(record: TaskRecord) -> str:
    """Why a task did not complete, in a line."""
    return f"{record.error.type}: {record.error.message}" if record.error else record.status


def tool_call(question: Question) -> ToolCall | None:
    """The tool that a question asks leave for."""
    try:
        return ToolCall.model_validate(question.data)
    except ValueError:
        return None
