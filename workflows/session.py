"""The session: one long-lived workflow that takes tasks as signals and runs them one at a time, in order."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import ValidationError
from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.fork import read_context
    from workflows import details, limits
    from workflows.alarm import Alarm
    from workflows.context import SessionContext
    from workflows.contract import (
        SESSION_TYPE,
        CancelRequest,
        CloseRequest,
        Config,
        ConfigureRequest,
        ContextView,
        ForkSource,
        PatchRequest,
        Request,
        RollbackRequest,
        Snapshot,
        StartRequest,
        SubmitResult,
        TaskRecord,
        TaskRequest,
    )
    from workflows.errors import ErrorType, SessionError
    from workflows.messages import NOTHING, decoded
    from workflows.pending import PendingTask
    from workflows.running import TaskExecution
    from workflows.state import SessionState
    from workflows.validation import explained, parsed

_SIGNALS = "submit(TaskRequest), cancel_task({task_id, reason?}), pause(), resume(), close({mode?, reason?})"
_Answer = TypeVar("_Answer")
_Request = TypeVar("_Request", bound=Request)


@workflow.defn(name=SESSION_TYPE)
class SessionWorkflow:
    """Owns the pending list and the context, executes nothing itself.

    All durable state is one `SessionState`; it decides, this class talks to Temporal. Handlers only record, so that
    they can neither fail nor wedge the session; `run` acts on what they recorded.
    """

    @workflow.init
    def __init__(self, *start: Any) -> None:
        self._execution: TaskExecution | None = None
        self._alarm = Alarm()
        self._tasks_started = 0
        self._run_started = workflow.now()
        self._stale = True
        self._start_error: SessionError | None = None
        try:
            self._state = _opened(start)
        except SessionError as error:
            # Raised by `run`: an exception in here would be retried for ever instead of failing the run.
            self._start_error = error
            self._state = _new_state(StartRequest())

    @workflow.run
    async def run(self, *start: Any) -> Snapshot:  # noqa: ARG002 (`__init__` has read it; any arity must be taken)
        """Run tasks until the session is closed; the result is its final snapshot."""
        if self._start_error:
            raise _application_error(self._start_error)
        if self._state.fork_of:
            await self._fork(self._state.fork_of)
        while not self._state.over:
            if self._run_is_spent():
                await self._hand_over()
            task = self._state.next_task(workflow.now())
            if task:
                await self._execute(task)
            else:
                await self._until(lambda: self._state.over or self._state.next_task(workflow.now()) is not None)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._state.snapshot()

    # --- steps of the story -----------------------------------------------------------------------------------------

    async def _execute(self, task: PendingTask) -> None:
        self._tasks_started += 1
        self._execution = execution = TaskExecution(self._state, task)
        while not execution.ended:
            await self._until(lambda: execution.ended)
        self._execution = None
        await execution.outcome()

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for `condition`. Temporal's own cancel of the session ends the wait early, as a close `now`."""
        self._pass_time()
        try:
            await workflow.wait_condition(lambda: self._up_to_date() and (condition() or self._alarm.rang))
        except asyncio.CancelledError:
            reason = workflow.cancellation_reason() or "the session was cancelled"
            self._change(lambda now: self._state.close(CloseRequest(mode="now", reason=reason), now))

    def _pass_time(self) -> None:
        """Do what is due by now, and set the alarm for what will be next."""
        now = workflow.now()
        self._state.pass_time(now)
        self._alarm.set(self._state.next_change(now))
        self._stale = True

    def _up_to_date(self) -> bool:
        """Render the details once for all that an activation changed: conditions are checked at its end."""
        if self._stale:
            workflow.set_current_details(details.render(self._state))
            self._stale = False
        return True

    async def _fork(self, source: ForkSource) -> None:
        """Begin with the context of another session; fails the run where that cannot be read."""
        try:
            view = await workflow.execute_activity(
                read_context,
                source,
                start_to_close_timeout=timedelta(seconds=limits.CONTROL_TIMEOUT_SECONDS),
                summary=f"context of {source.session_id}",
            )
            self._state.context.take(view)
        except ActivityError as error:
            raise error.cause or error from None
        except SessionError as error:
            raise _application_error(error) from None
        self._state.fork_of = None

    def _run_is_spent(self) -> bool:
        info = workflow.info()
        return (
            info.is_continue_as_new_suggested()
            or self._tasks_started >= limits.RUN_TASKS
            or info.get_current_history_length() >= limits.RUN_EVENTS
            or workflow.now() - self._run_started >= timedelta(seconds=limits.RUN_SECONDS)
        )

    async def _hand_over(self) -> None:
        """Continue as new with the whole state; what arrived until then is in it, since handlers do not await."""
        await workflow.wait_condition(workflow.all_handlers_finished)
        state = self._state.model_dump(mode="json", exclude_none=True)
        workflow.continue_as_new({"state": state}, memo=dict(workflow.memo()))

    # --- messages ---------------------------------------------------------------------------------------------------

    @workflow.signal(dynamic=True, description=_SIGNALS)
    def receive(self, name: str, args: Sequence[RawValue]) -> None:
        """Take any signal, of any name, arity and payload: acted upon, or kept under `rejected` with its reason."""
        body: Any = None
        try:
            body = decoded(args)
            self._act(name, body)
        except SessionError as error:
            workflow.logger.warning("refused signal %s: %s", name, error)
            self._state.refuse(name, body, error, workflow.now())
            self._stale = True

    @workflow.update(name="submit_task", description="Submit a task: TaskRequest → {task_id, status, position}")
    async def submit_task(self, request: RawValue) -> SubmitResult:
        """Submit a task and say how it stands."""
        task = _request(TaskRequest, request)
        record = self._answer(lambda now: self._state.submit(task, now))
        return SubmitResult(task_id=record.task_id, status=record.status, position=record.position)

    @submit_task.validator
    def _check_submit_task(self, request: RawValue) -> None:
        task = _request(TaskRequest, request)
        _named(lambda: self._state.check_submit(task, workflow.now()))

    @workflow.update(name="patch_context", description="{patch, expected_version?, request_id?} → {version}")
    async def patch_context(self, request: RawValue) -> dict[str, int]:
        """Change the context from outside."""
        patch = _request(PatchRequest, request)
        return {"version": self._answer(lambda now: self._state.patch_context(patch, now))}

    @patch_context.validator
    def _check_patch_context(self, request: RawValue) -> None:
        patch = _request(PatchRequest, request)
        _named(lambda: self._state.check_patch(patch))

    @workflow.update(name="rollback_context", description="{version, request_id?} → {version}")
    async def rollback_context(self, request: RawValue) -> dict[str, int]:
        """Bring back an old version as a new one."""
        rollback = _request(RollbackRequest, request)
        return {"version": self._answer(lambda now: self._state.rollback_context(rollback, now))}

    @rollback_context.validator
    def _check_rollback_context(self, request: RawValue) -> None:
        rollback = _request(RollbackRequest, request)
        _named(lambda: self._state.check_rollback(rollback))

    @workflow.update(name="configure", description="Part of a Config → the whole Config")
    async def configure(self, request: RawValue) -> Config:
        """Change settings."""
        settings = _request(ConfigureRequest, request)
        return self._answer(lambda now: self._state.configure(settings, now))

    @configure.validator
    def _check_configure(self, request: RawValue) -> None:
        _request(ConfigureRequest, request)

    @workflow.query(name="snapshot", description="The session at a glance")
    def snapshot(self) -> Snapshot:
        """The session at a glance."""
        return self._state.snapshot()

    @workflow.query(name="task", description="The record of a task, by its id; null if never heard of")
    def task(self, task_id: RawValue) -> TaskRecord | None:
        """The record of one task."""
        return self._state.record(str(decoded([task_id])), workflow.now())

    @workflow.query(name="context", description="Values, transcript and log, now or as of a version")
    def context(self, version: RawValue = NOTHING) -> ContextView:
        """The context; the error of a version that cannot be read begins with its name."""
        number = decoded([version])
        if number is not None and type(number) is not int:
            raise SessionError(ErrorType.INVALID_REQUEST, "version must be a whole number")
        return self._state.context.view(number)

    # --- steps of the handlers --------------------------------------------------------------------------------------

    def _act(self, name: str, body: Any) -> None:
        match name:
            case "submit":
                request = parsed(TaskRequest, body)
                self._change(lambda now: self._state.submit(request, now))
            case "cancel_task":
                cancel = parsed(CancelRequest, body)
                self._change(lambda now: self._state.cancel(cancel, now))
            case "pause" | "resume" if body is None:
                self._change(lambda _: setattr(self._state, "paused", name == "pause"))
            case "pause" | "resume":
                raise SessionError(ErrorType.INVALID_REQUEST, "takes no argument")
            case "close":
                close = parsed(CloseRequest, {} if body is None else body)
                self._change(lambda now: self._state.close(close, now))
            case _:
                raise SessionError(ErrorType.INVALID_REQUEST, "there is no signal of that name")

    def _answer(self, change: Callable[[datetime], _Answer]) -> _Answer:
        """Make a change that a caller waits for; a refusal is the caller's error."""
        return _named(lambda: self._change(change))

    def _change(self, change: Callable[[datetime], _Answer]) -> _Answer:
        """Make a change of state, and pass on what it asks of time and of the running task."""
        answer = change(workflow.now())
        self._pass_time()
        if self._execution:
            self._execution.carry_out_cancel()
        return answer


def _opened(start: Sequence[Any]) -> SessionState:
    """The state of a new session, or what the run before this one handed over. Raises SessionError."""
    if len(start) > 1:
        raise SessionError(ErrorType.INVALID_REQUEST, f"takes one argument, got {len(start)}")
    request = parsed(StartRequest, start[0] if start and start[0] is not None else {})
    if request.state is not None:
        try:
            return SessionState.model_validate(request.state)
        except ValidationError as error:
            raise SessionError(ErrorType.INVALID_REQUEST, f"state: {explained(error)}") from None
    return _new_state(request)


def _new_state(request: StartRequest) -> SessionState:
    return SessionState(
        session_id=workflow.info().workflow_id,
        config=request.config,
        fork_of=request.fork_of,
        started_at=workflow.info().start_time,
        context=SessionContext.initial(request.context),
    )


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
