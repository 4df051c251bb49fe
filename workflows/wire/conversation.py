"""Turns as a language model takes them: messages of a user and an assistant. Pure."""

from collections.abc import Iterable
from typing import Any, Literal, Protocol, TypedDict

from workflows.wire.encoding import canonical
from workflows.wire.markdown import words_of


class Message(TypedDict):
    """What one of the two said, in words."""

    role: Literal["user", "assistant"]
    content: str


class Exchange(Protocol):
    """What was asked and what came of it; a Turn is one."""

    @property
    def input(self) -> Any:
        """What was asked."""
        ...

    @property
    def output(self) -> Any:
        """What came of it."""
        ...


def conversation(turns: Iterable[Exchange]) -> list[Message]:
    """What was asked in each turn and what came of it, oldest first; a text as its words, everything else as JSON."""
    messages: list[Message] = []
    for turn in turns:
        messages.append({"role": "user", "content": _words(turn.input)})
        messages.append({"role": "assistant", "content": _words(turn.output)})
    return messages


def _words(value: Any) -> str:
    words = words_of(value)
    return canonical(value) if words is None else words
