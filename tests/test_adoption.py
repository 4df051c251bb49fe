"""A worker that dies at every step of handing a running task over to the next run of its session."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import WorkflowExecutionStatus

from starter.client import Session
from starter.client.connection import connect
from starter.dev_server import EARLY
from tests.harness import WAIT, Harness, ask, snapshot_when
from tests.servers import own_server, running
from tests.test_crashes import WorkerProcess, stopping
from tests.test_hand_over import EVENTS_A_RUN
from workflows.contract import task_workflow_id

RESTARTED = 2 * WAIT
"""A killed worker is noticed ten seconds after it took a workflow task, twenty after it began to watch."""


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT):
        while not await condition():  # noqa: ASYNC110 (the server has no event for it)
            await asyncio.sleep(0.005)


async def leave_run(session: Session) -> None:
    """Send what makes the session continue as new, and return as soon as it has."""
    handle = session.temporal.get_workflow_handle(session.id)
    run = (await handle.describe()).run_id

    async def left() -> bool:
        return (await handle.describe()).run_id != run

    noise = asyncio.gather(*(session.cancel("nobody") for _ in range(EVENTS_A_RUN)))
    await until(left)
    await noise


async def _watching(session: Session, *states: int) -> None:
    """Wait until the activity that watches the task is in one of these states."""

    async def seen() -> bool:
        found = await session.temporal.get_workflow_handle(session.id).describe()
        return any(a.state in states for a in found.raw_description.pending_activities)

    await until(seen)


async def before(_session: Session) -> None:
    """The run is spent with the next message, which no worker acts on any more."""


async def handed_over(session: Session) -> None:
    await leave_run(session)


async def watch_scheduled(session: Session) -> None:
    await leave_run(session)
    both = (PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED, PendingActivityState.PENDING_ACTIVITY_STATE_STARTED)
    await _watching(session, *both)


async def watch_started(session: Session) -> None:
    await leave_run(session)
    await _watching(session, PendingActivityState.PENDING_ACTIVITY_STATE_STARTED)
    await asyncio.sleep(0.5)


async def answer_sent(session: Session) -> None:
    await watch_started(session)
    await session.respond("asks", "no")


async def child_ended(session: Session) -> None:
    """The child has ended, and the session may or may not know it."""
    await answer_sent(session)
    child = session.temporal.get_workflow_handle(task_workflow_id(session.id, "asks"))

    async def ended() -> bool:
        return (await child.describe()).status == WorkflowExecutionStatus.COMPLETED

    await until(ended)


STEPS = (before, handed_over, watch_scheduled, watch_started, answer_sent, child_ended)


async def dies_at(address: str, step: Callable[[Session], Awaitable[None]]) -> tuple[str, object]:
    """How a waiting task ends whose worker is killed at that step, and at the same step of a later run again."""
    harness = Harness(await connect(address))
    worker = WorkerProcess(address, harness.queue, program=("-m", "tests.worker_of_all_kinds"))
    with stopping(worker):
        worker.start()
        session = await harness.open()
        await session.submit("deploy", kind="Approve", task_id="asks")
        await snapshot_when(session, lambda s: s.status == "waiting")
        await step(session)
        worker.kill()
        if step is before:
            await asyncio.gather(*(session.cancel("nobody") for _ in range(EVENTS_A_RUN)))
        worker.start()
        if step not in (answer_sent, child_ended):
            await session.respond("asks", "no")
        record = await session.result("asks", RESTARTED)
        assert "yellow" in await ask(session, "What colour is a banana?")
        assert 2 == (await session.snapshot()).counters.completed
        query = f"WorkflowId = '{task_workflow_id(session.id, 'asks')}'"
        assert 1 == (await harness.temporal.count_workflows(query)).count
        await harness.replay_all()
        return record.status, record.output


@pytest.mark.timeout(300)
@pytest.mark.rare
async def test_a_waiting_task_survives_its_worker_at_every_step_of_a_hand_over(tmp_path: Path) -> None:
    async with running(own_server({EARLY: EVENTS_A_RUN}, tmp_path / "temporal.db")) as server:
        ends = await asyncio.gather(*(dies_at(server.address, step) for step in STEPS))
        assert {step.__name__: ("completed", "left alone") for step in STEPS} == {
            step.__name__: end for step, end in zip(STEPS, ends, strict=True)
        }
