"""Spans of what activities do: calls of models and of tools, by the GenAI conventions. Off, it is a look at a variable.

    with spans.model_call("openai", "gpt-5-mini", lambda: messages) as span:
        reply = await ask()
        span.answered(spans.Answered(reply.text))

Whether there are any, and where they go, is for the worker: an activity knows nothing of OpenTelemetry. Contents are
asked for only where they are wanted; they are functions for that.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

Message = tuple[str, str]
"""Who says it (`system`, `user`, `assistant`), and what."""


@dataclass(frozen=True)
class Answered:
    """What came of a call of a model. `usage`: as a TaskOutput has it; `finish_reason`: null is `stop`."""

    text: str
    model: str | None = None
    usage: Mapping[str, int | float] | None = None
    finish_reason: str | None = None


class Span(Protocol):
    """A span that is open."""

    def answered(self, answer: Answered) -> None:
        """What a model said."""
        ...

    def returned(self, result: Callable[[], Any]) -> None:
        """What a tool gave."""
        ...

    def failed(self, name: str) -> None:
        """Of what nothing came, by the name of the error: for who raises that elsewhere."""
        ...


class Spans(Protocol):
    """What makes them. What is raised inside one ends it as failed, by the name of the error."""

    def model_call(self, provider: str, model: str, asked: Callable[[], list[Message]]) -> AbstractContextManager[Span]:
        """Around one call of a model."""
        ...

    def tool_call(self, name: str, arguments: Callable[[], Any]) -> AbstractContextManager[Span]:
        """Around one call of a tool."""
        ...


recording: ContextVar[Spans | None] = ContextVar("recording", default=None)
"""Who makes the spans of the activity at hand. A worker that is traced sets it for each."""


class _Nothing:
    def answered(self, answer: Answered) -> None:
        """Nobody looks."""

    def returned(self, result: Callable[[], Any]) -> None:
        """Nobody looks."""

    def failed(self, name: str) -> None:
        """Nobody looks."""


def model_call(provider: str, model: str, asked: Callable[[], list[Message]]) -> AbstractContextManager[Span]:
    """Around one call of a model; `asked` gives the messages where somebody wants contents."""
    by = recording.get()
    return by.model_call(provider, model, asked) if by else nullcontext(_Nothing())


def tool_call(name: str, arguments: Callable[[], Any]) -> AbstractContextManager[Span]:
    """Around one call of a tool."""
    by = recording.get()
    return by.tool_call(name, arguments) if by else nullcontext(_Nothing())
