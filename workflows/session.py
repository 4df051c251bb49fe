"""The session: one long-lived workflow that takes tasks as signals and runs them one at a time, in order."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    # Not `from workflows import limits`: Python would then load them past the sandbox's importer, again for each run.
    import workflows.state.details as details  # noqa: PLR0402
    import workflows.state.signals as signals  # noqa: PLR0402
    import workflows.temporal.metrics as metrics  # noqa: PLR0402
    import workflows.wire.limits as limits  # noqa: PLR0402
    from activities.fork import read_context
    from workflows.contract import (
        SESSION_TYPE,
        CloseRequest,
        Config,
        ConfigureRequest,
        ContextView,
        ForkSource,
        PatchRequest,
        RollbackRequest,
        Snapshot,
        StartRequest,
        SubmitResult,
        TaskRecord,
        TaskRequest,
    )
    from workflows.state.ledger import remembered
    from workflows.state.opening import UnreadableState, new_state, opened
    from workflows.temporal.alarm import Alarm
    from workflows.temporal.backlog import Backlog
    from workflows.temporal.rest import Rest
    from workflows.temporal.running import TaskExecution
    from workflows.temporal.telling import Telling
    from workflows.temporal.visibility import Visibility
    from workflows.wire.errors import ErrorType, SessionError
    from workflows.wire.fields import Request
    from workflows.wire.messages import NOTHING, decoded, remains
    from workflows.wire.validation import parsed

_UPGRADE = workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE  # to the version that is current now, if there are any
_LAST_MESSAGES = "take-what-came-with-the-close"
# TODO(2026-11): let it go in two steps once no run from before it is open. Those dropped what came beyond a share while
# their close was told, and never answered an update behind that.

_Answer = TypeVar("_Answer")
_Request = TypeVar("_Request", bound=Request)


@workflow.defn(name=SESSION_TYPE, sandboxed=False)
class SessionWorkflow:
    """Owns the pending list and the context, executes nothing itself.

    All durable state is one `SessionState`; it decides, this class talks to Temporal. Handlers only record, so that
    they can neither fail nor wedge the session; `run` acts on what they recorded.
    """

    @workflow.init
    def __init__(self, *start: Any) -> None:
        self._execution: TaskExecution | None = None
        self._alarm = Alarm()
        self._rest = Rest()
        self._visibility = Visibility()
        self._tasks = 0
        self._changed = False
        self._backlog = Backlog()
        self._start_error: Exception | None = None
        info = workflow.info()
        # Not `now()`: the first workflow task may be replayed together with the next one, at the time of that.
        session_id, now = info.workflow_id, info.workflow_start_time
        try:
            self._state = opened(start, session_id, now, continued=info.continued_run_id is not None)
        except (SessionError, UnreadableState) as error:
            # Raised by `run`: an exception in here would be retried for ever, also where the run is to fail.
            self._start_error = _application_error(error) if isinstance(error, SessionError) else error
            self._state = new_state(StartRequest(), session_id, now)
        self._state.ledger.report_to(metrics.task_ended)
        self._telling = Telling(self._state)

    @workflow.run
    async def run(self, *start: Any) -> Snapshot:  # noqa: ARG002 (`__init__` has read it; any arity must be taken)
        """Run tasks until the session is closed; the result is its final snapshot."""
        if self._start_error:
            raise self._start_error
        while not (self._state.over and self._visibility.asked and not self._backlog):
            try:
                await self._step()
            except asyncio.CancelledError:
                self._close_now(workflow.cancellation_reason())
        await self._end()
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._show()
        return self._state.snapshot()

    # --- steps of the story -----------------------------------------------------------------------------------------

    async def _step(self) -> None:
        """Do the next thing there is to do, or wait until there is one."""
        if not self._visibility.asked:
            self._show()
            await self._visibility.ask()
        self._catch_up()
        if self._backlog:
            await self._work_off_backlog()
        elif self._state.fork_of:
            await self._fork(self._state.fork_of)
        elif self._may_hand_over():
            await self._hand_over()
        elif self._execution and self._execution.ended:
            execution, self._execution = self._execution, None
            await execution.outcome()
        elif self._execution is None and self._state.running:
            self._execution = TaskExecution.adopt(self._state)
            self._tasks += 1
        elif self._execution is None and (task := self._state.next_task(workflow.now())):
            self._execution = TaskExecution.start(self._state, task)
            self._tasks += 1
        else:
            self._show()
            self._changed = False
            await workflow.wait_condition(lambda: self._changed or self._something_to_do())

    def _catch_up(self) -> None:
        """Do what is due by now, pass on what the running task is to be told, and set the alarm for what comes next."""
        now = workflow.now()
        self._backlog.new_share()
        self._state.pass_time(now)
        if self._execution:
            self._execution.carry_out()
        self._telling.carry_out()
        looks = self._state.next_change(now), self._rest.next_look(self._state.idle_since(now), now)
        self._alarm.set(min(filter(None, looks), default=None))

    def _something_to_do(self) -> bool:
        ready = self._execution.ended if self._execution else self._state.next_task(workflow.now()) is not None
        return ready or self._state.over or self._alarm.rang or self._may_hand_over()

    async def _end(self) -> None:
        """Tell of the close, and answer what has come while that was handed out: an update may wait behind it."""
        self._state.tell_close()
        await self._telling.done()
        while self._backlog and workflow.patched(_LAST_MESSAGES):
            with contextlib.suppress(asyncio.CancelledError):
                await self._work_off_backlog()

    def _close_now(self, reason: str | None) -> None:
        """What Temporal's own cancel of the session means."""
        self._state.close(CloseRequest(mode="now", reason=reason or "the session was cancelled"), workflow.now())

    def _show(self) -> None:
        workflow.set_current_details(details.render(self._state))
        self._visibility.show(self._state.status, self._state.config.owner)

    async def _work_off_backlog(self) -> None:
        """Take the next share of a burst in another workflow task: the one that brings more, or that a timer brings."""
        self._changed = False
        with contextlib.suppress(TimeoutError):
            pause, summary = limits.BACKLOG_PAUSE_SECONDS, f"{len(self._backlog)} more messages"
            await workflow.wait_condition(lambda: self._changed, timeout=pause, timeout_summary=summary)
        self._changed = True
        for message in self._backlog.share():
            self._take(*message)

    async def _fork(self, source: ForkSource) -> None:
        """Begin with the context of another session; fails the run where that cannot be read."""
        try:
            view = await workflow.execute_activity(
                read_context,
                source,
                start_to_close_timeout=timedelta(seconds=limits.FORK_SECONDS),
                heartbeat_timeout=timedelta(seconds=limits.CONTROL_TIMEOUT_SECONDS),
                summary=f"context of {source.session_id}",
            )
            self._state.context.take(view)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from None
            raise error.cause or error from None
        except SessionError as error:
            raise _application_error(error) from None
        self._state.fork_of = None

    def _may_hand_over(self) -> bool:
        """Whether this run has done its share, or rests after some of it, and the next one can take over."""
        info, now = workflow.info(), workflow.now()
        spent = (
            info.is_continue_as_new_suggested()
            or self._tasks >= limits.RUN_TASKS
            or info.get_current_history_length() >= limits.RUN_EVENTS
            or now - info.workflow_start_time >= timedelta(seconds=limits.RUN_SECONDS)
            or info.is_target_worker_deployment_version_changed()
            or self._rest.enough(self._state.idle_since(now), now)
        )
        if not spent or self._telling.busy:
            return False
        if self._execution:
            return self._execution.can_be_left and not self._execution.ended
        # However early the server asks for the next run, each one moves the session on.
        return self._tasks > 0 or self._state.next_task(now) is None

    async def _hand_over(self) -> None:
        """Continue as new with the whole state; what arrived until then is in it, since handlers do not await."""
        await workflow.wait_condition(workflow.all_handlers_finished)
        if self._telling.busy:  # by what has come meanwhile
            return
        state = self._state.model_dump(mode="json", exclude_none=True)
        workflow.continue_as_new({"state": state}, initial_versioning_behavior=_UPGRADE, memo=dict(workflow.memo()))

    # --- messages ---------------------------------------------------------------------------------------------------

    @workflow.signal(dynamic=True, description=signals.DESCRIPTION)
    def receive(self, name: str, args: Sequence[RawValue]) -> None:
        """Take any signal, of any name, arity and payload: acted upon, or kept under `rejected` with its reason."""
        self._changed = True
        if not self._backlog.keeps((name, args)):
            self._take(name, args)

    def _take(self, name: str, args: Sequence[RawValue]) -> None:
        body: Any = None
        try:
            body = decoded(args)
            signals.act(self._state, name, body, workflow.now())
        except SessionError as error:
            metrics.message_refused(error)
            self._state.refuse(name, remains(args) if body is None else body, error, workflow.now())

    @workflow.update(name="submit_task", description='{"task_id", "input"} → {"task_id", "status", "position"}')
    async def submit_task(self, request: RawValue) -> SubmitResult:
        """Submit a task and say how it stands."""
        task = _request(TaskRequest, request)
        record = await self._answer(lambda now: self._state.submit(task, now))
        return SubmitResult(task_id=record.task_id, status=record.status, position=record.position)

    @submit_task.validator
    def _check_submit_task(self, request: RawValue) -> None:
        task = _request(TaskRequest, request)
        _named(lambda: self._state.check_submit(task, workflow.now()))

    @workflow.update(name="patch_context", description='{"patch", "expected_version"?} → {"version"}')
    async def patch_context(self, request: RawValue) -> dict[str, int]:
        """Change the context from outside."""
        patch = _request(PatchRequest, request)
        return {"version": await self._answer(lambda now: self._state.patch_context(patch, now))}

    @patch_context.validator
    def _check_patch_context(self, request: RawValue) -> None:
        patch = _request(PatchRequest, request)
        _named(lambda: self._state.check_patch(patch))

    @workflow.update(name="rollback_context", description='{"version"} → {"version"}')
    async def rollback_context(self, request: RawValue) -> dict[str, int]:
        """Bring back an old version as a new one."""
        rollback = _request(RollbackRequest, request)
        return {"version": await self._answer(lambda now: self._state.rollback_context(rollback, now))}

    @rollback_context.validator
    def _check_rollback_context(self, request: RawValue) -> None:
        rollback = _request(RollbackRequest, request)
        _named(lambda: self._state.check_rollback(rollback))

    @workflow.update(name="configure", description='Part of a Config, like {"on_failure": "pause"} → all of it')
    async def configure(self, request: RawValue) -> Config:
        """Change settings."""
        settings = _request(ConfigureRequest, request)
        return await self._answer(lambda now: self._state.configure(settings, now))

    @configure.validator
    def _check_configure(self, request: RawValue) -> None:
        _request(ConfigureRequest, request)

    @workflow.query(name="snapshot", description="The session at a glance")
    def snapshot(self) -> Snapshot:
        """The session at a glance."""
        return self._state.snapshot()

    @workflow.query(name="task", description="The record of a task, by its id in quotes; null if never heard of")
    def task(self, task_id: RawValue) -> TaskRecord | None:
        """The record of one task."""
        name = str(decoded([task_id]))
        record = self._state.record(name, workflow.now())
        refused = record is None or record.status == "rejected"  # what waits under that id replaces a refusal
        return remembered(name, "pending") if refused and self._backlog.has_task(name) else record

    @workflow.query(name="context", description="Values, transcript and log, now or as of a version")
    def context(self, version: RawValue = NOTHING) -> ContextView:
        """The context; the error of a version that cannot be read begins with its name."""
        number = decoded([version])
        if number is not None and type(number) is not int:
            raise SessionError(ErrorType.INVALID_REQUEST, "version must be a whole number")
        view = self._state.context.view(number)
        if self._state.fork_of:
            view.fork_of = self._state.fork_of.session_id
        return view

    # --- steps of the handlers --------------------------------------------------------------------------------------

    async def _answer(self, change: Callable[[datetime], _Answer]) -> _Answer:
        """Make a change that a caller waits for, after all that came before it; a refusal is the caller's error."""
        self._changed = True
        before = self._backlog.kept
        if self._backlog:
            await workflow.wait_condition(lambda: self._backlog.kept - len(self._backlog) >= before)
        return _named(lambda: change(workflow.now()))


def _request(model: type[_Request], argument: RawValue) -> _Request:
    """The argument of an update. Raises ApplicationError under the name of what is wrong with it."""
    return _named(lambda: parsed(model, decoded([argument])))


def _named(work: Callable[[], _Answer]) -> _Answer:
    """The answer of `work`; a SessionError becomes the ApplicationError that travels under its name."""
    try:
        return work()
    except SessionError as error:
        raise _application_error(error) from None


def _application_error(error: SessionError) -> ApplicationError:
    return ApplicationError(error.message, type=error.type, non_retryable=True)
