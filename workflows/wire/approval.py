"""Leave for a tool to be called: what a question carries of it, and what a person may answer. Pure.

The question's `data` is a `ToolCall`, its choices are "yes" and "no". The answer is one of the two, or a `Verdict`: an
object that says why not, or with which arguments instead.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from workflows.wire.fields import Carried, Request, Text

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
