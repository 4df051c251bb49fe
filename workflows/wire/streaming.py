"""What a task's activity streams by its heartbeats' details, and the places in it that readers name. Pure."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from workflows.wire.encoding import short_hash
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.fields import Carried, Name, Text

TRUNCATED = "truncated"
"""The part that stands for all that an attempt had no more room for."""

OWN_TYPES = frozenset({"status", "text", "progress", "question", "restarted", TRUNCATED, "ended"})
"""Events of the contract; a kind's own are called otherwise."""

FROM_RECORD = 2_000_000
"""The attempt whose text is that of the record, where nothing was shown before the end, or what was shown of the others
is void or cannot be told any more. No events are among it: its places count characters alone.
Beyond all that activities have; times 2**32 it is a number that JavaScript still has."""

DIGEST_CHARACTERS = 8
"""48 bits: it has to tell texts of one task apart."""

MARK = "sessions-stream"
"""Where the mark is in a payload's metadata."""

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


class StreamMark(Carried):
    """What is kept of a stream once it is over, with its activity's result: what its places mean.

    `events`: the place behind each event. `chars` and `digest`: of its text, to tell whether an output begins with it.
    """

    attempt: Annotated[int, Field(ge=1, strict=True)]
    events: list[int]
    chars: int
    digest: str

    @classmethod
    def of(cls, attempt: int, parts: Sequence["str | StreamPart"]) -> "StreamMark":
        """The mark of all that an attempt told."""
        text = text_of(parts)
        events = [end for part, end in news(parts, 0) if not isinstance(part, str)]
        return cls(attempt=attempt, events=events, chars=len(text), digest=short_hash(text, DIGEST_CHARACTERS))

    def begins(self, text: str) -> bool:
        """Whether that text begins with all that the attempt told."""
        return short_hash(text[: self.chars], DIGEST_CHARACTERS) == self.digest

    def told_by(self, position: int) -> int:
        """How many characters of text are before a place."""
        return position - sum(end <= position for end in self.events)


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
