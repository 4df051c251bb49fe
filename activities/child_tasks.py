"""What a session asks of the server about a child workflow: wait for one it did not start, end one that hangs."""

import asyncio

from pydantic import BaseModel
from temporalio import activity
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError, RPCStatusCode

from workflows.contract import ErrorInfo
from workflows.wire.errors import ErrorType
from workflows.wire.limits import WATCH_TIMEOUT_SECONDS
from workflows.wire.outcomes import TaskEnd, failed_end

_WAIT_SHARE = 0.8  # of an attempt: leaves it time to report before its own timeout


class ChildTask(BaseModel):
    """A child workflow, and a reason where one is needed."""

    workflow_id: str
    reason: str = ""


@activity.defn
async def watch_child(child: ChildTask) -> TaskEnd:
    """Wait until a child workflow ends, and report how.

    Raises a retryable, benign ApplicationError (`StillRunning`) after most of an attempt, so that each attempt is
    short and a lost worker is noticed, and at once when its worker is stopped, so that another one goes on.
    """
    ended = asyncio.ensure_future(activity.client().get_workflow_handle(child.workflow_id).result())
    stopped = asyncio.ensure_future(activity.wait_for_worker_shutdown())
    try:
        await asyncio.wait(
            {ended, stopped}, timeout=WATCH_TIMEOUT_SECONDS * _WAIT_SHARE, return_when=asyncio.FIRST_COMPLETED
        )
        if not ended.done():
            message = f"{child.workflow_id} still runs"
            raise ApplicationError(message, type="StillRunning", category=ApplicationErrorCategory.BENIGN)
        return TaskEnd(status="completed", result=ended.result())
    except WorkflowFailureError as failure:
        return failed_end(failure.cause)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        message = f"{child.workflow_id} is gone from the server"
        return TaskEnd(status="failed", error=ErrorInfo(type=ErrorType.TASK_TERMINATED, message=message))
    finally:
        ended.cancel()
        stopped.cancel()


@activity.defn
async def terminate_child(child: ChildTask) -> None:
    """Terminate a child workflow; one that has ended meanwhile is left as it is."""
    try:
        await activity.client().get_workflow_handle(child.workflow_id).terminate(reason=child.reason)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
