"""Erasing a session: its executions, those of its tasks and its schedules leave the server, histories included."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager

from pydantic import BaseModel
from temporalio.api.common.v1 import WorkflowExecution as Run
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.file_store import FilesSettingError, store_of
from starter.client.schedules import SessionSchedule, schedule_names
from workflows.contract import SCHEDULED_TASK_TYPE, SESSION_TYPE, schedule_id, task_workflow_id
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.validation import checked_id

LAG_SECONDS = 3.0
"""What started a moment ago is on the server's list by then: Elasticsearch shows what it got within two seconds."""

LOOK_SECONDS = 0.5
"""Pause between looks at what is left: the server deletes in its own time."""

GIVE_UP_SECONDS = 180.0
"""Time in which nothing changes. A server with default settings deletes a closed execution only once its queue has
noted the close, which it does every 30 seconds, and it tries with growing pauses."""

SCHEDULER = "temporal-sys-scheduler:"
"""What the id of the workflow begins with that is a schedule within the server; it has the schedule's whole body in its
history and stays when the schedule is deleted. A server that keeps schedules otherwise has none such."""

_SCHEDULERS = "TemporalNamespaceDivision = 'TemporalScheduler' AND WorkflowId STARTS_WITH '{}'"

CALLS_AT_ONCE = 10
"""Calls that end or delete executions, of which a session of a year has tens of thousands."""


class NotErasedError(Exception):
    """The server cannot erase, or does not get on with it; the message says what is left."""


class Erased(BaseModel):
    """Executions by kind, `Session` among them; each run of a chain counts. And how many schedules and stored files."""

    session_id: str
    removed: dict[str, int]
    schedules: int = 0
    files: int = 0


