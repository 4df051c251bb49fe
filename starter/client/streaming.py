"""Reading what a task says while it says it, from the heartbeats of its activities: no event of its history.

All watchers of a task in one process share one reader. A look of it is one read of the server's; the session is asked
when the history of the task has grown, for that is when it may ask a person, and now and then while nothing is heard.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from starter.client.calls import TRANSIENT, NoWorkerError
from starter.client.reported import READ_TIMEOUT, progress_in, reports, stream_in, stream_mark
from workflows.contract import TaskEvent, TaskRecord, task_workflow_id
from workflows.wire.errors import SessionError
from workflows.wire.fields import UNDER_WAY
from workflows.wire.markdown import words_of
from workflows.wire.progress import Progress
from workflows.wire.streaming import FROM_RECORD, Place, StreamDetails, StreamMark, StreamPart, news

if TYPE_CHECKING:
    from starter.client.session import Session

SOON = 0.03
"""Seconds to the next look where the beat that one was timed for had not come; as much before it the next is timed."""

LONGEST_LOOK = 0.25
"""Seconds between looks at most: a beat comes no more often."""

FIRST_LOOKS, FIRST_LOOKS_SECONDS = 50, 0.1
"""So many looks come closer, five seconds long: a person waits for the first word most of all."""

LONGEST_ASK = 2.0
"""Seconds at most between queries for a task that waits for its turn."""

QUIET_ASK = 2.0
"""Seconds of silence until the session is asked although the history of a task has not grown. In a burst of messages a
question waits in the session's backlog, of which 500 take a second, and nothing of its task grows when it is taken."""

LONGEST_QUIET_ASK = 30.0
"""The same at most, after it has doubled each time. A long call of a tool is as quiet: two queries a minute."""

_AWAY = TRANSIENT | {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}


class _Reader:
    """Looks at one task for all its watchers. `changed` is set, and another one put in its place, at all news."""

    def __init__(self, session: "Session", task_id: str) -> None:
        self._session, self._task_id = session, task_id
        self._handle = session.temporal.get_workflow_handle(task_workflow_id(session.id, task_id))
        self._mark: tuple[str, int] | None = None
        self._pause = self._again = self._patience = SOON
        self._asking: asyncio.Task[None] | None = None
        self._asked = 0.0
        self._quiet, self._ask_in_quiet_at = QUIET_ASK, 0.0
        self._looks = 0
        self._marking: asyncio.Task[StreamMark | None] | None = None
        self.changed = asyncio.Event()
        self.watchers = 0
        self.record: TaskRecord | None = None
        self.told: StreamDetails | None = None
        self.progress: Progress | None = None
        self.ended: TaskRecord | None = None
        self.error: Exception | None = None
        self.looking = asyncio.create_task(self._look_until_it_ends())

    async def _look_until_it_ends(self) -> None:
        end = asyncio.create_task(self._session.result(self._task_id))
        try:
            while not end.done():
                try:
                    await self._look()
                except RPCError as error:
                    if error.status not in _AWAY:
                        raise
                    self._pause = LONGEST_LOOK
                await asyncio.wait({end}, timeout=self._pause)
            self.ended = end.result()
        except Exception as error:  # noqa: BLE001 (whatever it is, those who watch are told)
            self.error = error
        finally:
            end.cancel()
            if self._asking:
                self._asking.cancel()
            self._tell()

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        begun, self._looks = loop.time(), self._looks + 1
        try:
            found = await self._handle.describe(rpc_timeout=READ_TIMEOUT)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            self._missed()
            if self._ask(again=self._patience):
                self._patience = min(2 * self._patience, LONGEST_ASK)
            return
        if found.status != WorkflowExecutionStatus.RUNNING:
            self._pause = LONGEST_LOOK  # the record is about to come
            return
        if self._mark != (mark := (found.run_id, found.history_length)):
            if self._ask():
                self._mark = mark
                self._heard()
        elif not self._waits and loop.time() >= self._ask_in_quiet_at and self._ask():
            self._quiet = min(2 * self._quiet, LONGEST_QUIET_ASK)
            self._ask_in_quiet_at = loop.time() + self._quiet
        reported = await reports(self._session.temporal, found)
        told, progress = stream_in(reported), progress_in(reported)
        new = told is not None and (self.told is None or _size(told) > _size(self.told))
        if new or progress not in (None, self.progress):  # that none is pending any more is no news
            self.told, self.progress = told if new else self.told, progress or self.progress
            self._heard()
            self._tell()
        if told is not None and new:
            # From the begin of this look: what it took would make the next one, and all after it, come later and later.
            self._pause, self._again = max(begun + told.every - SOON - loop.time(), SOON), SOON
        else:
            self._missed()

    def _missed(self) -> None:
        """Look again soon, and then less and less so."""
        longest = FIRST_LOOKS_SECONDS if self.told is None and self._looks < FIRST_LOOKS else LONGEST_LOOK
        self._pause, self._again = self._again, min(1.5 * self._again, longest)

    @property
    def _waits(self) -> bool:
        """Whether it is known to wait for a person, whose answer makes its history grow."""
        return self.record is not None and self.record.waiting_for is not None

    def _heard(self) -> None:
        """The task has done something: silence begins anew."""
        self._quiet, self._ask_in_quiet_at = QUIET_ASK, asyncio.get_running_loop().time() + QUIET_ASK

    def _ask(self, again: float = 0.0) -> bool:
        """Ask the session for the record, where nobody is doing so and the last time is `again` seconds ago."""
        now = asyncio.get_running_loop().time()
        if (self._asking and not self._asking.done()) or now < self._asked + again:
            return False
        self._asked = now
        self._asking = asyncio.create_task(self._read_record())
        return True

    async def _read_record(self) -> None:
        try:
            record = await self._session.task(self._task_id)
        except (NoWorkerError, SessionError, RPCError):  # what waits for the end says what is wrong
            self._mark = None
            return
        if record is None or record.status not in UNDER_WAY:
            return  # the end is told once its record is final, as `ended`
        if record != self.record:
            self.record = record
            self._tell()

    async def mark(self) -> StreamMark | None:
        """What its history has of the stream, once the task has ended; read once for all who ask."""
        if self._marking is None:
            self._marking = asyncio.create_task(stream_mark(self._session.temporal, self._handle.id))
        return await asyncio.shield(self._marking)

    def _tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


