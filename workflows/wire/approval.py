"""Leave for a tool to be called: what a question carries of it, and what a person may answer. Pure.

The question's `data` is a `ToolCall`, its choices are "yes" and "no". The answer is one of the two, or a `Verdict`: an
object that says why not, or with which arguments instead.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from workflows.wire.fields import Carried, Request, Text
from workflows.wire.tasks import Question

YES: Literal["yes"] = "yes"
NO: Literal["no"] = "no"


class ToolCall(Carried):
    """A tool by its name, and what it is about to be called with."""

    tool: Annotated[Text, Field(min_length=1)]
    arguments: dict[str, Any] = Field(default_factory=dict)


class Verdict(Request):
    """An answer that says more than yes or no: the reason for a no, or all arguments as they are to be for a yes."""

    answer: Literal["yes", "no"]
    reason: Text | None = None
    arguments: dict[str, Any] | None = None


def call_in(question: Question) -> ToolCall | None:
    """The call that the question asks leave for; null for a question about something else."""
    if question.choices is None or {YES, NO} != set(question.choices):
        return None
    return tool_call(question)


def tool_call(question: Question) -> ToolCall | None:
    """The call that the question is about, whatever it asks of it; null for a question about something else."""
    try:
        return ToolCall.model_validate(question.data)
    except ValidationError:
        return None
