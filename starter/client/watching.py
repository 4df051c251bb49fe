"""Watching one session: look after look, each with what has ended or was refused since the one before.

A look reads what the server itself knows: how long the session's history is, and what the running task's activity last
reported. The session is asked only when its history has grown, so one at rest costs its worker nothing, and one that
its worker has put out of its cache is not brought back for being watched.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

from pydantic import BaseModel, Field
from temporalio.client import WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from starter.client.calls import TRANSIENT, NoWorkerError, WorkerFailsError
from starter.client.reported import READ_TIMEOUT, progress_in, reports
from starter.client.session import Session
from workflows.contract import RejectedEntry, Snapshot, TaskRecord, task_workflow_id
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.progress import Progress

LOOK_SECONDS = 1.0
"""Between looks: soon enough for a person, and two reads of the server a second at most for each watcher."""

NO_SERVER = "the Temporal server does not answer"
AWAY = TRANSIENT | {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}
"""How a read of the server ends when the server is away."""


class Look(BaseModel):
    """A session as a look found it.

    `ended` and `rejected`: since the look before, oldest first. `missed`: how many more ended than the session has
    records of. `unanswered`: why this look could learn nothing new.
    """

    snapshot: Snapshot
    progress: Progress | None = None
    ended: list[TaskRecord] = Field(default_factory=list)
    rejected: list[RejectedEntry] = Field(default_factory=list)
    missed: int = 0
    unanswered: str | None = None


class SessionWatch:
    """Looks at one session. `last`: what the newest look found, null before the first.

    `silence`: why the newest look that learnt nothing did not.
    With `since` the first look tells what has ended since then; without it, nothing.
    """

    def __init__(self, session: Session, since: datetime | None = None) -> None:
        self._session = session
        self._since = since
        self._handle = session.temporal.get_workflow_handle(session.id)
        self._mark: tuple[str, int] | None = None
        self.last: Look | None = None
        self.silence = ""

    async def looks(self) -> AsyncIterator[Look]:
        """Every look that differs from the one before, until the session has ended; that one is the last.

        Sits out a worker or a server that is away; such a look says so. Raises SessionError: SessionNotFound, and
        SessionClosed for a session that was ended from outside, which leaves no final snapshot.
        """
        while True:
            before, look = self.last, await self.look()
            if look is not None and look != before:
                yield look
            if look is not None and look.snapshot.status == "closed":
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def latest(self, count: int) -> list[TaskRecord]:
        """The newest tasks that had ended at the last look, with their outputs, oldest first."""
        return [await self._with_output(record) for record in self.last.snapshot.recent[-count:]] if self.last else []

    async def look(self, patience: float | None = None) -> Look | None:
        """Look once, for `patience` seconds at most; null while nothing has ever answered. Raises like `looks`."""
        try:
            async with asyncio.timeout(patience):
                self.last = await self._looked()
        except (NoWorkerError, TimeoutError, RPCError) as error:
            if isinstance(error, RPCError) and error.status not in AWAY:
                raise
            self.silence = self._why(error)
            if self.last is not None:
                self.last = Look(snapshot=self.last.snapshot, progress=self.last.progress, unanswered=self.silence)
        return self.last

    def _why(self, error: Exception) -> str:
        if isinstance(error, WorkerFailsError):
            return str(error)
        return NO_SERVER if isinstance(error, RPCError) else f"no worker answers for session {self._session.id!r}"

    async def _looked(self) -> Look:
        found = await self._described()
        before = self.last.snapshot if self.last else None
        if before is not None and self._mark == (found.run_id, found.history_length):
            return Look(snapshot=before, progress=await self._progress(before))
        snapshot = await self._snapshot(found)
        ended = self._ended_since(before, snapshot)
        refused = snapshot.counters.rejected - (before or snapshot).counters.rejected
        look = Look(
            snapshot=snapshot,
            progress=await self._progress(snapshot),
            ended=[await self._with_output(record) for record in ended],
            rejected=snapshot.rejected[-refused:] if refused else [],
            missed=_count(snapshot) - _count(before) - len(ended) if before else 0,
        )
        self._mark = (found.run_id, found.history_length)
        return look

    async def _described(self) -> WorkflowExecutionDescription:
        try:
            return await self._handle.describe(rpc_timeout=READ_TIMEOUT)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            message = f"there is no session {self._session.id!r}"
            raise SessionError(ErrorType.SESSION_NOT_FOUND, message) from None

    async def _snapshot(self, found: WorkflowExecutionDescription) -> Snapshot:
        if found.status in {WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW}:
            return await self._session.snapshot()
        return await self._session.finished()  # the server has it; no worker is needed

    def _ended_since(self, before: Snapshot | None, now: Snapshot) -> list[TaskRecord]:
        if before is not None:
            known = {record.task_id for record in before.recent}
            return [record for record in now.recent if record.task_id not in known]
        since = self._since
        return [record for record in now.recent if since and record.finished_at and record.finished_at >= since]

    async def _with_output(self, record: TaskRecord) -> TaskRecord:
        found = await self._session.task(record.task_id)
        # By now the session may have dropped this record for newer ones: then its answer tells no more than a status.
        return found if found and found.finished_at else record

    async def _progress(self, snapshot: Snapshot) -> Progress | None:
        running = snapshot.running
        return await task_progress(self._session, running.task_id) if running else None


async def task_progress(session: Session, task_id: str) -> Progress | None:
    """What a running task last reported: of its activities that report, the one that started last. Null if none has."""
    task = session.temporal.get_workflow_handle(task_workflow_id(session.id, task_id))
    try:
        found = await task.describe(rpc_timeout=READ_TIMEOUT)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:  # about to start, or ended long ago
            raise
        return None
    return progress_in(await reports(session.temporal, found))


def _count(snapshot: Snapshot) -> int:
    counters = snapshot.counters
    return counters.completed + counters.failed + counters.cancelled + counters.timed_out + counters.expired