class Erasure:
    """The end of one session and of all that it started. Run again after a crash, it removes the rest."""

    def __init__(self, temporal: Client, session_id: str) -> None:
        self._id = checked_id(session_id)
        self._temporal = temporal
        self._exists = False
        self._files: int | None = None  # removed, once they are
        self._slots = asyncio.Semaphore(CALLS_AT_ONCE)

    async def found(self) -> Erased:
        """What there is to remove now.

        Raises SessionError (SessionNotFound), NotErasedError for a server that cannot list.
        """
        self._exists = await self._session_exists()
        executions, schedules = await self._executions(), await self._schedules()
        if not (self._exists or executions or schedules or await self._has_files()):
            raise self._not_found()
        return self._counted(executions, schedules)

    async def run(self, told: Callable[[int, int], None] = lambda _removed, _left: None) -> Erased:
        """Remove everything and wait until it is gone; `told` hears how much is removed and how much is left.

        Its schedules go first, and the session is ended, so that it starts no task any more. It is deleted last, after
        its files: as long as something is left its name stays taken, and a second erasure finds the rest. Raises what
        `found` does, and NotErasedError when nothing changes any more, or the store does not remove its files.
        """
        await self.found()
        schedules: set[str] = set()
        await self._unschedule(schedules)
        await self._terminate(Run(workflow_id=self._id))
        await asyncio.sleep(LAG_SECONDS)
        seen: dict[str, WorkflowExecution] = {}
        deleting: set[str] = set()
        last = False  # whether only the session was left; whoever has opened a new one since is not to lose it
        patience = _Patience()
        while left := [found for found in await self._executions() if not last or found.run_id in seen]:
            seen |= {execution.run_id: execution for execution in left}
            told(len(seen) - len(left), len(left))
            patience.check(left)
            if not last:
                await self._unschedule(schedules)  # what the list had not yet
            running = [found for found in left if found.close_time is None]
            if running:
                await self._each(self._terminate, running)
                await asyncio.sleep(LAG_SECONDS)
                continue
            last = all(found.id == self._id for found in left)
            if last and self._files is None:
                self._files = await self._remove_files()
            await self._each(self._delete, [found for found in self._leaves(left) if found.run_id not in deleting])
            deleting |= {found.run_id for found in self._leaves(left)}
            await asyncio.sleep(LOOK_SECONDS)
        if self._files is None:  # of a session whose executions had left before
            self._files = await self._remove_files()
        return self._counted(seen.values(), schedules)

    async def _has_files(self) -> bool:
        with _naming_files():
            store = store_of()
            return store is not None and await store.holds(self._id)

    async def _remove_files(self) -> int:
        with _naming_files():
            store = store_of()
            return 0 if store is None else await store.delete(self._id)

    async def _session_exists(self) -> bool:
        try:
            described = await self._temporal.get_workflow_handle(self._id).describe()
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            return False
        if described.workflow_type != SESSION_TYPE:
            raise self._not_found()
        return True

    async def _executions(self) -> list[WorkflowExecution]:
        """All that the server lists of this session: its runs, its tasks, and what those started."""
        prefix = task_workflow_id(self._id, "")
        query = f"WorkflowId = '{self._id}' OR WorkflowId STARTS_WITH '{prefix}' OR RootWorkflowId = '{self._id}'"
        try:
            listed = [found async for found in self._temporal.list_workflows(query)]
        except RPCError as error:
            if error.status != RPCStatusCode.UNIMPLEMENTED:
                raise
            message = "this Temporal server cannot list executions, so what belongs to a session cannot be found"
            raise NotErasedError(message) from None
        # The databases behind the list may compare without regard to case. A session that a task started is not ours.
        ours = {found.run_id: found for found in listed if found.id == self._id and found.workflow_type == SESSION_TYPE}
        others = [found for found in listed if found.workflow_type != SESSION_TYPE]
        ours |= {found.run_id: found for found in await self._schedulers()}
        known = {self._id}
        while grown := [found for found in others if self._parent(found) in known and found.run_id not in ours]:
            ours |= {found.run_id: found for found in grown}
            known |= {found.id for found in grown}
        return list(ours.values())

    async def _schedulers(self) -> list[WorkflowExecution]:
        """What deleted schedules of this session left on the server: their bodies are in there."""
        prefix = SCHEDULER + schedule_id(self._id, "")
        listed = [found async for found in self._temporal.list_workflows(_SCHEDULERS.format(prefix))]
        return [found for found in listed if found.id.startswith(prefix) and found.close_time is not None]

    async def _unschedule(self, deleted: set[str]) -> None:
        """Delete the schedules that are listed and note their names in `deleted`."""
        for name in await self._schedules():
            with contextlib.suppress(SessionError):  # deleted meanwhile
                await SessionSchedule(self._temporal, self._id, name).delete()
            deleted.add(name)

    async def _schedules(self) -> set[str]:
        try:
            return await schedule_names(self._temporal, self._id)
        except RPCError as error:
            if error.status != RPCStatusCode.UNIMPLEMENTED:
                raise
            return set()

    def _parent(self, execution: WorkflowExecution) -> str | None:
        """The id of what started it; what somebody else started for this session counts as the session's."""
        named = execution.id.startswith(task_workflow_id(self._id, ""))
        scheduled = execution.workflow_type == SCHEDULED_TASK_TYPE
        ours = execution.id.startswith(SCHEDULER) or (named and (scheduled or self._exists))
        return execution.parent_id or (self._id if ours else None)

    def _leaves(self, executions: list[WorkflowExecution]) -> list[WorkflowExecution]:
        """Those that nothing else hangs on: without them the rest can still be found."""
        parents = {self._parent(execution) for execution in executions}
        return [execution for execution in executions if execution.id not in parents] or executions

    async def _each(self, call: Callable[[Run], Awaitable[None]], executions: Iterable[WorkflowExecution]) -> None:
        async def limited(execution: WorkflowExecution) -> None:
            async with self._slots:
                await call(Run(workflow_id=execution.id, run_id=execution.run_id))

        await asyncio.gather(*map(limited, executions))

    async def _terminate(self, run: Run) -> None:
        handle = self._temporal.get_workflow_handle(run.workflow_id, run_id=run.run_id or None)
        await _unless_gone(handle.terminate(reason="the session is erased"))

    async def _delete(self, run: Run) -> None:
        request = DeleteWorkflowExecutionRequest(namespace=self._temporal.namespace, workflow_execution=run)
        await _unless_gone(self._temporal.workflow_service.delete_workflow_execution(request))

    def _counted(self, executions: Iterable[WorkflowExecution], schedules: set[str]) -> Erased:
        kinds = Counter(found.workflow_type for found in executions if not found.id.startswith(SCHEDULER))
        return Erased(
            session_id=self._id, removed=dict(sorted(kinds.items())), schedules=len(schedules), files=self._files or 0
        )

    def _not_found(self) -> SessionError:
        return SessionError(ErrorType.SESSION_NOT_FOUND, f"there is no session {self._id!r}")


@contextmanager
def _naming_files() -> Iterator[None]:
    try:
        yield
    except (SessionError, FilesSettingError) as error:
        raise NotErasedError(f"its files are still there: {error}; run it again once the store is back") from None


class _Patience:
    """Ends when nothing has changed for too long."""

    def __init__(self) -> None:
        self._known: set[tuple[str, WorkflowExecutionStatus | None]] = set()
        self._since = 0.0

    def check(self, left: list[WorkflowExecution]) -> None:
        """Raise NotErasedError if `left` is what it was GIVE_UP_SECONDS ago."""
        now = asyncio.get_running_loop().time()
        state = {(execution.run_id, execution.status) for execution in left}
        if state != self._known:
            self._known, self._since = state, now
        elif now - self._since > GIVE_UP_SECONDS:
            names = ", ".join(sorted({execution.id for execution in left})[:3])
            raise NotErasedError(f"nothing leaves any more; still there: {len(left)}, among them {names}")


async def _unless_gone(call: Awaitable[object]) -> None:
    """Await a call about an execution that may have ended or left meanwhile."""
    try:
        await call
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
