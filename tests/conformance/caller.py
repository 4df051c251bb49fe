"""One who calls sessions in the contract's words: workflow ids, message names and JSON, nothing else."""

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import (
    Client,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

Json = dict[str, Any]

SLOWNESS = float(os.environ.get("SESSIONS_TEST_SLOWNESS") or 1)
"""How much longer than on an idle machine everything may take: the one setting for loaded and slow ones."""

WAIT = 60.0 * SLOWNESS
"""Seconds any single wait may take."""
_FIRST_LOOK, _LONGEST_LOOK = 0.02, 0.1
"""Seconds between two looks: more each time."""

OPEN = ("pending", "running")
"""The statuses of a task that has not ended."""


class Session:
    """One session, by its messages."""

    def __init__(self, handle: WorkflowHandle[Any, Any], client: Client, kinds_queue: str) -> None:
        self.id = handle.id
        self.handle = handle
        self._client = client
        self._kinds_queue = kinds_queue

    async def signal(self, name: str, *args: Any) -> None:
        """Send a signal."""
        await self.handle.signal(name, args=args)

    async def update(self, name: str, *args: Any) -> Any:
        """Send an update and wait for its answer."""
        return await self.handle.execute_update(name, args=args)

    async def query(self, name: str, *args: Any) -> Any:
        """Ask."""
        return await self.handle.query(name, args=args)

    def request(self, kind: str, task_input: Any = None, **options: Any) -> Json:
        """A TaskRequest for a kind of this suite."""
        task_id = options.pop("task_id", None) or f"task-{uuid.uuid4().hex[:8]}"
        return {"task_id": task_id, "input": task_input, "kind": kind, "task_queue": self._kinds_queue, **options}

    async def submit(self, kind: str, task_input: Any = None, **options: Any) -> str:
        """Submit a task by signal; its id."""
        request = self.request(kind, task_input, **options)
        await self.signal("submit", request)
        return str(request["task_id"])

    async def run(self, kind: str, task_input: Any = None, **options: Any) -> Json:
        """Submit a task and wait for its end; its record."""
        return await self.ended(await self.submit(kind, task_input, **options))

    async def begun(self, kind: str, task_input: Any = None, **options: Any) -> str:
        """Submit a task and wait until it runs; its id."""
        task_id = await self.submit(kind, task_input, **options)
        await until(lambda: self.task(task_id), lambda record: bool(record and record["run_id"]))
        return task_id

    async def task(self, task_id: str) -> Any:
        """The record of a task."""
        return await self.query("task", task_id)

    async def ended(self, task_id: str) -> Json:
        """The record of a task once it has ended."""
        record = await until(lambda: self.task(task_id), lambda r: r is not None and r["status"] not in OPEN)
        return dict(record)

    async def snapshot(self) -> Json:
        """The session at a glance."""
        return dict(await self.query("snapshot"))

    async def snapshot_when(self, condition: Callable[[Json], bool]) -> Json:
        """The first snapshot for which the condition holds."""
        return dict(await until(self.snapshot, condition))

    async def context(self, *version: int) -> Json:
        """The context, now or as of a version."""
        return dict(await self.query("context", *version))

    async def values(self) -> Json:
        """The context values, now."""
        return dict((await self.context())["values"])

    async def refusals(self) -> list[tuple[str, str]]:
        """What was refused and as what, newest last."""
        return [(entry["message"], entry["error"]["type"]) for entry in (await self.snapshot())["rejected"]]

    def child(self, task_id: str) -> WorkflowHandle[Any, Any]:
        """The workflow that a task is."""
        return self._client.get_workflow_handle(f"{self.id}/{task_id}")

    def run_of(self, run_id: str) -> WorkflowHandle[Any, Any]:
        """One run of the session."""
        return self._client.get_workflow_handle(self.id, run_id=run_id)

    async def go(self, task_id: str) -> None:
        """Let a `Gate` end."""
        await self.child(task_id).signal("go")

    async def result(self) -> Json:
        """The result of the session, once it has ended."""
        async with asyncio.timeout(WAIT):
            return dict(await self.handle.result())


class Caller:
    """Opens sessions on the implementation under test."""

    def __init__(self, client: Client, queue: str, kinds_queue: str) -> None:
        self.client = client
        self.kinds_queue = kinds_queue
        self.sessions_queue = queue

    async def start(self, *start: Any, session_id: str | None = None) -> Session:
        """Start a session with these arguments, whatever they are."""
        handle = await self.client.start_workflow(
            "Session",
            args=start,
            id=session_id or f"conformance-{uuid.uuid4().hex[:12]}",
            task_queue=self.sessions_queue,
        )
        return Session(handle, self.client, self.kinds_queue)

    async def open(self, **config: Any) -> Session:
        """Start a session with these settings."""
        return await self.start({"config": config})


async def until(look: Callable[[], Awaitable[Any]], condition: Callable[[Any], bool]) -> Any:
    """What `look` finds once the condition holds."""
    pause = _FIRST_LOOK
    async with asyncio.timeout(WAIT):
        while True:
            try:
                if condition(found := await look()):
                    return found
            except RPCError as error:
                # The server answers no query between a workflow task that failed and the next; it may come to pass.
                if error.status != RPCStatusCode.FAILED_PRECONDITION:
                    raise
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_LOOK)


async def refused(update: Awaitable[Any]) -> str:
    """The name under which an update is refused; its error is one that no retry would help."""
    with pytest.raises(WorkflowUpdateFailedError) as refusal:
        await update
    cause = refusal.value.cause
    assert isinstance(cause, ApplicationError)
    assert cause.non_retryable
    return str(cause.type)


async def query_refused(query: Awaitable[Any]) -> str:
    """The name that a query's error message begins with."""
    with pytest.raises(WorkflowQueryFailedError) as refusal:
        await query
    name, colon, _ = str(refusal.value).partition(": ")
    assert colon
    return name


async def failed(session: Session) -> str:
    """The name under which a session's run fails."""
    with pytest.raises(WorkflowFailureError) as failure:
        await session.result()
    cause = failure.value.cause
    assert isinstance(cause, ApplicationError)
    return str(cause.type)


def outcome(record: Json) -> tuple[str, str | None]:
    """How a task ended: its status and the name of its error."""
    return record["status"], record["error"] and record["error"]["type"]


def in_seconds(seconds: float) -> str:
    """The moment that many seconds from now, as the contract writes it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """A time of the contract, which is in UTC and says so by `Z`."""
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


def timeless(value: Any) -> Any:
    """`value` without its times.

    When a session is replayed, the SDK may join workflow tasks that led to no command, and what happened in them is
    told a few milliseconds later then.
    """
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key != "at" and not key.endswith("_at")}
    return [timeless(item) for item in value] if isinstance(value, list) else value
