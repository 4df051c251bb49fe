"""Watching all open sessions: the server's lists, and a closer look at the few sessions where something happens.

Two short lists a round tell which sessions are new, which task each one runs and what ended since. Only sessions in
which that changed are looked at one by one, and only `LOOKS` of them a round; the others wait their turn. So a thousand
sessions at rest cost a list of them now and then, and no query at all.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio.client import WorkflowExecution, WorkflowExecutionStatus
from temporalio.service import RPCError

from starter.client.calls import UNCLEAN_ENDS
from starter.client.changes import Change, What, changes
from starter.client.reported import READ_TIMEOUT
from starter.client.sessions import SessionClient
from starter.client.watching import AWAY, NO_SERVER, Look, SessionWatch
from workflows.contract import NOTIFICATION_TYPE, SESSION_TYPE
from workflows.wire.attributes import OWNER, STATUS, owner_of
from workflows.wire.errors import ErrorType, SessionError

ROUND_SECONDS = 2.0
"""Pause between rounds: the server itself writes its lists up to a second late."""

LISTING_SHARE = 0.25
"""Of the time, at most this goes into lists: where they take long, they are asked for less often."""

ALL_SECONDS = 30.0
"""Between lists of all open sessions, which take the server and us a second each where there are a thousand. They tell
of a session at rest that it was paused; what else happens shows in the short lists."""

LISTED = 1_000
"""Entries read of a list, the newest ones: a page of it."""

LOOKS = 10
"""Closer looks a round, three reads each: fifteen reads a second whatever happens."""

PATIENCE = 3.0
"""Seconds for one closer look: a worker that has to resume a session takes one. Others are waiting for their look."""

SILENT_PAUSE = 30.0
"""Seconds until a session that did not answer is looked at again, unless something happens in it."""

SILENT_LOOKS = 2
"""Of a round's looks, those at sessions that did not answer: a hundred that nobody serves must not take them all."""

FIRST_LOOKS = 4
"""Of a round's looks, those at sessions that were never looked at and in which nothing happened since: the many that a
watch finds as it begins must not keep it from the progress of those that it knows."""

OVERLAP = timedelta(seconds=10)
"""How far behind the newest time in the lists a round asks for what began and ended: the server may list it late."""

GONE = {ErrorType.SESSION_CLOSED, ErrorType.SESSION_NOT_FOUND}
"""What a closer look raises where a session was ended from outside, or is gone, since it was listed."""

_SESSIONS = f"WorkflowType = '{SESSION_TYPE}' AND ExecutionStatus = 'Running'"
_TASKS = f"(WorkflowType != '{SESSION_TYPE}' AND ExecutionStatus = 'Running')"
_NO_NOTIFICATION = f"WorkflowType != '{NOTIFICATION_TYPE}'"


@dataclass
class Row:
    """One open session. `listed`, its search attribute, and `task`, the one that runs, as the lists have them.

    `looked_at`: monotonic time of the newest closer look. `silent`: whether that one got no answer.
    """

    session_id: str
    watch: SessionWatch
    listed: str
    owner: str
    task: WorkflowExecution | None = None
    looked_at: float = 0.0
    silent: bool = False

    @property
    def status(self) -> str:
        """The status as far as the lists tell."""
        return self.listed if self.listed != "open" else "running" if self.task else "idle"

    @property
    def look(self) -> Look | None:
        """What the newest closer look at it found, if there was one."""
        return self.watch.last


