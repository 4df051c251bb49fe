"""How a child workflow ended, read from what Temporal reports. Shared by those who wait for one: run and activity."""

from typing import Any

from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    TerminatedError,
    TimeoutError,  # noqa: A004 (Temporal's word)
)

from workflows.wire.errors import ErrorType
from workflows.wire.fields import Carried, TaskStatus
from workflows.wire.tasks import ErrorInfo


class TaskEnd(Carried):
    """The end of a child: its raw result where it `completed`, else the error; `running`, with its run, is none yet."""

    status: TaskStatus
    result: Any = None
    error: ErrorInfo | None = None
    run_id: str | None = None


def failed_end(failure: BaseException | None) -> TaskEnd:
    """The end that the cause of a child's failure stands for.

    A timeout, a cancellation or a termination of the child itself is told apart from one of an activity inside it:
    those are the task's own failures and keep their own type where they have one.
    """
    if isinstance(failure, TimeoutError):
        return _end("timed_out", ErrorType.TASK_TIMED_OUT, "the task did not end within its timeout")
    if isinstance(failure, TerminatedError):
        return _end("failed", ErrorType.TASK_TERMINATED, failure.message)
    if isinstance(failure, CancelledError):
        return _end("cancelled", ErrorType.TASK_CANCELLED, failure.message)
    outer = failure
    while isinstance(failure, ActivityError | ChildWorkflowError) and failure.cause is not None:
        outer, failure = failure, failure.cause
    if isinstance(failure, ApplicationError):
        # A task may say itself that its time is over, say because nobody answered what it asked.
        status: TaskStatus = "timed_out" if failure.type == ErrorType.TASK_TIMED_OUT else "failed"
        return _end(status, failure.type or ErrorType.TASK_FAILED, failure.message)
    message = "the task failed" if failure is None else str(failure)
    if outer is not failure and outer is not None:
        message = f"{outer}: {message}"
    return _end("failed", ErrorType.TASK_FAILED, message)


def _end(status: TaskStatus, error_type: str, message: str) -> TaskEnd:
    return TaskEnd(status=status, error=ErrorInfo(type=error_type, message=message))
