"""What a session asks of the server about a child: whether it is its own, how it ends, and to end one that hangs."""

import asyncio
from typing import Any

from pydantic import BaseModel
from temporalio import activity
from temporalio.api.history.v1 import WorkflowExecutionStartedEventAttributes
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError, RPCStatusCode

from workflows.contract import ErrorInfo
from workflows.wire.encoding import canonical, short_hash
from workflows.wire.errors import ErrorType, KeyMissingError
from workflows.wire.limits import WATCH_TIMEOUT_SECONDS
from workflows.wire.outcomes import TaskEnd, failed_end

_HASH_CHARACTERS = 32
"""192 bits: whoever chooses inputs finds no second one."""

_WAIT_SHARE = 0.8  # of an attempt: leaves it time to report before its own timeout


class Origin(BaseModel):
    """What a child has to be to be a session's own: its start says all of it, and nobody else can have it so.

    `first_run`: of the session in its present life; `input`: a hash of the task's, as `input_hash` makes it.
    """

    session_id: str
    first_run: str
    kind: str
    task_id: str
    input: str


class ChildTask(BaseModel):
    """A child workflow; its first run where that is known, a reason where one is needed.

    `origin`: the child is only to be told from others that have its id.
    """

    workflow_id: str
    reason: str = ""
    run_id: str | None = None
    origin: Origin | None = None


def input_hash(task_input: Any) -> str:
    """What stands for a task's input where it has to be recognised."""
    return short_hash(canonical(task_input), _HASH_CHARACTERS)


@activity.defn
async def watch_child(child: ChildTask) -> TaskEnd:
    """Wait until a child workflow ends, and report how; with an `origin` tell at once which run is the session's own.

    One that is not ends as `ChildRefused`. Raises a retryable, benign ApplicationError (`StillRunning`) after most of
    an attempt, so that each attempt is short and a lost worker is noticed, and at once when its worker is stopped, so
    that another one goes on.
    """
    if child.origin:
        return await _recognised(child.workflow_id, child.origin)
    handle = activity.client().get_workflow_handle(child.workflow_id, run_id=child.run_id)
    ended = asyncio.ensure_future(handle.result())
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
        return _gone(child.workflow_id)
    finally:
        ended.cancel()
        stopped.cancel()


@activity.defn
async def terminate_child(child: ChildTask) -> None:
    """Terminate a child workflow; one that has ended meanwhile is left as it is, and who has its id since then."""
    handle = activity.client().get_workflow_handle(child.workflow_id, first_execution_run_id=child.run_id)
    try:
        await handle.terminate(reason=child.reason)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise


async def _recognised(workflow_id: str, origin: Origin) -> TaskEnd:
    """The first run of the workflow, as `running`, if the session started it."""
    try:
        newest = await _start(workflow_id)
        child = await _start(workflow_id, newest.first_execution_run_id)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return _gone(workflow_id)
    parent = child.parent_workflow_execution
    if (
        (parent.workflow_id, child.workflow_type.name) == (origin.session_id, origin.kind)
        and await _given(child) == (origin.session_id, origin.task_id, origin.input)
        and await _is_a_run_of(origin, parent.run_id)
    ):
        return TaskEnd(status="running", run_id=newest.first_execution_run_id)
    message = f"the workflow id {workflow_id} is taken by a workflow that this session did not start for this task"
    return TaskEnd(status="failed", error=ErrorInfo(type=ErrorType.CHILD_REFUSED, message=message))


async def _start(workflow_id: str, run_id: str | None = None) -> WorkflowExecutionStartedEventAttributes:
    """How a workflow was started. Raises RPCError (NOT_FOUND)."""
    handle = activity.client().get_workflow_handle(workflow_id, run_id=run_id)
    async for event in handle.fetch_history_events(page_size=1):
        return event.workflow_execution_started_event_attributes
    raise ApplicationError(f"the history of {workflow_id} has no beginning", type="NoHistory")


async def _given(child: WorkflowExecutionStartedEventAttributes) -> tuple[Any, Any, str] | None:
    """Session, task and input in the argument of a task's workflow, if it has such."""
    try:
        arguments = await activity.client().data_converter.decode(child.input.payloads)
    except KeyMissingError:  # with the key, another attempt reads it
        raise
    except Exception:  # noqa: BLE001 (what we cannot read, no session of ours has written)
        return None
    given = arguments[0] if len(arguments) == 1 else None
    if not isinstance(given, dict) or "input" not in given:
        return None
    return given.get("session_id"), given.get("task_id"), input_hash(given["input"])


async def _is_a_run_of(origin: Origin, run_id: str) -> bool:
    """Whether that run of the session's id is one of its present life, and not of one that was deleted."""
    try:
        return (await _start(origin.session_id, run_id)).first_execution_run_id == origin.first_run
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return False


def _gone(workflow_id: str) -> TaskEnd:
    message = f"{workflow_id} is gone from the server"
    return TaskEnd(status="failed", error=ErrorInfo(type=ErrorType.TASK_TERMINATED, message=message))