class Overview:
    """Looks at all open sessions, round by round. `full`: whether more are open than are listed."""

    def __init__(self, client: SessionClient) -> None:
        self._client = client
        self._began = self._newest = datetime.now(UTC)
        self._seen: set[str] = set()  # runs whose end was noticed
        self._due: dict[str, bool] = {}  # sessions to be looked at, in this order; whether something happened in them
        self._all_listed_at = 0.0
        self._unanswered = False
        self.rows: dict[str, Row] = {}
        self.full = False

    async def rounds(self) -> AsyncIterator[list[Change]]:
        """What each round found, which may be nothing; without end. Sits out a server that is away."""
        while True:
            started = time.monotonic()
            try:
                found = await self._listed()
            except RPCError as error:
                if error.status not in AWAY:
                    raise
                yield self._answered(answered=False)
            else:
                listing = time.monotonic() - started
                yield [*self._answered(answered=True), *found, *(await self._looked())]
                await asyncio.sleep(listing / LISTING_SHARE)
            await asyncio.sleep(ROUND_SECONDS)

    def _answered(self, *, answered: bool) -> list[Change]:
        known, self._unanswered = not self._unanswered, not answered
        if known == answered:
            return []
        return [_change(None, None, "answered") if answered else _change(None, None, "unanswered", NO_SERVER)]

    async def _listed(self) -> list[Change]:
        """Read the lists: what they say of sessions at rest is told, the others become due for a look."""
        since = f"'{self._newest - OVERLAP:%Y-%m-%dT%H:%M:%SZ}'"
        every = time.monotonic() - self._all_listed_at > ALL_SECONDS
        sessions = await self._read(_SESSIONS if every else f"{_SESSIONS} AND StartTime > {since}")
        others = await self._read(f"{_NO_NOTIFICATION} AND ({_TASKS} OR CloseTime > {since})")
        if every:
            self._all_listed_at, self.full = time.monotonic(), len(sessions) == LISTED
        times = [time for found in (*sessions, *others) for time in (found.start_time, found.close_time) if time]
        self._newest = max(self._newest, *times) if times else self._newest
        tasks = {found.parent_id: found for found in others if found.status == WorkflowExecutionStatus.RUNNING}
        told = [change for found in sessions for change in self._open(found, tasks.get(found.id))]
        for row in self.rows.values():
            self._runs(row, tasks.get(row.session_id))
        closed = [found for found in others if found.close_time and found.run_id not in self._seen]
        self._seen = {found.run_id for found in others if found.close_time}
        return told + [change for found in closed for change in self._ended(found)]

    async def _read(self, query: str) -> list[WorkflowExecution]:
        listed = self._client.temporal.list_workflows(query, limit=LISTED, rpc_timeout=READ_TIMEOUT)
        return [found async for found in listed]

    def _open(self, found: WorkflowExecution, task: WorkflowExecution | None) -> list[Change]:
        """Note an open session; one that was at rest before the watch began is told as such, without a look."""
        status = found.typed_search_attributes.get(STATUS, "open")
        owner = owner_of(found.typed_search_attributes.get(OWNER, ""))
        row = self.rows.get(found.id)
        if row is None:
            row = Row(found.id, SessionWatch(self._client.get(found.id), self._began), status, owner, task)
            self.rows[found.id] = row
            if row.status == "idle" and found.start_time < self._began:
                return [_change(found.id, row.status)]
            self._due[found.id] = found.start_time >= self._began
        elif status != row.listed:
            row.listed = status
            self._happened(row)
        return []

    def _runs(self, row: Row, task: WorkflowExecution | None) -> None:
        if (task and task.run_id) != (row.task and row.task.run_id):
            self._happened(row)
        row.task = task

    def _happened(self, row: Row) -> None:
        """Something did, so somebody serves it."""
        row.silent, self._due[row.session_id] = False, True

    def _ended(self, found: WorkflowExecution) -> list[Change]:
        """A task that ended makes its session due; so does a session that closed, for a last look."""
        session_id = found.id if found.workflow_type == SESSION_TYPE else found.parent_id
        if session_id not in self.rows or found.status == WorkflowExecutionStatus.CONTINUED_AS_NEW:
            return []
        if found.workflow_type == SESSION_TYPE and found.status != WorkflowExecutionStatus.COMPLETED:
            del self.rows[session_id]
            return [_change(session_id, UNCLEAN_ENDS.get(found.status, "closed") if found.status else "closed")]
        self._happened(self.rows[session_id])
        return []

    async def _looked(self) -> list[Change]:
        """Look at `LOOKS` sessions: where something happened, where else a look is due, where a task has progress."""
        busy = sorted((row for row in self.rows.values() if row.task), key=lambda row: row.looked_at)
        wanted = dict.fromkeys([*self._due, *(row.session_id for row in busy)])
        rows = [row for row in map(self.rows.get, wanted) if row]
        silence = time.monotonic() - SILENT_PAUSE
        silent = [row for row in rows if row.silent and row.looked_at < silence]
        happened = [row for row in rows if not row.silent and self._due.get(row.session_id)]
        others = [row for row in rows if not row.silent and not self._due.get(row.session_id)]
        new, known = [row for row in others if row.look is None], [row for row in others if row.look]
        ready = [*silent[:SILENT_LOOKS], *happened, *new[:FIRST_LOOKS], *known, *new[FIRST_LOOKS:]][:LOOKS]
        return [change for looked in await asyncio.gather(*map(self._look, ready)) for change in looked]

    async def _look(self, row: Row) -> list[Change]:
        self._due.pop(row.session_id, None)
        before, was_silent = row.look, row.silent
        try:
            look = await row.watch.look(PATIENCE)
        except SessionError as error:
            if error.type in GONE:
                self.rows.pop(row.session_id, None)
                return [_change(row.session_id, "closed")]
            look, row.watch.silence = None, str(error)  # it is open, and not for us to read
        row.looked_at, row.silent = time.monotonic(), look is None or look.unanswered is not None
        if row.silent:
            self._due[row.session_id] = False
        if look is None:
            return [] if was_silent else [_change(row.session_id, row.status, "unanswered", row.watch.silence)]
        if look.snapshot.status == "closed":
            self.rows.pop(row.session_id, None)
        return list(changes(before, look, datetime.now(UTC)))


def _change(session_id: str | None, status: str | None, change: What = "session", message: str | None = None) -> Change:
    return Change(at=datetime.now(UTC), session_id=session_id, change=change, status=status, message=message)
