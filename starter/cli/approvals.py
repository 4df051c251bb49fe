"""Leave for a tool, asked in a conversation: what a person sees of the call, and what they type as an answer. Pure."""

import json
from collections.abc import Iterator
from typing import Any

from starter.cli import output, views
from workflows.contract import Question
from workflows.wire.approval import NO, YES, ToolCall, call_in

HOW = "y, n [why], or edit [arguments as JSON]"


class UnclearError(ValueError):
    """What was typed is no answer; the message says what is."""


def shown(question: Question) -> Iterator[output.Part]:
    """The question, and all of the call, uncut: nobody is to agree to what they have not seen."""
    yield views.question(question)
    call = call_in(question)
    if call:
        yield f"{call.tool} {output.json_text(call.arguments, indent=2)}"
        yield HOW


def draft(call: ToolCall) -> str:
    """The arguments in one line, to be changed by typing."""
    return output.json_text(call.arguments)


def wants_to_edit(typed: str) -> bool:
    """Whether the arguments are to be changed, and none are given yet."""
    return typed.strip().lower() == "edit"


def answer(typed: str) -> Any:
    """What to respond for a line: "yes", "no", or an object with the reason or with the arguments instead.

    Raises UnclearError, and takes nothing for a yes that is not one.
    """
    word, _, rest = typed.strip().partition(" ")
    rest = rest.strip()
    match word.lower():
        case "y" | "yes" if not rest:
            return YES
        case "n" | "no":
            return {"answer": NO, "reason": rest} if rest else NO
        case "edit" if rest:
            return changed(rest)
    raise UnclearError(f"{HOW}?")


def changed(typed: str) -> Any:
    """What to respond for arguments as they were typed. Raises UnclearError for what is no JSON object."""
    try:
        arguments = json.loads(typed)
    except ValueError as error:
        raise UnclearError(f"that is no JSON ({error}); nothing is sent yet. {HOW}?") from None
    if not isinstance(arguments, dict):
        raise UnclearError(f'arguments are an object, like {{"name": 1}}; nothing is sent yet. {HOW}?')
    return {"answer": YES, "arguments": arguments}
