"""What a server will not do for a workflow, told to the session it is about.

A workflow task whose commands the server refuses is given to a worker again and again, with the same commands: a child
on a task queue of the server's own, a result over the size of a payload, more activities than one workflow may have.
The core says only that the report failed and drops the workflow from its cache; the reason is in the history. This
worker reads it there and tells the session by a signal, `task_refused`: it ends the task by that name and runs the next
one. The signal is in the session's history before the next attempt, so that a replay decides the same; a task of which
there is nothing to tell costs no event.

A worker that dies in between leaves it to the one that has the next attempt.
"""

import asyncio
import logging
from dataclasses import dataclass

from temporalio import workflow
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.history.v1 import WorkflowTaskFailedEventAttributes
from temporalio.bridge.proto.workflow_activation import RemoveFromCache, WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import Client
from temporalio.service import RPCError

from starter.serving.activations import Activate
from starter.workflow_tasks import failed_workflow_task
from workflows.contract import NOTIFICATION_TYPE, SESSION_TYPE, ErrorInfo, RefusalNotice
from workflows.wire import limits
from workflows.wire.encoding import clip
from workflows.wire.errors import ErrorType

_PREFIX = "WORKFLOW_TASK_FAILED_CAUSE_"
_START = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_BAD_START_CHILD_EXECUTION_ATTRIBUTES
_SIZE = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_PAYLOADS_TOO_LARGE

logger = logging.getLogger("sessions")


@dataclass(frozen=True)
class _Told:
    """What a workflow's last answer was about: the child it started, if any; whether it was its result."""

    child: str | None = None
    result: bool = False


class Refusals:
    """Watches the workflows of one worker, whose `client` it uses."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._telling: set[asyncio.Task[None]] = set()

    def watched(self, info: workflow.Info, activate: Activate) -> Activate:
        """`activate` of a session or of a session's task; called in the worker's event loop, what it returns is not."""
        session_id, _, task_id = info.workflow_id.partition("/")
        if info.workflow_type == SESSION_TYPE:
            session_id, task_id = info.workflow_id, ""
        elif info.parent is None or not task_id or info.parent.workflow_id != session_id or _tells(info.workflow_type):
            return activate
        loop, told = asyncio.get_running_loop(), _Told()

        def looked_on(activation: WorkflowActivation) -> WorkflowActivationCompletion:
            nonlocal told
            for job in activation.jobs:
                if job.remove_from_cache.reason == RemoveFromCache.EvictionReason.FATAL:
                    loop.call_soon_threadsafe(self._begin, info, session_id, task_id, told)
            completion = activate(activation)
            told = _told(completion) or told
            return completion

        return looked_on

    def _begin(self, info: workflow.Info, session_id: str, task_id: str, told: _Told) -> None:
        telling = asyncio.create_task(self._tell(info, session_id, task_id, told))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _tell(self, info: workflow.Info, session_id: str, task_id: str, told: _Told) -> None:
        try:
            failed = await failed_workflow_task(self._client, info.workflow_id, info.run_id)
            notice = None if failed is None else _notice(info, task_id, told, failed)
            if notice is None:
                return
            handle = self._client.get_workflow_handle(session_id)
            await handle.signal("task_refused", notice.model_dump(exclude_none=True))
        except (RPCError, RuntimeError) as error:  # the next attempt brings it again; a client may be closed by then
            logger.warning("cannot tell session %s of a refusal: %s", session_id, error)
            return
        extra = {"session_id": session_id, "task_id": notice.task_id, "error": notice.error.type}
        logger.warning("the server refuses what a task needs: %s", notice.error.type, extra=extra)


def _tells(workflow_type: str) -> bool:
    """Whether it is no task, but delivers notifications."""
    return workflow_type == NOTIFICATION_TYPE


def _told(completion: WorkflowActivationCompletion) -> _Told | None:
    """What the server is about to be told; null for an answer without commands, as to a query."""
    commands = completion.successful.commands
    children = [c.start_child_workflow_execution for c in commands if c.HasField("start_child_workflow_execution")]
    started = [child.workflow_id for child in children if not _tells(child.workflow_type)]
    result = any(command.HasField("complete_workflow_execution") for command in commands)
    return _Told(started[0] if started else None, result) if commands else None


def _notice(
    info: workflow.Info, task_id: str, told: _Told, failed: WorkflowTaskFailedEventAttributes
) -> RefusalNotice | None:
    """What a session is told of it; null for failures that another attempt, or other code, mends."""
    message = clip(failed.failure.message, limits.ERROR_MESSAGE_BYTES)
    if info.workflow_type == SESSION_TYPE:
        if failed.cause != _START or told.child is None:
            return None
        task_id = told.child.removeprefix(f"{info.workflow_id}/")
        return RefusalNotice(task_id=task_id, error=ErrorInfo(type=ErrorType.CHILD_REFUSED, message=message))
    name = _refusal(failed.cause)
    if name is None:
        return None
    if failed.cause == _SIZE and told.result:
        name, message = ErrorType.OUTPUT_TOO_LARGE, f"the result is over the size of a payload: {message}"
    return RefusalNotice(
        task_id=task_id, run_id=info.first_execution_run_id, error=ErrorInfo(type=name, message=message)
    )


def _refusal(cause: int) -> str | None:
    """The server's name of a refusal that no attempt will change, like `PendingActivitiesLimitExceeded`."""
    if cause not in WorkflowTaskFailedCause.values():
        return None
    name = WorkflowTaskFailedCause.Name(cause).removeprefix(_PREFIX)  # type: ignore[arg-type]
    if name in {"BAD_BINARY", "BAD_UPDATE_WORKFLOW_EXECUTION_MESSAGE"}:
        return None
    lasting = name.startswith(("BAD_", "PENDING_")) or name in {"PAYLOADS_TOO_LARGE", "REQUEST_TOO_LARGE"}
    return "".join(word.capitalize() for word in name.split("_")) if lasting else None
