"""Telling what an activity says while it says it, by its heartbeats' details: no event of any history.

    async with stream.emitting() as out:
        out.text("Let me see. ")
        out.event("tool_call", {"name": "look_up"})
        out.progress(1, 3, "looks up")

Nothing of it is sent where nobody asked to see it (`TaskInput.stream`), but progress. Each attempt of each activity of
a task begins anew: what was told before is void then. The text of the last one should be what the task's output says.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

from temporalio import activity

from activities import first_text
from workflows.wire.encoding import json_bytes, plain
from workflows.wire.limits import (
    ATTEMPTS_AN_ACTIVITY,
    MARKED_EVENTS,
    STREAM_BYTES,
    STREAM_BYTES_A_SECOND,
    STREAM_EVENT_BYTES,
    STREAM_SECONDS,
)
from workflows.wire.mending import mended
from workflows.wire.progress import Progress
from workflows.wire.streaming import OWN_TYPES, TRUNCATED, StreamDetails, StreamMark, StreamPart

asked: ContextVar[bool] = ContextVar("asked", default=False)
"""Whether the caller of the task at hand asked for its stream. The worker sets it for each activity."""

opened: ContextVar["list[Emitter] | None"] = ContextVar("opened", default=None)
"""Where the worker finds what the activity at hand has told; the worker sets it, too."""

_open: ContextVar["Emitter | None"] = ContextVar("_open", default=None)

LAST_SECONDS = 0.1
"""Added to `every`, in which readers look: what their look takes."""

_TRUNCATED_BYTES = json_bytes({"type": TRUNCATED}) + 1


class Emitter:
    """What one attempt has told so far. For the event loop of its activity alone.

    `asked`: whether anybody sees it; `first`: is called with its first text.
    """

    def __init__(self, attempt: int, every: float, *, asked: bool, first: Callable[[], None] | None = None) -> None:
        self.asked = asked
        self._first = first
        self._attempt, self._every = attempt, every
        self._parts: list[str | dict[str, Any]] = []
        self._run: list[str] = []
        self._half = ""
        self._bytes = 0
        self._full = not asked
        self._progress: dict[str, Any] = {}
        self._news = asyncio.Event()
        self._event_at: float | None = None

    def text(self, text: str) -> None:
        """Some more of what the output will say, exactly as it will say it. Half a character waits for the other."""
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        text = mended(text)
        if text and self._fits(json_bytes(text) - 2 + (0 if self._run else 3)):
            self._run.append(text)
            self._news.set()
            if self._first:
                self._first()
                self._first = None

    def event(self, kind: str, data: Any = None) -> None:
        """Something else that happens, by a name of the kind's own. One of more than 16 KiB is told as `truncated`.

        Raises ValueError for a name that the contract has, or that is none, and TypeError for what is no JSON.
        """
        if kind in OWN_TYPES:
            raise ValueError(f"{kind!r} is an event of the contract's own")
        part = StreamPart(type=kind, data=plain(data)).model_dump(mode="json")
        if json_bytes(part) > STREAM_EVENT_BYTES:
            part = {"type": TRUNCATED}
        if self._fits(json_bytes(part) + 1):
            self._add(part)

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> None:
        """What `activities.progress.report` says, beside the stream; also where nobody asked for that."""
        report = Progress(done=done, total=total, note=note)
        if self.asked:
            self._progress = report.model_dump(mode="json", exclude_none=True)
            self._news.set()
        else:
            activity.heartbeat(report)

    def details(self) -> dict[str, Any]:
        """What the next beat says."""
        parts = [*self._parts, "".join(self._run)] if self._run else list(self._parts)
        return {**self._progress, "stream": {"attempt": self._attempt, "every": self._every, "parts": parts}}

    def mark(self) -> StreamMark | None:
        """What is to be kept of it with the activity's result; null where that would be much."""
        if sum(isinstance(part, dict) for part in self._parts) > MARKED_EVENTS:
            return None
        return StreamMark.of(self._attempt, StreamDetails.model_validate(self.details()["stream"]).parts)

    async def beats(self) -> None:
        """Beat when there is news, until cancelled; so seldom that readers and server have time for what it weighs."""
        while True:
            await self._news.wait()
            self._news.clear()
            activity.heartbeat(self.details())
            await asyncio.sleep(max(self._every, self._bytes / STREAM_BYTES_A_SECOND))

    async def last_events(self) -> None:
        """Give readers the time to see an event that was told just now: with the activity its beats are gone.

        Of text nothing is lost, for the output has it: an activity that told an event last ends so much later.
        """
        if self._event_at is None:
            return
        if self._news.is_set():
            self._news.clear()
            activity.heartbeat(self.details())
            self._event_at = asyncio.get_running_loop().time()
        await asyncio.sleep(self._event_at + self._every + LAST_SECONDS - asyncio.get_running_loop().time())

    def _fits(self, size: int) -> bool:
        """Make room for so many bytes; where there is none left, nothing more is told in this attempt."""
        if self._full:
            return False
        if self._bytes + size + _TRUNCATED_BYTES > STREAM_BYTES:
            self._full = True
            self._add({"type": TRUNCATED})
            return False
        self._bytes += size
        return True

    def _add(self, part: dict[str, Any]) -> None:
        if self._run:
            self._parts.append("".join(self._run))
            self._run = []
        self._parts.append(part)
        self._event_at = asyncio.get_running_loop().time()
        self._news.set()


@asynccontextmanager
async def emitting(every: float = STREAM_SECONDS) -> AsyncIterator[Emitter]:
    """Tell what the activity at hand says, a beat each `every` seconds at most, from 0.25 on.

    The activity needs a heartbeat timeout as any long one does. What is still untold at the end, readers take from the
    task's output. Raises ValueError for beats that are closer.
    """
    if not every >= STREAM_SECONDS:
        raise ValueError(f"every must be {STREAM_SECONDS} seconds or more")
    before = opened.get()
    if before:  # an attempt has one stream, and goes on with it
        out = before[0]
    else:
        out = Emitter(_number(activity.info()), every, asked=asked.get(), first=first_text.note)
        if before is not None and out.asked:
            before.append(out)
    token = _open.set(out if out.asked else None)
    beating = asyncio.create_task(out.beats())
    try:
        yield out
        await out.last_events()
    finally:
        beating.cancel()
        _open.reset(token)


def emitter() -> Emitter | None:
    """The one that is open around the code at hand, where anybody asked for it: its beats are the activity's."""
    return _open.get()


def _number(info: activity.Info) -> int:
    """The number of an attempt among all of all activities of its task: workflows count the activities they start."""
    earlier = int(info.activity_id) - 1 if info.activity_id.isdecimal() else 0
    return max(earlier, 0) * ATTEMPTS_AN_ACTIVITY + info.attempt
