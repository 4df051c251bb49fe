"""What sessions and server say after a chaos run, as plain facts for the checker."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from temporalio.api.common.v1 import Payloads
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError
from temporalio.worker import Replayer

from benchmarks.chaos.facts import Change, Child, Ending, Found, Memory, Result, Turn
from benchmarks.chaos.kinds import ChaosWorkflow
from starter.client import Session
from starter.client.calls import NoWorkerError
from starter.serving.activations import CarefulActivations
from workflows.contract import ContextView, TaskRecord
from workflows.session import SessionWorkflow
from workflows.wire.errors import SessionError
from workflows.wire.messages import DATA_CONVERTER

LOOK_SECONDS = 1.0

_ENDS = {
    "workflow_execution_completed_event_attributes": "completed",
    "workflow_execution_failed_event_attributes": "failed",
    "workflow_execution_canceled_event_attributes": "cancelled",
    "workflow_execution_terminated_event_attributes": "terminated",
    "workflow_execution_timed_out_event_attributes": "timed_out",
}


async def settled(sessions: Sequence[Session], seconds: float) -> None:
    """Wait until no session has anything to do, `seconds` at most; what has not ended then is for the checker."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            for session in sessions:
                while not await _is_idle(session):  # noqa: ASYNC110 (the server has no event for it)
                    await asyncio.sleep(LOOK_SECONDS)


async def _is_idle(session: Session) -> bool:
    try:
        snapshot = await session.snapshot()
    except (RPCError, NoWorkerError):
        return False
    return snapshot.running is None and not snapshot.pending


async def histories(temporal: Client, queue: str) -> list[WorkflowHistory]:
    """Every history of that queue: of each run of each session, and of their tasks."""
    return [history async for history in temporal.list_workflows(f"TaskQueue = '{queue}'").map_histories()]


async def found(session: Session, histories: Iterable[WorkflowHistory]) -> Found | None:
    """One session by its own words, and its children by their histories; null for one that does not answer."""
    try:
        snapshot, context = await session.snapshot(), await session.context()
        # One after the other: what a record says of its output is for the record alone to say.
        endings = [_ending(await session.task(record.task_id) or record) for record in snapshot.recent]
    except (RPCError, NoWorkerError, SessionError):
        return None
    counts = snapshot.counters.model_dump()
    del counts["rejected"]  # of messages, not of tasks
    return Found(
        session=session.id,
        endings=endings,
        counts=counts,
        memory=_memory(context.model_dump(mode="json")),
        changes=_changes(context),
        refusals=[entry.error.type for entry in snapshot.rejected],
        children=[_child(h) for h in histories if h.workflow_id.startswith(f"{session.id}/")],
    )


def _ending(record: TaskRecord) -> Ending:
    return Ending(
        task_id=record.task_id,
        status=record.status,
        error=record.error.type if record.error else None,
        submitted=record.submitted_at.timestamp() if record.submitted_at else 0.0,
        started=record.started_at.timestamp() if record.started_at else None,
        run_id=record.run_id,
        before=record.context_version.before,
        after=record.context_version.after,
        output=record.output,
    )


def _changes(context: ContextView) -> list[Change]:
    return [Change(entry.version, entry.by, frozenset(entry.changed)) for entry in context.log]


def _memory(context: dict[str, Any]) -> Memory:
    """Out of the answer to a query, or of a task's input."""
    turns = [Turn(turn["task_id"], turn["version"], turn["input"], turn["output"]) for turn in context["transcript"]]
    return Memory(context["version"], context["values"], turns)


def _child(history: WorkflowHistory) -> Child:
    """One run of a task, by its first event and its last."""
    first, last = history.events[0], history.events[-1]
    given = _json(first.workflow_execution_started_event_attributes.input)
    status = _ENDS.get(last.WhichOneof("attributes") or "", "running")
    returned = _json(last.workflow_execution_completed_event_attributes.result) if status == "completed" else None
    return Child(
        task_id=history.workflow_id.partition("/")[2],
        run_id=history.run_id,
        started=first.event_time.ToNanoseconds() / 1e9,
        closed=None if status == "running" else last.event_time.ToNanoseconds() / 1e9,
        status=status,
        named=(given["session_id"], given["task_id"]),
        input=given["input"],
        memory=_memory(given["context"]),
        result=None if returned is None else _result(returned),
    )


def _result(returned: dict[str, Any]) -> Result:
    empty: dict[str, Any] = {"set": {}, "unset": [], "append": {}}
    patch = returned.get("patch")
    return Result(returned.get("output"), patch and {name: patch.get(name) or none for name, none in empty.items()})


def _json(payloads: Payloads) -> Any:
    """The one JSON value in payloads, read without the code of sessions."""
    return json.loads(payloads.payloads[0].data)


async def replayed(histories: Sequence[WorkflowHistory]) -> list[str]:
    """Replay every history with the present code: the failure of each that does not fit."""

    async def one_by_one() -> AsyncIterator[WorkflowHistory]:
        for history in histories:
            yield history

    replayer = Replayer(
        workflows=[SessionWorkflow, ChaosWorkflow], data_converter=DATA_CONVERTER, plugins=[CarefulActivations()]
    )
    results = await replayer.replay_workflows(one_by_one(), raise_on_replay_failure=False)
    return [f"{run_id}: {failure}" for run_id, failure in results.replay_failures.items()]
