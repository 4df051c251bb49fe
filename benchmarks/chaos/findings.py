"""What sessions and server say after a chaos run, for the checker to compare with the log."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError
from temporalio.worker import Replayer

from benchmarks.chaos.checker import Child, Ending, Found
from benchmarks.chaos.kinds import ChaosWorkflow
from starter.client import Session
from starter.client.calls import NoWorkerError
from starter.serving.activations import CarefulActivations
from workflows.session import SessionWorkflow
from workflows.wire.errors import SessionError
from workflows.wire.messages import DATA_CONVERTER

LOOK_SECONDS = 1.0


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


async def found(session: Session) -> Found:
    """One session and the children that the server lists of it; one that does not answer has no records."""
    try:
        snapshot, context = await session.snapshot(), await session.context()
    except (RPCError, NoWorkerError, SessionError):
        return Found(session.id, [], 0, {}, [])
    endings = [
        Ending(
            task_id=record.task_id,
            status=record.status,
            submitted=record.submitted_at.timestamp() if record.submitted_at else 0.0,
            started=record.started_at.timestamp() if record.started_at else None,
        )
        for record in snapshot.recent
    ]
    children = [
        Child(
            task_id=run.id.removeprefix(f"{session.id}/"),
            started=run.start_time.timestamp(),
            closed=run.close_time.timestamp() if run.close_time else None,
        )
        async for run in session.temporal.list_workflows(f"WorkflowId STARTS_WITH '{session.id}/'")
    ]
    return Found(session.id, endings, snapshot.counters.submitted, context.values, children)


async def replayed(temporal: Client, queue: str) -> tuple[int, list[str]]:
    """Replay every history with the present code: how many, and the failure of each that does not fit."""
    count = 0

    async def histories() -> AsyncIterator[WorkflowHistory]:
        nonlocal count
        async for history in temporal.list_workflows(f"TaskQueue = '{queue}'").map_histories():
            count += 1
            yield history

    replayer = Replayer(
        workflows=[SessionWorkflow, ChaosWorkflow], data_converter=DATA_CONVERTER, plugins=[CarefulActivations()]
    )
    results = await replayer.replay_workflows(histories(), raise_on_replay_failure=False)
    return count, [f"{run_id}: {failure}" for run_id, failure in results.replay_failures.items()]
