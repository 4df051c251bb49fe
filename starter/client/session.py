"""One session, as a program sees it: every message to it, every answer, and how to wait for a task."""

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, overload

from pydantic import ValidationError
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from starter.client.calls import NoWorkerError, SessionCalls, UncleanEndError
from starter.client.files import Content, SessionFiles
from starter.client.schedules import (
    CATCH_UP_SECONDS,
    DEFAULT_OVERLAP,
    Overlap,
    ScheduleView,
    SessionSchedule,
    add_schedule,
    schedules_of,
)
from starter.client.streaming import task_events
from starter.client.task_workflow import TaskWorkflow
from workflows.contract import (
    CancelRequest,
    CloseRequest,
    Config,
    ContextPatch,
    ContextPolicy,
    ContextView,
    ErrorInfo,
    RespondRequest,
    Snapshot,
    SubmitResult,
    TaskEvent,
    TaskOutput,
    TaskRecord,
    TaskRequest,
    task_workflow_id,
)
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.fields import UNDER_WAY, CloseMode
from workflows.wire.outcomes import TaskEnd, failed_end
from workflows.wire.validation import checked_id, explained, parsed

FIRST_LOOK = 0.01
"""Seconds before the second look at a task's workflow, or at its record: a session starts a task some ten milliseconds
after it was submitted, and learns of its end a few milliseconds after the caller."""

LONGEST_LOOK = 2.0
"""Seconds between looks at most: fifty waiting callers then cost a session 25 queries a second."""


