"""The one running task: its child workflow, from start to end."""

import asyncio
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ChildWorkflowError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from activities.child_tasks import ChildTask, terminate_child, watch_child
    from workflows import limits
    from workflows.contract import ErrorInfo, TaskInput, TaskOutput, task_workflow_id
    from workflows.errors import ErrorType, SessionError
    from workflows.outcomes import TaskEnd, failed_end
    from workflows.pending import PendingTask
    from workflows.state import SessionState
    from workflows.validation import explained


class TaskExecution:
    """Runs one task as a child workflow and reports its end to the state.

    The child outlives anything that happens to this run of the session (ABANDON), is never started twice under its
    id (REJECT_DUPLICATE), and has no retry policy: retries belong to its activities.
    """

    def __init__(self, state: SessionState, task: PendingTask) -> None:
        self._state = state
        self._task = task
        self._workflow_id = task_workflow_id(state.session_id, task.task_id)
        self._child: workflow.ChildWorkflowHandle[Any, RawValue] | None = None
        self._cancelling: asyncio.Task[None] | None = None
        self._driver = asyncio.create_task(self._drive(state.start(task, workflow.now())))

    @property
    def ended(self) -> bool:
        """Whether the state knows how the task ended."""
        return self._driver.done()

    async def outcome(self) -> None:
        """Wait for the end; raises what went wrong in this module itself, never the task's own failure."""
        await self._driver

    def carry_out_cancel(self) -> None:
        """Cancel the child if the state says so and it has been started."""
        running = self._state.running
        if running and running.cancel_reason is not None and self._child is not None and self._cancelling is None:
            self._child.cancel(running.cancel_reason)
            self._cancelling = asyncio.create_task(self._terminate_after_grace())

    async def _drive(self, task_input: TaskInput) -> None:
        end = await self._run_child(task_input)
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
        task = self._task
        try:
            self._child = await workflow.start_child_workflow(
                task.kind,
                task_input,
                id=self._workflow_id,
                task_queue=task.task_queue,
                execution_timeout=timedelta(seconds=task.timeout),
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                static_summary=task.input_preview,
                result_type=RawValue,
            )
        except WorkflowAlreadyStartedError:
            return await self._watch()
        if self._state.running:
            self._state.running.run_id = self._child.first_execution_run_id
        self.carry_out_cancel()
        try:
            result = await self._child
        except ChildWorkflowError as error:
            return failed_end(error.cause)
        return _completed(result)

    async def _watch(self) -> TaskEnd:
        """Adopt a child that exists already: wait for it by an activity whose retries leave no events."""
        return await workflow.execute_activity(
            watch_child,
            ChildTask(workflow_id=self._workflow_id),
            start_to_close_timeout=timedelta(seconds=limits.WATCH_TIMEOUT_SECONDS),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=limits.WATCH_RETRY_SECONDS), backoff_coefficient=1.0
            ),
            summary=f"waits for {self._task.task_id}",
        )

    async def _terminate_after_grace(self) -> None:
        """A task asked to end may clean up; what has not ended after the grace is terminated."""
        try:
            await workflow.wait_condition(
                lambda: self.ended,
                timeout=timedelta(seconds=self._state.config.cancel_grace),
                timeout_summary=f"grace for {self._task.task_id}",
            )
        except TimeoutError:
            await workflow.execute_activity(
                terminate_child,
                ChildTask(workflow_id=self._workflow_id, reason="did not end within the session's cancel_grace"),
                start_to_close_timeout=timedelta(seconds=limits.CONTROL_TIMEOUT_SECONDS),
                summary=f"terminates {self._task.task_id}",
            )


def _completed(result: RawValue) -> TaskEnd:
    try:
        value = workflow.payload_converter().from_payload(result.payload)
    except Exception as error:  # noqa: BLE001 (any converter error means the same: not readable)
        message = f"output cannot be decoded: {error}"
        return TaskEnd(status="failed", error=ErrorInfo(type=ErrorType.INVALID_OUTPUT, message=message))
    return TaskEnd(status="completed", result=value)