def _size(told: StreamDetails) -> tuple[int, int]:
    return told.attempt, sum(len(part) if isinstance(part, str) else 1 for part in told.parts)


_readers: WeakKeyDictionary[Client, dict[tuple[Any, ...], _Reader]] = WeakKeyDictionary()


@contextlib.contextmanager
def _reading(session: "Session", task_id: str) -> Iterator[_Reader]:
    """The one reader of a task, for as long as anybody watches."""
    readers = _readers.setdefault(session.temporal, {})
    key = (asyncio.get_running_loop(), session.id, task_id)
    reader = readers.get(key)
    if reader is None or reader.looking.done():
        reader = readers[key] = _Reader(session, task_id)
    reader.watchers += 1
    try:
        yield reader
    finally:
        reader.watchers -= 1
        if not reader.watchers:
            reader.looking.cancel()
            if readers.get(key) is reader:
                del readers[key]


async def task_events(session: "Session", task_id: str, after: str | None) -> AsyncIterator[TaskEvent]:
    """What `Session.stream` gives."""
    watcher = _Watcher(Place.of(after) if after else Place(0, 0))
    with _reading(session, task_id) as reader:
        while True:
            changed = reader.changed
            if reader.ended is not None and (reader.told is not None or watcher.goes_on):
                watcher.mark = await reader.mark()
            for event in watcher.news(reader):
                yield event
            if reader.error is not None:
                raise reader.error
            if reader.ended is not None:
                return
            await changed.wait()


class _Watcher:
    """What one caller has been told of a task."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.goes_on = 0 < place.attempt < FROM_RECORD
        self.mark: StreamMark | None = None
        self._status: str | None = None
        self._progress: Progress | None = None
        self._question: str | None = None

    def news(self, reader: _Reader) -> Iterator[TaskEvent]:
        """All that the reader knows and the caller does not."""
        record = reader.record
        if record is not None and reader.ended is None and record.status != self._status:
            self._status = record.status
            yield self._event("status", data={"status": record.status}, record=record)
        if reader.told is not None:
            yield from self._of_stream(reader.told)
        if reader.progress is not None and reader.progress != self._progress:
            self._progress = reader.progress
            yield self._event("progress", data=reader.progress.model_dump(mode="json"))
        if record is not None:
            asked = record.waiting_for if reader.ended is None else None
            if asked is not None and asked.id != self._question:
                yield self._event("question", data=asked.model_dump(mode="json"), record=record)
            self._question = asked.id if asked else None
        if reader.ended is not None:
            yield from self._rest(reader.ended, reader.told)
            yield self._event("ended", record=reader.ended)

    def _of_stream(self, told: StreamDetails) -> Iterator[TaskEvent]:
        if told.attempt < self._place.attempt:
            return
        if told.attempt > self._place.attempt:
            yield from self._begin(told.attempt)
        for part, end in news(told.parts, self._place.position):
            yield self._said(part, end)

    def _rest(self, record: TaskRecord, told: StreamDetails | None) -> Iterator[TaskEvent]:
        """What the caller has not been told of an output's text; all of it where what it was told is void."""
        text = words_of(record.output) if record.status == "completed" else None
        if text is None:
            return
        mark = self.mark if self.mark is not None and self.mark.begins(text) else None
        said = self._characters_told(text, told, mark)
        if said is None:
            yield from self._begin(mark.attempt if mark and mark.attempt > self._place.attempt else FROM_RECORD)
            said = 0
        elif self._place.attempt == 0:
            yield from self._begin(FROM_RECORD)
        if rest := text[said:]:
            events = len(mark.events) if mark and mark.attempt == self._place.attempt else self._place.position - said
            yield self._said(rest, len(text) + events)

    def _characters_told(self, text: str, told: StreamDetails | None, mark: StreamMark | None) -> int | None:
        """How much of an output's text is the text before the caller's place; null where that is not known, or none.

        A place of an activity's attempt counts events, too: only what is left of that attempt says how many.
        """
        attempt, position = self._place
        if mark is not None and mark.attempt == attempt:
            return mark.told_by(position)
        if told is not None and told.attempt == attempt and position <= _size(told)[1]:
            return len(told.text) if text.startswith(told.text) else None
        if attempt == FROM_RECORD:
            return position if position <= len(text) else None
        return 0 if self._place == (0, 0) else None

    def _begin(self, attempt: int) -> Iterator[TaskEvent]:
        before, self._place = self._place, Place(attempt, 0)
        if before.attempt:  # else nothing has been shown that could be void
            yield self._event("restarted")

    def _said(self, part: str | StreamPart, end: int) -> TaskEvent:
        self._place = Place(self._place.attempt, end)
        if isinstance(part, str):
            return self._event("text", text=part)
        return self._event(part.type, data=part.data)

    def _event(self, kind: str, **said: Any) -> TaskEvent:
        return TaskEvent(type=kind, cursor=self._place.cursor, **said)
