"""Signals, queries and updates of one session, with the server's errors turned into named ones."""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from temporalio.api.enums.v1 import PendingWorkflowTaskState
from temporalio.api.history.v1 import WorkflowTaskFailedEventAttributes
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import QueryRejectCondition
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from starter.workflow_tasks import failed_workflow_task
from workflows.wire.encoding import clip
from workflows.wire.errors import NOT_READY, ErrorType, KeyMissingError, SessionError, refusal_in
from workflows.wire.fields import UncleanEnd
from workflows.wire.limits import ERROR_MESSAGE_BYTES
from workflows.wire.sealing import message_of
from workflows.wire.validation import sendable

_Result = TypeVar("_Result")

UPDATE_SECONDS, UPDATE_PAUSE = 15.0, 0.5
"""An update that races a hand-over fails at the caller; the next run takes it within a second or two. A worker that is
away for longer counts as none."""

FULL_RUN_SECONDS, FULL_RUN_PAUSE = 10.0, 0.5
"""The server takes 10,000 signals a run and refuses more; with a worker the next run begins within seconds."""

# As the server says it. A run that is about to continue as new takes no more signals until it has.
_FULL_RUN, _CLOSING = "limit for signal events", "workflow is closing"

QUERY_TIMEOUT = timedelta(seconds=10)
"""One query: a worker that is there answers in milliseconds, one that resumes an evicted session within a second, also
where that was in the cache of a worker that died (four seconds later: `STICKY_SECONDS` of the worker)."""

QUERY_SECONDS = 15.0
"""Until then a query is repeated that a worker had taken: the server gives one that has died ten seconds."""

DESCRIBE_TIMEOUT = timedelta(seconds=5)
"""What the server itself knows: normally milliseconds."""

QUERY_ATTEMPTS = 10
"""A query is refused at most once by each worker that starts; a crash may start several in a row."""

_CUT_OFF = "context canceled"  # how the server ends a query that it gave to a worker which died

CUT_OFF_PAUSE = 0.1
"""Seconds until the server has noticed of such a worker that it is to be given no other query."""

# How a query ends that no worker answers: the server says so, or it or the SDK gives up.
_NO_ANSWER = {RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}
TRANSIENT = {
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.UNKNOWN,
    RPCStatusCode.INTERNAL,
    RPCStatusCode.RESOURCE_EXHAUSTED,
}
"""What a caller who waits sits out: a worker or a server that restarts cuts calls off in all these ways."""

UNANSWERED = {NOT_READY, "AcceptedUpdateCompletedWorkflow", "UnprocessedUpdate"}
"""The failures of an update that nobody refused: its run was over before it took it, or before it answered."""


UNCLEAN_ENDS: dict[WorkflowExecutionStatus, UncleanEnd] = {
    WorkflowExecutionStatus.FAILED: "failed",
    WorkflowExecutionStatus.CANCELED: "cancelled",
    WorkflowExecutionStatus.TERMINATED: "terminated",
    WorkflowExecutionStatus.TIMED_OUT: "timed_out",
}
"""How a session may end otherwise than by a close."""

_IN_WORDS: dict[UncleanEnd | None, str] = {
    "failed": "has failed",
    "cancelled": "was cancelled",
    "terminated": "was terminated",
    "timed_out": "has timed out",
    None: "was closed",
}


class UncleanEndError(SessionError):
    """SessionClosed, of a session that has ended otherwise than by a close. `end`: how."""

    def __init__(self, session_id: str, end: UncleanEnd, why: str) -> None:
        super().__init__(ErrorType.SESSION_CLOSED, f"session {session_id!r} {_IN_WORDS[end]}{why}")
        self.end = end


class NoWorkerError(Exception):
    """The server answers, but no worker does; the message says how to start one."""


class WorkerFailsError(NoWorkerError):
    """A worker is there, but its code fails over this session; the message says how.

    The session loses nothing and goes on with code that does not, as one without a worker does with a worker.
    """


class _TakenError(NoWorkerError):
    """A worker had taken the call, or the workflow task before it, and has died or is slow: to be asked again."""


class _HandedOver(Exception):  # noqa: N818 (a state, not a fault)
    """A query or an update reached a run that was over, or continued as new, before it answered."""


