"""More signals than one run of a session may take, while one of its tasks waits for a person."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from starter.client import Session
from starter.client.calls import NoWorkerError
from starter.client.connection import connect
from starter.dev_server import EARLY
from tests.harness import WAIT, Harness, hand_overs, snapshot_when
from tests.servers import own_server, running
from workflows.contract import Config, TaskRecord
from workflows.wire import limits
from workflows.wire.errors import SessionError

SENDERS = 25


@asynccontextmanager
async def waiting_session(settings: dict[str, object], folder: Path) -> AsyncIterator[Session]:
    """A session whose task asks a person, on a server with these settings."""
    async with Harness.on(own_server(settings, folder / "temporal.db")) as harness:
        session = await harness.open()
        await session.submit("deploy", kind="Approve", task_id="asks")
        await snapshot_when(session, lambda s: s.status == "waiting")
        yield session


async def nobody(_number: int) -> None:
    """Whom nothing is told."""


async def storm(session: Session, count: int, told: Callable[[int], Awaitable[None]] = nobody) -> None:
    """Submit that many tasks from many senders at once; every one is acknowledged in the end."""
    numbers = iter(range(count))

    async def send() -> None:
        for number in numbers:
            await session.submit(number, kind="Show", task_id=f"task-{number:05}")
            await told(number)

    await asyncio.gather(*(send() for _ in range(SENDERS)))


async def survives(session: Session, count: int, told: Callable[[int], Awaitable[None]] = nobody) -> None:
    """The storm, and what has to be true after it."""
    await storm(session, count, told)
    taken, excess = limits.PENDING_TASKS, count - limits.PENDING_TASKS
    after = await snapshot_when(session, lambda s: s.counters.submitted + s.counters.rejected == count + 1)
    assert (taken + 1, excess) == (after.counters.submitted, after.counters.rejected)
    assert {("submit", "QueueFull")} == {(entry.message, entry.error.type) for entry in after.rejected}
    assert ("waiting", taken) == (after.status, len(after.pending))
    assert await hand_overs(session) >= count / limits.RUN_EVENTS
    await session.pause()
    await session.respond("asks", "yes")
    await snapshot_when(
        session, lambda s: bool(s.running and s.running.waiting_for and s.running.waiting_for.text == "Why?")
    )
    await session.respond("asks", "because")
    assert {"did": "deploy", "why": "because"} == (await session.result("asks", WAIT)).output
    await session.close("discard")
    final = await session.finished(WAIT)
    assert (1, taken) == (final.counters.completed, final.counters.cancelled)


@pytest.mark.rare
async def test_1500_signals_where_a_run_takes_500_while_a_task_waits(tmp_path: Path) -> None:
    settings: dict[str, object] = {
        "history.maximumSignalsPerExecution": 500,
        EARLY: 200,
    }
    async with waiting_session(settings, tmp_path) as session:
        await survives(session, 1_500)


@pytest.mark.rare
async def test_a_run_full_of_signals_refuses_by_name_without_a_worker_and_goes_on_with_one(tmp_path: Path) -> None:
    settings: dict[str, object] = {
        "history.maximumSignalsPerExecution": 30,
        EARLY: 20,
    }
    async with running(own_server(settings, tmp_path / "temporal.db")) as server:
        harness = Harness(await connect(server.address))
        session = await harness.open()
        sent = [await session.submit("hello", kind="Show") for _ in range(30)]
        with pytest.raises(SessionError, match="QueueFull"):
            await session.submit("hello", kind="Show")
        async with harness.worker():
            sent.append(await session.submit("hello", kind="Show"))
            assert {"completed"} == {(await session.result(task_id, WAIT)).status for task_id in sent}


@pytest.mark.rare
async def test_2500_signals_that_came_without_a_worker_are_taken_in_shares(tmp_path: Path) -> None:
    """One workflow task brings them all, and the SDK gives it two seconds; a share takes a tenth of one."""
    async with running(own_server(database=tmp_path / "temporal.db")) as server:
        harness = Harness(await connect(server.address))
        session = await harness.open(Config(default_kind="Hang"))
        await storm(session, 2_500)
        async with harness.worker():
            assert "task-02499" == (await first_answer(session, "task-02499")).task_id
            await session.close("now")
            final = await session.finished(WAIT)
        counters = final.counters
        history = await session.temporal.get_workflow_handle(session.id).fetch_history()
        assert 2_501 / limits.MESSAGES_AT_ONCE - 1 <= sum(
            e.HasField("timer_started_event_attributes") for e in history.events
        )
        assert (1_000, 1_000, 1_500) == (counters.submitted, counters.cancelled, counters.rejected)


async def first_answer(session: Session, task_id: str) -> TaskRecord:
    """What the session says of a task as soon as a worker answers for it."""
    async with asyncio.timeout(WAIT):
        while True:
            with contextlib.suppress(NoWorkerError):
                record = await session.task(task_id)
                assert record is not None
                return record


@pytest.mark.stress
async def test_20000_signals_under_the_real_limits_while_a_task_waits(tmp_path: Path) -> None:
    async def told(number: int) -> None:
        if number % 500 == 0:
            sys.stderr.write(f"\r{number} signals, {await hand_overs(session)} hand-overs")

    async with waiting_session({}, tmp_path) as session:
        await survives(session, 20_000, told)
