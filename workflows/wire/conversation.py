"""Turns, and the summary of those before them, as a language model takes them: messages of a user and an assistant.

Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol, TypedDict

from workflows.wire.encoding import canonical
from workflows.wire.files import legible
from workflows.wire.markdown import words_of

SUMMARY = "summary"
"""The context value that stands for the turns which have left the transcript."""

BEFORE = "What was said before, in short:\n"
"""How a model is told that what follows is the summary."""

_TAKEN = "I know what was said before."


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


def summary_in(values: Mapping[str, Any]) -> str | None:
    """The summary among a session's values, where there is one."""
    found = values.get(SUMMARY)
    return found if isinstance(found, str) and found.strip() else None


def known_before(words: str) -> list[Message]:
    """The messages by which a model is told what was said before, in front of all others."""
    return [{"role": "user", "content": words}, {"role": "assistant", "content": _TAKEN}]


def conversation(turns: Iterable[Exchange], values: Mapping[str, Any] | None = None) -> list[Message]:
    """What was asked in each turn and what came of it, oldest first; a text as its words, everything else as JSON.

    With a summary in `values` that comes first: as what a user says and an assistant answers, since many models take no
    other order.
    """
    summary = summary_in(values or {})
    messages = known_before(BEFORE + summary) if summary else []
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