class Session:
    """One session, open or closed. Every method raises SessionError (SessionNotFound) where there is none."""

    def __init__(self, temporal: Client, session_id: str, queue: str | None = None) -> None:
        self.id = checked_id(session_id)
        self.temporal = temporal
        self._queue = queue
        self._calls = SessionCalls(temporal, self.id)
        self._files = SessionFiles(temporal, self.id)

    async def submit(
        self, task_input: Any, *, task_id: str | None = None, context: ContextPolicy | None = None, **options: Any
    ) -> str:
        """Submit a task and return its id, made up where none is given. `options`: further fields of TaskRequest.

        What became of it is its record: a refusal shows there too. An input over 64 KiB is stored where there is a
        store, and the task is given its reference. Raises SessionError: InvalidRequest for options that do not fit and
        for another session's files, SessionClosed, FilesUnavailable, FileTooLarge.
        """
        body = _submission(await self._files.fitting(task_input), task_id, {"context": context, **options})
        await self._calls.signal("submit", body)
        return str(body["task_id"])

    async def submitted(
        self, task_input: Any, *, task_id: str | None = None, context: ContextPolicy | None = None, **options: Any
    ) -> SubmitResult:
        """Submit a task and wait until the session has taken it; how it stands then.

        For who has to know at once: it costs an update, and needs a worker. Sent again under its id, it is the same
        task. Raises SessionError with the refusal, which leaves nothing under `rejected`, and NoWorkerError, after
        which the session may have it all the same.
        """
        body = _submission(await self._files.fitting(task_input), task_id, {"context": context, **options})
        return SubmitResult.model_validate(await self._calls.update_once("submit_task", body))

    async def result(self, task_id: str, wait: float | None = None) -> TaskRecord:
        """Wait for a task to end, `wait` seconds at most, and return its final record with its output.

        Holds no update, and asks the session nothing while the task runs: waits on its child workflow, then looks at
        the record. One that has not started is looked for in the session, with growing pauses. A worker that is away
        meanwhile is waited for. Raises SessionError (UnknownTask) and TimeoutError.

        Where the session was ended otherwise than by a close, the record is how the task's own workflow ended. Raises
        SessionError (SessionClosed) where that has not ended, or the task had not started.
        """
        async with asyncio.timeout(wait):
            workflow, seen = TaskWorkflow(self.temporal, self.id, task_id), None
            for pause in (FIRST_LOOK, 2 * FIRST_LOOK, 0.0):
                if await workflow.wait() != "unseen":
                    break
                await asyncio.sleep(pause)  # just submitted, more often than not
            while (record := await self._record(task_id)).status in UNDER_WAY:
                if record.status != seen:  # what a task waited in the list is no reason to wait after its end
                    seen, pause = record.status, FIRST_LOOK
                if record.status != "running" or await workflow.wait(record.run_id) != "unsure":
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_LOOK)
            return await self._with_output(record)

    async def ask(self, task_input: Any, *, wait: float | None = None, **options: Any) -> Any:
        """Submit a task, wait for it, `wait` seconds at most, and return its output.

        Raises SessionError with the task's error where it did not complete, and TimeoutError; the task goes on then.
        """
        record = await self.result(await self.submit(task_input, **options), wait)
        if record.status != "completed":
            error = record.error
            raise SessionError(
                error.type if error else ErrorType.TASK_FAILED, error.message if error else record.status
            )
        return record.output

    def stream(self, task_id: str, after: str | None = None) -> AsyncIterator[TaskEvent]:
        """What a task does, while it does it, until it has ended; from right behind the cursor `after` where given.

        Its text and its kind's own events come early only where its request or the session's Config has `stream`; else
        the text comes whole, at the end. The texts since the last `restarted`, joined, are the text of the output.
        Raises what `result` raises, and SessionError (InvalidRequest) for what is no cursor.
        """
        return task_events(self, task_id, after)

    async def put(self, content: Content, *, media_type: str | None = None, name: str | None = None) -> dict[str, Any]:
        """Store a file for this session and return the reference that stands for it in inputs, answers and values.

        `content`: bytes, a path, or an async iterator of bytes; a file of any size takes some MiB of memory. Name and
        media type are those of a path where they are not given. The same content again is the same file. Raises
        SessionError: FilesUnavailable, FileTooLarge, InvalidRequest for a name that is none; and OSError for a path.
        """
        return await self._files.put(content, media_type, name)

    @overload
    async def get(self, reference: Any) -> bytes: ...

    @overload
    async def get(self, reference: Any, *, to: str | os.PathLike[str]) -> None: ...

    async def get(self, reference: Any, *, to: str | os.PathLike[str] | None = None) -> bytes | None:
        """The content of a file of this session, or with `to` that content as the file of a path, once it is whole.

        Raises SessionError: FileNotFound, FilesUnavailable also for what is not what was stored, InvalidRequest for
        what is no reference and for a file of another session.
        """
        if to is None:
            return await self._files.content(reference)
        await self._files.save(reference, to)
        return None

    def pieces(self, reference: Any) -> AsyncIterator[bytes]:
        """The same, piece by piece; that it is whole is known with the end. Raises what `get` raises."""
        return self._files.pieces(reference)

    async def task(self, task_id: str) -> TaskRecord | None:
        """What the session knows of a task, or knew last; None if it never heard of it."""
        record: TaskRecord | None = await self._calls.query("task", TaskRecord | None, task_id)
        return record

    async def unserved_queue(self, task_id: str) -> str | None:
        """The task queue of a started task, if it is known that no worker polled it of late; else None."""
        try:
            child = await self.temporal.get_workflow_handle(task_workflow_id(self.id, task_id)).describe()
        except RPCError:
            return None
        request = DescribeTaskQueueRequest(
            namespace=self.temporal.namespace,
            task_queue=TaskQueue(name=child.task_queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
        try:
            found = await self.temporal.workflow_service.describe_task_queue(request)
        except RPCError:  # not every server can say, nor every caller may ask
            return None
        return None if found.pollers else child.task_queue

    async def snapshot(self) -> Snapshot:
        """The session at a glance.

        Of one that was ended otherwise than by a close (`status` says how) it is how it stood then; a task that ran
        then goes on without it.
        """
        try:
            snapshot: Snapshot = await self._calls.query("snapshot", Snapshot, last_words=False)
        except UncleanEndError as ended:
            last: Snapshot = await self._calls.query("snapshot", Snapshot)
            return last.model_copy(update={"status": ended.end})
        return snapshot

    async def context(self, version: int | None = None) -> ContextView:
        """Values, transcript and log, now or as of a version. Raises SessionError (UnknownVersion)."""
        view: ContextView = await self._calls.query("context", ContextView, version)
        return view

    async def forked(self) -> None:
        """Wait until the session has read the context that it begins with, if that is another one's.

        Raises SessionError with what it failed of, and NoWorkerError.
        """
        pause = FIRST_LOOK
        while (await self.context()).fork_of:
            if (await self.temporal.get_workflow_handle(self.id).describe()).close_time:
                await self.finished()
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_LOOK)

    async def cancel(self, task_id: str, reason: str | None = None) -> None:
        """Ask for the end of a waiting or running task; its record shows what became of it."""
        request = parsed(CancelRequest, {"task_id": task_id, "reason": reason})
        await self._calls.signal("cancel_task", request.model_dump())

    async def respond(self, task_id: str, value: Any, question_id: str | None = None) -> None:
        """Answer what a task asks; with `question_id` only that question. A refusal shows under `rejected`."""
        self._files.check(value)
        answer = parsed(RespondRequest, {"task_id": task_id, "question_id": question_id, "value": value})
        body = answer.model_dump(exclude_none=True, exclude={"value"}) | {"value": value}
        await self._calls.signal("respond", body)

    async def pause(self) -> None:
        """Start no further task until `resume`; the session still takes them."""
        await self._calls.signal("pause")

    async def resume(self) -> None:
        """Start tasks again."""
        await self._calls.signal("resume")

    async def patch_context(self, patch: ContextPatch | Mapping[str, Any], expected_version: int | None = None) -> int:
        """Change the context from outside and return the version that makes.

        Raises SessionError: ContextConflict at another version than expected, ContextTooLarge, InvalidRequest.
        """
        body = patch.model_dump() if isinstance(patch, ContextPatch) else patch
        self._files.check(body)
        answer = await self._calls.update("patch_context", {"patch": body, "expected_version": expected_version})
        return int(answer["version"])

    async def rollback(self, version: int) -> int:
        """Bring back values and transcript as of a version, and return the new version that makes.

        Raises SessionError (UnknownVersion).
        """
        return int((await self._calls.update("rollback_context", {"version": version}))["version"])

    async def configure(self, **settings: Any) -> Config:
        """Change settings, named as in Config, and return them all. Raises SessionError (InvalidRequest)."""
        return Config.model_validate(await self._calls.update("configure", settings))

    async def close(self, mode: CloseMode = "drain", reason: str | None = None) -> None:
        """Ask the session to end; `finished` waits for it. Raises SessionError (SessionClosed) if it has ended."""
        request = parsed(CloseRequest, {"mode": mode, "reason": reason})
        await self._calls.signal("close", request.model_dump(mode="json"))

    async def schedule(
        self,
        cron: str,
        task_input: Any,
        *,
        name: str | None = None,
        time_zone: str = "UTC",
        overlap: Overlap = DEFAULT_OVERLAP,
        catch_up: float = CATCH_UP_SECONDS,
        open: Config | Mapping[str, Any] | None = None,  # noqa: A002 (as the contract calls it)
        context: ContextPolicy | None = None,
        **options: Any,
    ) -> SessionSchedule:
        """Submit a task at every time of a cron expression, and return the schedule that does.

        `time_zone`: an IANA name; `catch_up`: seconds; `open`: the Config of the session to open where there is none
        then; `options`: further fields of TaskRequest. A schedule that is there already with the same body stays as it
        is; a `name` that is left out is made up from the body. Raises SessionError: InvalidRequest, also for a cron
        expression or a time zone that there is not; ScheduleConflict for a name with another body; SessionClosed.
        """
        body = _submission(task_input, "of-the-schedule", {"context": context, **options})
        del body["task_id"]
        config = open.model_dump(mode="json", exclude_none=True) if isinstance(open, Config) else open
        return await add_schedule(
            self.temporal,
            self.id,
            cron,
            body,
            name=name,
            terms={"time_zone": time_zone, "overlap": overlap, "catch_up": catch_up},
            open=None if config is None else dict(config),
            queue=self._queue,
        )

    async def schedules(self) -> list[ScheduleView]:
        """Its schedules by name, also those of a session that is closed or not there yet; a moment late."""
        return await schedules_of(self.temporal, self.id)

    def scheduled(self, name: str) -> SessionSchedule:
        """The schedule of that name, without looking whether there is one."""
        return SessionSchedule(self.temporal, self.id, checked_id(name))

    async def finished(self, wait: float | None = None) -> Snapshot:
        """Wait until the session has ended, `wait` seconds at most, and return its final snapshot.

        Raises TimeoutError, and SessionError where it failed or was ended from outside.
        """
        handle = self.temporal.get_workflow_handle(self.id, result_type=Snapshot)
        async with asyncio.timeout(wait):
            try:
                return await self._calls.patiently(lambda: self._calls.calling(handle.result()), LONGEST_LOOK)
            except WorkflowFailureError as failure:
                cause = failure.cause
                name = cause.type if isinstance(cause, ApplicationError) and cause.type else ErrorType.SESSION_CLOSED
                raise SessionError(name, f"session {self.id!r} ended without a final snapshot: {cause}") from None

    async def _record(self, task_id: str) -> TaskRecord:
        try:
            record: TaskRecord | None = await self._calls.patiently(
                lambda: self._calls.query("task", TaskRecord | None, task_id, last_words=False), LONGEST_LOOK
            )
        except UncleanEndError as ended:
            record = await self._last_record(task_id, ended)
        if record is None:
            raise SessionError(ErrorType.UNKNOWN_TASK, f"session {self.id!r} has no task {task_id!r}")
        return record

    async def _last_record(self, task_id: str, ended: UncleanEndError) -> TaskRecord | None:
        """What is known of a task of a session that will not tell of it any more."""
        try:
            record = await self.task(task_id)
        except NoWorkerError:
            raise ended from None
        if record is None or record.status not in UNDER_WAY:
            return record
        child = self.temporal.get_workflow_handle(task_workflow_id(self.id, task_id))
        try:
            found = await child.describe()
        except RPCError:
            raise SessionError(ended.type, f"{ended.message}; task {task_id!r} had not started") from None
        if found.status == WorkflowExecutionStatus.RUNNING:
            message = f"{ended.message}; task {task_id!r} still runs, as the workflow {child.id!r}"
            raise SessionError(ended.type, message)
        end, output = await _end_of(child)
        known: dict[str, Any] = {"finished_at": found.close_time, "error": end.error}
        if output is not None:
            known |= {"output": output.output, "usage": output.usage, "finish_reason": output.finish_reason}
        return record.model_copy(update={"status": end.status, "position": None, "waiting_for": None, **known})

    async def _with_output(self, record: TaskRecord) -> TaskRecord:
        """The record with the output that the session had no more room for; the child workflow has it."""
        if record.status != "completed" or not record.truncated or record.output is not None:
            return record
        child = self.temporal.get_workflow_handle(task_workflow_id(self.id, record.task_id), result_type=TaskOutput)
        with contextlib.suppress(WorkflowFailureError, RPCError):  # beyond the namespace's retention
            output = await self._calls.patiently(child.result, LONGEST_LOOK)
            return record.model_copy(update={"output": output.output, "finish_reason": output.finish_reason})
        return record


def _submission(task_input: Any, task_id: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """The TaskRequest as it is sent, with an id where none is given. Raises SessionError (InvalidRequest)."""
    task_id = task_id or f"task-{uuid.uuid4().hex[:16]}"
    request = parsed(TaskRequest, {"task_id": task_id, "input": task_input, **options})
    return request.model_dump(mode="json", exclude_none=True, exclude={"input"}) | {"input": request.input}


async def _end_of(child: WorkflowHandle[Any, Any]) -> tuple[TaskEnd, TaskOutput | None]:
    """How a task's workflow ended, which has ended, and what it returned."""
    try:
        output = TaskOutput.model_validate(await child.result())
    except WorkflowFailureError as failure:
        return failed_end(failure.cause), None
    except ValidationError as error:
        problem = ErrorInfo(type=ErrorType.INVALID_OUTPUT, message=explained(error))
        return TaskEnd(status="failed", error=problem), None
    return TaskEnd(status="completed"), output
