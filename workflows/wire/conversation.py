"""Turns as a language model takes them: messages of a user and an assistant. Pure."""

from collections.abc import Iterable
from typing import Any, Literal, TypedDict

from workflows.wire.encoding import canonical
from workflows.wire.files import legible
from workflows.wire.markdown import words_of
from workflows.wire.tasks import Turn


class Message(TypedDict):
    """What one of the two said, in words."""

    role: Literal["user", "assistant"]
    content: str


def conversation(turns: Iterable[Turn]) -> list[Message]:
    """What was asked in each turn and what came of it, oldest first; a text as its words, everything else as JSON."""
    messages: list[Message] = []
    for turn in turns:
        messages.append({"role": "user", "content": _words(turn.input)})
        messages.append({"role": "assistant", "content": _words(turn.output)})
    return messages


def _words(value: Any) -> str:
    words = words_of(value)
    if words is not None:
        return words
    shown = legible(value)  # nobody is told again what a file said
    return shown if isinstance(shown, str) else canonical(shown)
