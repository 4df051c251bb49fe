"""What a task's activity streams by its heartbeats' details, and the places in it that readers name. Pure."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.fields import Carried, Name, Text

TRUNCATED = "truncated"
"""The part that stands for all that an attempt had no more room for."""

OWN_TYPES = frozenset({"status", "text", "progress", "question", "restarted", TRUNCATED, "ended"})
"""Events of the contract; a kind's own are called otherwise."""

_CURSOR = re.compile(r"(0|[1-9][0-9]{0,15})\.(0|[1-9][0-9]{0,15})", re.ASCII)


class StreamPart(Carried):
    """One event among the text: a kind's own, or `truncated`."""

    type: Name
    data: Any = None


class StreamDetails(Carried):
    """All that an attempt has said from its begin, a run of text as one string; a beat comes each `every` seconds.

    `attempt`: the number that its writer gave it. The server counts the next one while it still shows this one's beat.
    """

    attempt: Annotated[int, Field(ge=1, strict=True)]
    every: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    parts: list[Text | StreamPart]

    @property
    def text(self) -> str:
        """Its text without the events."""
        return text_of(self.parts)


def text_of(parts: Sequence[str | StreamPart]) -> str:
    """The text of parts without their events."""
    return "".join(part for part in parts if isinstance(part, str))


class Place(NamedTuple):
    """A place in a task's stream. `position` counts characters of text and events; attempt 0 is before any."""

    attempt: int
    position: int

    @classmethod
    def of(cls, cursor: str) -> "Place":
        """The place that a cursor names. Raises SessionError (InvalidRequest) for what is no cursor."""
        found = _CURSOR.fullmatch(cursor)
        if found is None:
            raise SessionError(ErrorType.INVALID_REQUEST, "a cursor is `<attempt>.<position>`, two numbers")
        return cls(int(found[1]), int(found[2]))

    @property
    def cursor(self) -> str:
        """The place as callers name it."""
        return f"{self.attempt}.{self.position}"


def news(parts: Sequence[str | StreamPart], position: int) -> Iterator[tuple[str | StreamPart, int]]:
    """What stands in parts after a position, each with the position after it."""
    end = 0
    for part in parts:
        begin, end = end, end + (len(part) if isinstance(part, str) else 1)
        if end > position:
            yield (part[max(position - begin, 0) :] if isinstance(part, str) else part), end
