"""Tasks at set times: Temporal Schedules, each of which submits a task to one session at each of its times.

A schedule starts the small workflow `ScheduledTask` on the session's task queue, which submits under an id made of the
schedule's name and the nominal time: once for each time, whatever of it is done twice.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar, cast

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, Field
from temporalio.api.enums.v1 import ScheduleOverlapPolicy as Overlaps
from temporalio.api.schedule.v1 import SchedulePatch, TriggerImmediatelyRequest
from temporalio.api.workflowservice.v1 import PatchScheduleRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleDescription,
    ScheduleListActionStartWorkflow,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
)
from temporalio.common import Priority
from temporalio.service import RPCError, RPCStatusCode

from starter.client.connection import task_queue
from workflows.contract import (
    SCHEDULED_TASK_TYPE,
    SESSION_TYPE,
    ErrorInfo,
    ScheduledTaskStart,
    schedule_id,
    scheduled_task_id,
)
from workflows.wire import fields as f
from workflows.wire.encoding import canonical, preview, short_hash
from workflows.wire.errors import SCHEDULE_CONFLICT, UNKNOWN_SCHEDULE, ErrorType, SessionError
from workflows.wire.fairness import fairness_key
from workflows.wire.limits import PREVIEW_BYTES
from workflows.wire.outcomes import failed_end
from workflows.wire.scheduling import scheduled_request
from workflows.wire.validation import checked_id, parsed, sendable

Overlap = Literal["skip", "buffer_one", "buffer_all", "allow_all"]
"""What becomes of a time at which an earlier one has not been submitted yet, say because no worker runs: it is left
out, it waits for the earlier one (one such time, or all), or it is submitted beside it. Not whether tasks overlap: a
session runs one at a time, and `on_busy` of the request says what its task does to others."""

DEFAULT_OVERLAP: Overlap = "skip"
"""A worker that comes back after a day asks a question of every minute once and not 1,440 times."""

CATCH_UP_SECONDS = 86_400.0
"""How late the server may still start a time that passed while it was down. A night's outage, or a laptop that was
closed, costs no task; what is older than a day is rarely wanted (Temporal's own default is a year)."""

SHORTEST_CATCH_UP, LONGEST_CATCH_UP = 10.0, 365 * 86_400.0
"""The server takes less than ten seconds for ten, and its own default is the longest."""

NAME_DIGEST_CHARS = 12
"""Of a name that is made up from what a schedule does: 72 bits tell apart all that one session will ever have."""

CRON_CHARS = 200
"""Longer than any list of hours and days that a person writes."""

PATCH_SECONDS = 2.0
"""Until a pause, a resume or a trigger is sent again that shows no effect. The server keeps one at a time for a
schedule: the first of two that reach it within milliseconds is lost (tried on 1.32: every fifth time)."""

PATCHES = 10
"""How often, before it is given up."""

FIRST_LOOK, LONGEST_LOOK = 0.02, 0.25
"""Seconds between looks for that effect, more each time; the first one finds it on an idle server."""

_CRON = "cron"
_Answer = TypeVar("_Answer")


class ScheduleTerms(f.Request):
    """When a schedule submits. What the server alone can judge (cron, time zone) is judged when it is added."""

    cron: f.Name = Field(max_length=CRON_CHARS)
    time_zone: f.Name
    overlap: Overlap
    catch_up: float = Field(ge=SHORTEST_CATCH_UP, le=LONGEST_CATCH_UP)


class ScheduledTime(BaseModel):
    """The newest time that a schedule was started for. `task_id`: of its task, `error`: why that was not submitted."""

    nominal_time: f.Timestamp
    started_at: f.Timestamp
    task_id: str
    status: Literal["submitting", "submitted", "failed", "gone"]
    error: ErrorInfo | None = None


class ScheduleView(BaseModel):
    """A schedule as it stands. `next_times`: the next few; `request`: a TaskRequest without id; `open`: a Config.

    `started`: times so far; `skipped`: left out by the overlap policy; `missed`: passed longer ago than `catch_up`
    while the server was down.
    """

    session_id: str
    schedule: str
    cron: str
    time_zone: str
    overlap: str
    catch_up: float
    paused: bool
    note: str | None = None
    next_times: list[f.Timestamp]
    last: ScheduledTime | None = None
    started: int
    skipped: int
    missed: int
    request: dict[str, Any]
    open: dict[str, Any] | None = None


class SessionSchedule:
    """One schedule of a session, there or not. Every method raises SessionError (UnknownSchedule) where it is not."""

    def __init__(self, temporal: Client, session_id: str, name: str) -> None:
        self.session_id, self.name = session_id, name
        self._temporal = temporal
        self._handle = temporal.get_schedule_handle(schedule_id(session_id, name))

    async def shown(self) -> ScheduleView:
        """How it stands."""
        return await _view(self._temporal, self.session_id, self.name, await self._described())

    async def pause(self, note: str | None = None) -> None:
        """Let its times pass from now on, until `resume`; `trigger` works all the same."""
        await self._pause(SchedulePatch(pause=note or "paused"), paused=True)

    async def resume(self, note: str | None = None) -> None:
        """Go on with the next time; those that passed meanwhile are not made up for."""
        await self._pause(SchedulePatch(unpause=note or "resumed"), paused=False)

    async def trigger(self, at: datetime | None = None) -> str:
        """Submit its task now, in addition to its times, and return the id that it has or is about to have.

        The nominal time is `at`, to the second; the present one where that is left out. The same second is the same
        task. It does not wait for an earlier time. Raises SessionError (InvalidRequest) for an `at` without an offset,
        and TimeoutError where the server does not start it.
        """
        moment = at or datetime.now(UTC)
        if moment.tzinfo is None:
            raise SessionError(ErrorType.INVALID_REQUEST, "at: a time needs an offset, like 2026-11-23T09:00:00Z")
        nominal = moment.replace(microsecond=0)
        scheduled = Timestamp()
        scheduled.FromDatetime(nominal)
        # Not the SDK's `trigger`: by that the server takes its own clock, and nobody knows the task's id.
        request = TriggerImmediatelyRequest(
            overlap_policy=Overlaps.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL, scheduled_time=scheduled
        )
        await self._patched(SchedulePatch(trigger_immediately=request), lambda: self._started(nominal))
        return scheduled_task_id(self.name, nominal)

    async def delete(self) -> None:
        """End it. Tasks that it has submitted stay."""
        await self._known(self._handle.delete())

    async def _pause(self, patch: SchedulePatch, *, paused: bool) -> None:
        async def is_so() -> bool:
            return (await self._described()).schedule.state.paused is paused

        await self._patched(patch, is_so)

    async def _started(self, nominal: datetime) -> bool:
        """Whether there is a workflow for that time."""
        workflow_id = f"{self._handle.id}-{nominal.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"  # as the server names it
        try:
            await self._temporal.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            return False
        return True

    async def _patched(self, patch: SchedulePatch, done: Callable[[], Awaitable[bool]]) -> None:
        """Change the schedule, until that has shown. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        for _ in range(PATCHES):
            request = PatchScheduleRequest(
                namespace=self._temporal.namespace,
                schedule_id=self._handle.id,
                patch=patch,
                identity=self._temporal.identity,
                request_id=uuid.uuid4().hex,
            )
            await self._known(self._temporal.workflow_service.patch_schedule(request, retry=True))
            again, pause = loop.time() + PATCH_SECONDS, FIRST_LOOK
            while loop.time() < again:
                if await done():
                    return
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_LOOK)
        raise TimeoutError(f"the server has not acted upon schedule {self._handle.id!r} within some time")

    async def _described(self) -> ScheduleDescription:
        return await self._known(self._handle.describe())

    async def _known(self, call: Awaitable[_Answer]) -> _Answer:
        try:
            return await call
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            message = f"session {self.session_id!r} has no schedule {self.name!r}"
            raise SessionError(UNKNOWN_SCHEDULE, message) from None


async def add_schedule(
    temporal: Client,
    session_id: str,
    cron: str,
    request: dict[str, Any],
    *,
    name: str | None,
    terms: dict[str, Any],
    open: dict[str, Any] | None,  # noqa: A002 (as the contract calls it)
    queue: str | None,
) -> SessionSchedule:
    """Add a schedule to a session; one that is there already with the same body stays as it is.

    Raises SessionError: InvalidRequest, also for a cron expression or a time zone that the server does not know, and
    for one that never comes; InputTooLarge; SessionNotFound and SessionClosed; ScheduleConflict.
    """
    checked = parsed(ScheduleTerms, {"cron": cron, **terms})
    body = sendable({"session_id": session_id, "request": request} | ({} if open is None else {"open": open}))
    name = name or f"schedule-{short_hash(canonical([body, checked.model_dump()]), NAME_DIGEST_CHARS)}"
    start = parsed(ScheduledTaskStart, {**body, "schedule": name})
    for unfit in ("not_before", "expires_at"):
        if unfit in request:
            raise SessionError(ErrorType.INVALID_REQUEST, f"{unfit}: a task that is repeated is for no single time")
    task = scheduled_request(start, datetime.now(UTC))
    session = await _session(temporal, session_id, may_be_missing=start.open is not None)
    # The line that the session itself waits in, or will.
    opener = fairness_key(start.open.owner) if start.open else None
    key = session.raw_info.priority.fairness_key if session else opener
    found = SessionSchedule(temporal, session_id, name)
    wanted = {**body, "schedule": name}
    try:
        handle = await temporal.create_schedule(
            schedule_id(session_id, name),
            Schedule(
                action=ScheduleActionStartWorkflow(
                    SCHEDULED_TASK_TYPE,
                    wanted,
                    id=schedule_id(session_id, name),
                    task_queue=session.task_queue if session else queue or task_queue(),
                    static_summary=preview(body["request"]["input"], PREVIEW_BYTES),
                    priority=Priority(priority_key=task.priority, fairness_key=key),
                ),
                spec=ScheduleSpec(cron_expressions=[checked.cron], time_zone_name=checked.time_zone),
                policy=SchedulePolicy(
                    overlap=ScheduleOverlapPolicy[checked.overlap.upper()],
                    catchup_window=timedelta(seconds=checked.catch_up),
                ),
            ),
            memo={_CRON: checked.cron},  # the server keeps what it made of it only
        )
        if not (await handle.describe()).info.next_action_times:
            await handle.delete()
            raise SessionError(ErrorType.INVALID_REQUEST, f"cron: {checked.cron!r} never comes")
    except ScheduleAlreadyRunningError:
        view = await found.shown()
        there = {"session_id": session_id, "schedule": name, "request": view.request}
        there |= {} if view.open is None else {"open": view.open}
        terms = {field: getattr(view, field) for field in ScheduleTerms.model_fields}
        if (canonical(there), terms) != (canonical(wanted), checked.model_dump()):
            message = f"session {session_id!r} has another schedule {name!r}; delete it first, or choose another name"
            raise SessionError(SCHEDULE_CONFLICT, message) from None
    except RPCError as error:
        if error.status != RPCStatusCode.INVALID_ARGUMENT:
            raise
        said = str(error).removeprefix("Invalid schedule spec: ")
        field = "time_zone" if "zone" in said else "cron"
        raise SessionError(ErrorType.INVALID_REQUEST, f"{field}: {said}") from None
    return found


async def schedules_of(temporal: Client, session_id: str) -> list[ScheduleView]:
    """The schedules of a session by name, as the server lists them: a moment late."""
    views = []
    for name in sorted(await schedule_names(temporal, session_id)):
        try:
            views.append(await SessionSchedule(temporal, session_id, name).shown())
        except SessionError as error:
            if error.type != UNKNOWN_SCHEDULE:  # gone since it was listed
                raise
    return views


async def schedule_names(temporal: Client, session_id: str) -> set[str]:
    """The names of a session's schedules, as the server lists them."""
    prefix = schedule_id(checked_id(session_id), "")
    listed = await temporal.list_schedules(f"ScheduleId STARTS_WITH '{prefix}'")
    names = set()
    async for found in listed:
        action = found.schedule.action if found.schedule else None
        ours = isinstance(action, ScheduleListActionStartWorkflow) and action.workflow == SCHEDULED_TASK_TYPE
        # The databases behind the list may compare without regard to case.
        if ours and found.id.startswith(prefix):
            names.add(found.id.removeprefix(prefix))
    return names


async def _session(temporal: Client, session_id: str, *, may_be_missing: bool) -> WorkflowExecutionDescription | None:
    """A session that goes on; null where there is none. Raises SessionError: SessionClosed, SessionNotFound."""
    try:
        found = await temporal.get_workflow_handle(session_id).describe()
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        if may_be_missing:
            return None
        raise SessionError(ErrorType.SESSION_NOT_FOUND, f"there is no session {session_id!r}") from None
    if found.workflow_type != SESSION_TYPE:
        raise SessionError(ErrorType.SESSION_NOT_FOUND, f"there is no session {session_id!r}")
    if found.close_time is not None:
        raise SessionError(ErrorType.SESSION_CLOSED, f"session {session_id!r} is over and takes no tasks")
    return found


async def _view(temporal: Client, session_id: str, name: str, found: ScheduleDescription) -> ScheduleView:
    schedule, info = found.schedule, found.info
    # Its types allow for schedules that are still to be made; the server's have both.
    action = cast("ScheduleActionStartWorkflow", schedule.action)
    catch_up = cast("timedelta", schedule.policy.catchup_window)
    [start] = await temporal.data_converter.decode(action.args)
    return ScheduleView(
        session_id=session_id,
        schedule=name,
        cron=await found.memo_value(_CRON, ""),
        time_zone=schedule.spec.time_zone_name or "UTC",
        overlap=schedule.policy.overlap.name.lower(),
        catch_up=catch_up.total_seconds(),
        paused=schedule.state.paused,
        note=schedule.state.note or None,
        next_times=info.next_action_times,
        last=await _last(temporal, name, found),
        started=info.num_actions,
        skipped=info.num_actions_skipped_overlap,
        missed=info.num_actions_missed_catchup_window,
        request=start.get("request", {}),
        open=start.get("open"),
    )


async def _last(temporal: Client, name: str, found: ScheduleDescription) -> ScheduledTime | None:
    """The time that was started last, and what became of it."""
    newest = max(found.info.recent_actions, key=lambda action: action.started_at, default=None)
    if newest is None or not isinstance(newest.action, ScheduleActionExecutionStartWorkflow):
        return None
    nominal = newest.scheduled_at.replace(microsecond=0)
    last = ScheduledTime(
        nominal_time=nominal,
        started_at=newest.started_at,
        task_id=scheduled_task_id(name, nominal),
        status="submitting",
    )
    run_id = newest.action.first_execution_run_id
    handle = temporal.get_workflow_handle(newest.action.workflow_id, run_id=run_id)
    try:
        status = (await handle.describe()).status
        if status == WorkflowExecutionStatus.COMPLETED:
            last.status = "submitted"
        elif status != WorkflowExecutionStatus.RUNNING:
            last.status = "failed"
            await handle.result()
    except WorkflowFailureError as failure:
        last.error = failed_end(failure.cause).error
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        last.status = "gone"  # beyond the namespace's retention
    return last
