"""Many messages at once: order, once each, sessions apart, and hand-overs in between."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from starter.client import Session
from starter.dev_server import EARLY
from tests.harness import WAIT, Harness, ask, hand_overs, snapshot_when
from tests.servers import own_server
from workflows.contract import Config, TaskOutput, task_workflow_id
from workflows.wire import limits

EVENTS_A_RUN = 400
"""The server suggests continue-as-new from here: 300 tasks of 13 events make about ten runs."""


@pytest.fixture(scope="module")
async def small_runs() -> AsyncIterator[Harness]:
    """A server that suggests continue-as-new early, and a worker on it."""
    async with Harness.on(own_server({EARLY: EVENTS_A_RUN})) as harness:
        yield harness


async def _burst(session: Session, count: int) -> list[str]:
    tasks = [f"task-{number:03}" for number in range(count)]
    for task_id in tasks:
        await session.submit(f"question of {session.id} {task_id}", task_id=task_id, kind="Show")
    return tasks


async def _check(harness: Harness, session: Session, tasks: list[str]) -> None:
    """Each task ran once, in its own run, in order, and saw the turns of its own session before it and no others."""
    await session.result(tasks[-1], 4 * WAIT)
    seen = []
    for number, task_id in enumerate(tasks):
        child = harness.temporal.get_workflow_handle(task_workflow_id(session.id, task_id), result_type=TaskOutput)
        output = (await child.result()).output
        transcript = output["context"]["transcript"]
        assert tasks[max(0, number - 20) : number] == [turn["task_id"] for turn in transcript]
        assert all(session.id in turn["input"] for turn in transcript)
        seen.append((output["task_id"], output["context"]["version"], output["run_id"]))
    assert [(task_id, number) for number, task_id in enumerate(tasks)] == [(t, v) for t, v, _ in seen]
    assert len(tasks) == len({run_id for _, _, run_id in seen})
    counters = (await session.snapshot()).counters
    assert (len(tasks), len(tasks), 0) == (counters.submitted, counters.completed, counters.rejected)


async def _version_seen(harness: Harness, session: Session, task_id: str) -> int:
    child = harness.temporal.get_workflow_handle(task_workflow_id(session.id, task_id), result_type=TaskOutput)
    version: int = (await child.result()).output["context"]["version"]
    return version


@pytest.mark.rare
async def test_100_tasks_in_one_burst_run_once_each_in_order_beside_another_session(harness: Harness) -> None:
    one, other = await harness.open(context={"of": "one"}), await harness.open(context={"of": "other"})
    bursts = await asyncio.gather(_burst(one, 100), _burst(other, 20))
    await asyncio.gather(_check(harness, one, bursts[0]), _check(harness, other, bursts[1]))
    assert ((await one.context()).values["of"], (await other.context()).values["of"]) == ("one", "other")


@pytest.mark.rare
async def test_a_backlog_that_came_while_no_worker_was_there_wedges_nothing(temporal: Client) -> None:
    """The SDK gives a workflow task two seconds; one that takes longer would be tried again for ever, and in vain."""
    harness = Harness(temporal)
    handle = await temporal.start_workflow("Session", id=f"{harness.queue}-backlog", task_queue=harness.queue)
    room = asyncio.Semaphore(10)

    async def send(number: int) -> None:
        async with room:
            await handle.signal("submit", {"task_id": f"t{number}", "input": number})
            if number >= 990:
                await handle.signal("cancel_task", {"task_id": f"t{number}"})

    await handle.signal("pause")
    await asyncio.gather(*(send(number) for number in range(1_490)))
    update = asyncio.create_task(handle.execute_update("submit_task", {"task_id": "t989", "input": 989}))
    async with harness.worker():
        # Though it is at hand at once, it comes after what was sent before it.
        answer = await update
        assert ("t989", "pending") == (answer["task_id"], answer["status"])
        assert 989 - 10 <= answer["position"] <= 989 + 10  # ten were on their way at once
        session = harness.client.get(handle.id)
        counters = (
            await snapshot_when(session, lambda s: s.counters.submitted + s.counters.cancelled == 1_990)
        ).counters
        assert (500, 0) == (counters.cancelled, counters.rejected)
        await session.close("now")
        await session.finished(WAIT)


@pytest.mark.rare
@pytest.mark.parametrize(("each", "runs"), [(8, 1), (50, 5)])
async def test_tasks_of_six_senders_over_many_hand_overs_run_once_each_in_order(
    small_runs: Harness, each: int, runs: int
) -> None:
    session = await small_runs.open(context={"kept": "through every run"})

    async def send(sender: int) -> list[str]:
        tasks = [f"task-{sender}-{number:02}" for number in range(each)]
        for task_id in tasks:
            await session.submit(f"question of {session.id} {task_id}", task_id=task_id, kind="Show")
        return tasks

    senders = await asyncio.gather(*(send(sender) for sender in range(6)))
    for tasks in senders:
        await session.result(tasks[-1], 4 * WAIT)
    seen = {task_id: await _version_seen(small_runs, session, task_id) for tasks in senders for task_id in tasks}
    order = sorted(seen, key=lambda task_id: seen[task_id])
    await _check(small_runs, session, order)
    assert senders == [[task_id for task_id in order if task_id in tasks] for tasks in senders]
    assert await hand_overs(session) >= runs
    assert (await session.context()).values == {"kept": "through every run"}
    assert "yellow" in await ask(session, "What colour is a banana?")


async def test_what_waits_in_a_burst_under_the_id_of_a_refusal_is_no_refusal(
    temporal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MESSAGES_AT_ONCE", 1)
    monkeypatch.setattr(limits, "BACKLOG_PAUSE_SECONDS", 0.5)
    harness = Harness(temporal)
    async with harness.worker():
        session = await harness.open(Config(max_pending=1))
        await session.submit(None, kind="Hang", task_id="runs")
        await snapshot_when(session, lambda s: s.running is not None)
        handle = session.temporal.get_workflow_handle(session.id)
        for task_id in ("waits", "again"):
            await handle.signal("submit", {"task_id": task_id, "input": "What colour is a banana?"})
        await snapshot_when(session, lambda s: s.counters.rejected == 1)
        await session.cancel("waits")
        await session.result("waits", WAIT)
        await asyncio.gather(*(session.resume() for _ in range(5)))
        await handle.signal("submit", {"task_id": "again", "input": "What colour is a banana?"})
        record = await session.task("again")
        assert record
        assert "pending" == record.status
        await session.cancel("runs")
        assert "completed" == (await session.result("again", WAIT)).status
    await harness.replay_all()  # with these limits, which decide what is done when