class SessionCalls:
    """Every method raises SessionError: SessionNotFound, SessionClosed where no session is to be had.

    InvalidRequest and InputTooLarge, before anything is sent, for what is no JSON or more than any session reads.
    """

    def __init__(self, temporal: Client, session_id: str) -> None:
        self._id = session_id
        self._temporal = temporal
        self._handle = temporal.get_workflow_handle(session_id)

    async def signal(self, name: str, *body: Mapping[str, Any]) -> None:
        """Send a signal; the server has it when this returns.

        A run that has taken all the signals it may, or is closing, is waited for: its session is about to continue as
        new. Raises SessionError (QueueFull) where it does not, say because no worker runs.
        """
        args = [sendable(argument) for argument in body]
        for _ in range(int(FULL_RUN_SECONDS / FULL_RUN_PAUSE)):
            try:
                return await self.calling(self._handle.signal(name, args=args))
            except RPCError as error:
                if _FULL_RUN not in str(error) and _CLOSING not in str(error):
                    raise
            await asyncio.sleep(FULL_RUN_PAUSE)
        raise SessionError(ErrorType.QUEUE_FULL, f"session {self._id!r} takes no more messages until a worker runs it")

    async def update(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send an update until it is answered; its `request_id` makes a repetition take effect once.

        Raises NoWorkerError, and WorkerFailsError where there is one.
        """
        return await self.update_once(name, {**body, "request_id": uuid.uuid4().hex})

    async def update_once(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The same for an update that something else in `body` makes take effect once, as a task's id does."""
        request = sendable(body)
        try:
            async with asyncio.timeout(UPDATE_SECONDS):
                answer: dict[str, Any] = await self.patiently(
                    lambda: self.calling(self._handle.execute_update(name, request)), UPDATE_PAUSE
                )
                return answer
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):  # the SDK's name for being cancelled by ours
            raise await self._silence() from None

    async def query(self, name: str, answer: Any, *args: Any, last_words: bool = True) -> Any:
        """Ask the session; `answer` is the type of what it says.

        One that has ended otherwise than by a close still says how it stood then: with `last_words` false it raises
        UncleanEndError instead, for which the server needs no worker. Raises NoWorkerError, and WorkerFailsError where
        there is one.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + QUERY_SECONDS
        sent = [sendable(argument) for argument in args]
        condition = None if last_words else QueryRejectCondition.NOT_COMPLETED_CLEANLY
        for _ in range(QUERY_ATTEMPTS):
            query = self._handle.query(
                name, args=sent, result_type=answer, reject_condition=condition, rpc_timeout=QUERY_TIMEOUT
            )
            try:
                return await self.calling(query)
            except _HandedOver:
                condition = None  # it goes on; where its runs are short, the next one may be over as soon
            except _TakenError:
                if loop.time() > ends:
                    raise
                await asyncio.sleep(CUT_OFF_PAUSE)
            except SessionError as error:
                if error.type != NOT_READY:
                    raise
        raise self._no_worker()

    async def patiently(self, call: Callable[[], Awaitable[_Result]], pause: float) -> _Result:
        """The answer of `call`, however long worker or server are away; `pause`: seconds until it is repeated."""
        while True:
            try:
                return await call()
            except (NoWorkerError, _HandedOver):
                pass
            except RPCError as error:
                # The server refuses a long poll for its "branch tokens" now and then; sent again it goes through.
                if error.status not in TRANSIENT and "branch tokens" not in str(error):
                    raise
            await asyncio.sleep(pause)

    async def calling(self, call: Awaitable[_Result]) -> _Result:
        """Await a call to the server and turn its errors into ours."""
        try:
            return await call
        except WorkflowUpdateFailedError as error:
            cause = error.cause
            if isinstance(cause, ApplicationError) and cause.type not in UNANSWERED:
                raise SessionError(cause.type or ErrorType.INVALID_REQUEST, cause.message) from None
            raise _HandedOver(str(cause)) from None
        except WorkflowQueryRejectedError as error:
            if error.status not in UNCLEAN_ENDS:  # a run that continued as new in that moment
                raise _HandedOver(str(error)) from None
            raise await self._ended(error.status) from None
        except WorkflowQueryFailedError as error:
            refusal = refusal_in(str(error))
            if refusal is None or refusal.type == ErrorType.KEY_MISSING:  # the worker's key, not the caller's
                raise self._worker_fails(str(error)) from None
            raise refusal from None
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                raise await self.why_closed() from None
            if error.status in _NO_ANSWER:
                raise (self._taken() if _CUT_OFF in str(error) else await self._silence()) from None
            raise

    async def _silence(self) -> NoWorkerError:
        """Why nobody has answered, as far as the server can tell."""
        with contextlib.suppress(RPCError):
            found = await self._handle.describe(rpc_timeout=DESCRIBE_TIMEOUT)
            task = found.raw_description.pending_workflow_task
            failed = await failed_workflow_task(self._temporal, self._id) if task.attempt > 1 else None
            if failed is not None:
                return self._worker_fails(await self._in_words(failed))
            if task.state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED:
                return self._taken()
        return self._no_worker()

    async def _in_words(self, failed: WorkflowTaskFailedEventAttributes) -> str:
        """Why a workflow task failed, like `UnreadableState: state: tone: Field required`."""
        failure, converter = failed.failure, self._temporal.data_converter
        if failure.HasField("encoded_attributes") and converter.payload_codec:
            with contextlib.suppress(KeyMissingError):
                await converter.payload_codec.decode_failure(failure)
        name, message = failure.application_failure_info.type, message_of(failure, converter.payload_converter)
        return f"{name}: {message}" if name and not message.startswith(f"{name}: ") else message

    def _taken(self) -> NoWorkerError:
        return _TakenError(f"no worker answers for session {self._id!r}; the one that was to has died, or is slow")

    def _worker_fails(self, why: str) -> WorkerFailsError:
        why = clip(why, ERROR_MESSAGE_BYTES)
        return WorkerFailsError(f"a worker runs, but its code fails over session {self._id!r}, which waits: {why}")

    def _no_worker(self) -> NoWorkerError:
        return NoWorkerError(f"no worker answers for session {self._id!r}; `python worker.py` starts one")

    async def why_closed(self) -> SessionError:
        """SessionClosed, naming how the session ended, or SessionNotFound."""
        try:
            return await self._ended((await self._handle.describe()).status)
        except RPCError:
            return SessionError(ErrorType.SESSION_NOT_FOUND, f"there is no session {self._id!r}")

    async def _ended(self, status: WorkflowExecutionStatus | None) -> SessionError:
        end = UNCLEAN_ENDS.get(status) if status else None
        if end is None:
            return SessionError(ErrorType.SESSION_CLOSED, f"session {self._id!r} {_IN_WORDS[end]}")
        try:
            await self._handle.result(rpc_timeout=QUERY_TIMEOUT)
        except WorkflowFailureError as failure:
            return UncleanEndError(self._id, end, f": {failure.cause}")
        except RPCError:
            pass
        return UncleanEndError(self._id, end, "")
