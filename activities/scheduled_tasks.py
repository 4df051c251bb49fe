"""What a schedule's workflow does: submit the task, and take the schedule away where no session is there for it."""

import asyncio
from typing import Any

from pydantic import BaseModel
from temporalio import activity
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from workflows.contract import SESSION_TYPE, SubmitResult
from workflows.wire.errors import NOT_READY, ErrorType
from workflows.wire.fairness import fairness_key
from workflows.wire.limits import SCHEDULED_SUBMIT_SECONDS

_WAIT_SHARE = 0.8  # of an attempt: leaves it time to report before its own timeout


class Submission(BaseModel):
    """A task and its session; `request`: a TaskRequest, `open`: the Config of a session that is not there yet."""

    session_id: str
    request: dict[str, Any]
    open: dict[str, Any] | None = None


@activity.defn
async def submit_scheduled(submission: Submission) -> SubmitResult:
    """Submit a task and say how it stands. Done again, it is the same task: its id and its body are the same.

    Raises a non-retryable ApplicationError under the name of a refusal: SessionClosed and SessionNotFound, where no
    session will ever take it, QueueFull, Busy, TaskIdConflict, InvalidRequest, InputTooLarge. A session that does not
    answer, or hands over, is asked again by the next attempt.
    """
    try:
        async with asyncio.timeout(SCHEDULED_SUBMIT_SECONDS * _WAIT_SHARE):
            try:
                return await _submit(submission)
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
            await _open(submission)
            return await _submit(submission)
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):  # the SDK's name for being cancelled by ours
        raise ApplicationError(f"session {submission.session_id!r} does not answer", type=NOT_READY) from None


@activity.defn
async def remove_schedule(schedule_id: str) -> None:
    """Delete a schedule; one that is gone already is no error."""
    try:
        await activity.client().get_schedule_handle(schedule_id).delete()
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise


async def _submit(submission: Submission) -> SubmitResult:
    try:
        # The server knows an update by its id as long as the session's run lasts: the attempts of this activity wait
        # for one and the same, and do not fill the ten places that a run has for updates.
        answer: SubmitResult = await _session(submission).execute_update(
            "submit_task", submission.request, id=str(activity.info().workflow_run_id), result_type=SubmitResult
        )
    except WorkflowUpdateFailedError as failed:
        cause = failed.cause
        name = cause.type if isinstance(cause, ApplicationError) else None
        message = cause.message if isinstance(cause, ApplicationError) else str(cause)
        raise ApplicationError(message, type=name or NOT_READY, non_retryable=name in {*ErrorType}) from None
    return answer


async def _open(submission: Submission) -> None:
    """Open the session that was not found, if it may be. Raises ApplicationError (SessionClosed, SessionNotFound)."""
    try:
        found = await _session(submission).describe()
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
    else:
        if found.close_time is None:
            return  # continued as new, or opened, in that moment
        message = f"session {submission.session_id!r} is over"
        raise ApplicationError(message, type=ErrorType.SESSION_CLOSED, non_retryable=True)
    if submission.open is None:
        message = f"there is no session {submission.session_id!r}"
        raise ApplicationError(message, type=ErrorType.SESSION_NOT_FOUND, non_retryable=True)
    try:
        await activity.client().start_workflow(
            SESSION_TYPE,
            {"config": submission.open},
            id=submission.session_id,
            task_queue=activity.info().task_queue,
            priority=Priority(fairness_key=fairness_key(submission.open.get("owner"))),
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
    except WorkflowAlreadyStartedError:  # and closed, in that moment
        message = f"session {submission.session_id!r} is over"
        raise ApplicationError(message, type=ErrorType.SESSION_CLOSED, non_retryable=True) from None


def _session(submission: Submission) -> WorkflowHandle[Any, Any]:
    return activity.client().get_workflow_handle(submission.session_id)
