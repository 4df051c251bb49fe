"""The one running task: its child workflow, from start to end, over as many runs of the session as it takes."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from temporalio import workflow
from temporalio.common import Priority, RawValue, RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from activities.child_tasks import ChildTask, Origin, input_hash, terminate_child, watch_child
    from workflows.contract import Answer, ErrorInfo, TaskInput, TaskOutput, task_workflow_id
    from workflows.state import details
    from workflows.state.pending import PendingTask
    from workflows.state.session_state import SessionState
    from workflows.wire import limits
    from workflows.wire.errors import ErrorType, SessionError
    from workflows.wire.fairness import fairness_key
    from workflows.wire.outcomes import TaskEnd, failed_end
    from workflows.wire.validation import explained


class TaskExecution:
    """Runs one task as a child workflow, or adopts the child that an earlier run started; reports its end to the state.

    The child outlives anything that happens to this run of the session (ABANDON), is never started twice under its
    id (REJECT_DUPLICATE), and has no retry policy: retries belong to its activities.
    """

    def __init__(self, state: SessionState, task_input: TaskInput | None) -> None:
        self._state = state
        self._running = state.running_task()
        self._workflow_id = task_workflow_id(state.session_id, self._running.task.task_id)
        self._child: workflow.ChildWorkflowHandle[Any, RawValue] | None = None
        self._started = task_input is None and self._running.run_id is not None
        self._cancelling: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._answering: set[asyncio.Task[None]] = set()
        self._driver = asyncio.create_task(self._drive(task_input))
        self.carry_out()

    @classmethod
    def start(cls, state: SessionState, task: PendingTask) -> "TaskExecution":
        """Start `task` with what it may see of the context."""
        return cls(state, state.start(task, workflow.now()))

    @classmethod
    def adopt(cls, state: SessionState) -> "TaskExecution":
        """Go on with the task that the run before this one left running, its cancellation included."""
        return cls(state, None)

    @property
    def ended(self) -> bool:
        """Whether the state knows how the task ended."""
        return self._driver.done()

    @property
    def can_be_left(self) -> bool:
        """Whether another run of the session may take over: the child is known to run, and nothing is under way to it.

        A run that handed over a child whose start is not confirmed could leave the next one waiting for nothing.
        """
        return self._started and not self._answering

    async def outcome(self) -> None:
        """Wait for the end; raises what went wrong in this module itself, never the task's own failure."""
        await self._driver

    def carry_out(self) -> None:
        """Pass on to the child, once it has been started, what the state has for it: a cancel, answers."""
        if not self._started:
            return
        if self._running.cancel_reason is not None and self._cancelling is None:
            self._cancelling = asyncio.create_task(self._cancel(self._running.cancel_reason))
        if self._running.refused is not None and self._ending is None:
            self._ending = asyncio.create_task(self._terminate(self._running.refused.message))
        while self._running.answers:
            task = asyncio.create_task(self._answer(self._running.answers.pop(0)))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _drive(self, task_input: TaskInput | None) -> None:
        end = await (self._adopt() if task_input is None else self._run_child(task_input))
        now = workflow.now()
        if end.error is not None:
            self._state.end(end.status, SessionError(end.error.type, end.error.message), now)
            return
        try:
            output = TaskOutput.model_validate(end.result)
        except ValidationError as error:
            self._state.end("failed", SessionError(ErrorType.INVALID_OUTPUT, explained(error)), now)
            return
        self._state.complete(output, now)

    async def _run_child(self, task_input: TaskInput) -> TaskEnd:
        task = self._running.task
        try:
            self._child = await workflow.start_child_workflow(
                task.kind,
                task_input,
                id=self._workflow_id,
                task_queue=task.task_queue,
                execution_timeout=timedelta(seconds=task.timeout),
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                static_summary=details.summary(task),
                static_details=details.of_task(self._state),
                priority=Priority(priority_key=task.priority, fairness_key=fairness_key(self._state.config.owner)),
                result_type=RawValue,
            )
        except WorkflowAlreadyStartedError:
            return await self._adopt()
        self._began(self._child.first_execution_run_id)
        try:
            result = await self._child
        except ChildWorkflowError as error:
            return failed_end(error.cause)
        return _completed(result)

    def _began(self, run_id: str | None) -> None:
        self._started = True
        self._running.run_id = run_id
        self.carry_out()

    async def _adopt(self) -> TaskEnd:
        """Wait for a child that this run did not start; one whose run no earlier run noted has to prove its origin."""
        if self._running.run_id is None:
            found = await self._watch(self._origin())
            if found.status != "running":
                return found
            self._began(found.run_id)
        return await self._watch()

    def _origin(self) -> Origin:
        task = self._running.task
        return Origin(
            session_id=self._state.session_id,
            first_run=workflow.info().first_execution_run_id,
            kind=task.kind,
            task_id=task.task_id,
            input=input_hash(task.input),
        )

    async def _watch(self, origin: Origin | None = None) -> TaskEnd:
        """Ask an activity, whose retries leave no events: for the end of the child, or whether it is of that origin."""
        return await workflow.execute_activity(
            watch_child,
            ChildTask(workflow_id=self._workflow_id, run_id=self._running.run_id, origin=origin),
            start_to_close_timeout=timedelta(seconds=limits.WATCH_TIMEOUT_SECONDS),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=limits.WATCH_RETRY_SECONDS), backoff_coefficient=1.0
            ),
            summary=f"waits for {self._running.task.task_id}",
        )

    async def _cancel(self, reason: str) -> None:
        """Ask the child to end. It may clean up; what has not ended after the grace is terminated."""
        if self._child is not None:
            self._child.cancel(reason)
        else:
            with suppress(ApplicationError):  # it has ended, which the watch is about to report
                await workflow.get_external_workflow_handle(self._workflow_id).cancel()
        asked_at = self._running.cancelled_at or workflow.now()
        deadline = asked_at + timedelta(seconds=self._state.config.cancel_grace)
        try:
            await workflow.wait_condition(
                lambda: self.ended,
                timeout=max(deadline - workflow.now(), timedelta(0)),
                timeout_summary=f"grace for {self._running.task.task_id}",
            )
        except TimeoutError:
            await self._terminate("did not end within the session's cancel_grace")

    async def _terminate(self, reason: str) -> None:
        await workflow.execute_activity(
            terminate_child,
            ChildTask(workflow_id=self._workflow_id, run_id=self._running.run_id, reason=reason),
            start_to_close_timeout=timedelta(seconds=limits.CONTROL_TIMEOUT_SECONDS),
            summary=f"terminates {self._running.task.task_id}",
        )

    async def _answer(self, answer: Answer) -> None:
        with suppress(ApplicationError):  # it has ended, and its record says how
            await workflow.get_external_workflow_handle(self._workflow_id).signal("respond", answer)


def _completed(result: RawValue) -> TaskEnd:
    try:
        value = workflow.payload_converter().from_payload(result.payload, object)
    except Exception as error:  # noqa: BLE001 (any converter error means the same: not readable)
        message = f"output cannot be decoded: {error}"
        return TaskEnd(status="failed", error=ErrorInfo(type=ErrorType.INVALID_OUTPUT, message=message))
    return TaskEnd(status="completed", result=value)
