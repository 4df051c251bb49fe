"""What it costs a session that somebody waits for the end of one of its tasks."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.worker import HandleQueryInput, Interceptor, WorkflowInboundInterceptor, WorkflowInterceptorClassInput

from starter.client import Session
from starter.client.task_workflow import TaskWorkflow
from starter.dev_server import EARLY
from tests.harness import WAIT, Harness, hand_overs, snapshot_when
from tests.servers import own_server
from tests.test_strangers import stranger


class Queries(Interceptor):
    """Counts the queries that a worker answers, by name."""

    def __init__(self) -> None:
        self.answered = Counter[str]()

    def workflow_interceptor_class(
        self, _input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        """See base class."""
        answered = self.answered

        class Counting(WorkflowInboundInterceptor):
            async def handle_query(self, input: HandleQueryInput) -> Any:  # noqa: A002 (its name)
                answered[input.query] += 1
                return await super().handle_query(input)

        return Counting


def counted(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[object]:
    """What a method of `owner` is called with from here on."""
    calls, method = list[object](), getattr(owner, name)

    async def call(*args: Any) -> Any:
        calls.append(args)
        return await method(*args)

    monkeypatch.setattr(owner, name, call)
    return calls


async def asking(session: Session) -> str:
    """A task that asks a person, and so goes on until the test lets it end; its id."""
    task_id = await session.submit("deploy", kind="Approve")
    await snapshot_when(session, lambda s: s.status == "waiting")
    return task_id


async def polled(polls: Sequence[object], number: int) -> None:
    """Wait until so many polls have begun."""
    async with asyncio.timeout(WAIT):
        while len(polls) < number:  # noqa: ASYNC110 (a list has no event)
            await asyncio.sleep(0.02)


def polls_of(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let polls for the end of a task's workflow begin at so many seconds, in the proportions that they have."""
    monkeypatch.setattr("starter.client.task_workflow.FIRST_POLL", seconds)
    monkeypatch.setattr("starter.client.task_workflow.LONGEST_POLL", 5 * seconds)


@pytest.mark.parametrize("first_poll", [0.2, pytest.param(2.0, marks=pytest.mark.rare)])
async def test_who_waits_for_a_long_task_asks_its_session_once(
    temporal: Client, monkeypatch: pytest.MonkeyPatch, first_poll: float
) -> None:
    """A task of seven times the first poll: fourteen seconds by the real constants. Asked when it has ended, and again
    only while the session has not heard of that."""
    polls_of(monkeypatch, first_poll)
    polls = counted(monkeypatch, TaskWorkflow, "_end")
    queries, harness = Queries(), Harness(temporal)
    async with harness.worker(interceptors=[queries]):
        session = await harness.open()
        task_id = await asking(session)
        began = asyncio.get_running_loop().time()
        waiting = asyncio.create_task(session.result(task_id, WAIT))
        await polled(polls, 4)
        assert 7 * first_poll <= asyncio.get_running_loop().time() - began
        assert 0 == queries.answered["task"]
        await session.respond(task_id, "no")
        record = await waiting
    assert ("completed", "left alone") == (record.status, record.output)
    assert queries.answered["task"]
    await harness.replay_all()


async def test_who_waits_for_a_task_in_the_list_looks_ever_more_seldom(temporal: Client) -> None:
    queries, harness = Queries(), Harness(temporal)
    async with harness.worker(interceptors=[queries]):
        session = await harness.open()
        await session.pause()
        waiting = asyncio.create_task(session.result(await session.submit("What colour is a banana?"), WAIT))
        await asyncio.sleep(1.0)
        looks = queries.answered["task"]
        await session.resume()
        assert "completed" == (await waiting).status
    assert 2 <= looks <= 8  # 10, 20, ... 640 ms apart


async def test_who_waits_is_not_held_by_a_strangers_workflow(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    polls_of(monkeypatch, 0.2)
    session = await harness.open()
    foreign = await stranger(harness, session, "taken", "Hang", None)
    await session.submit(None, task_id="taken", kind="Hang")
    record = await asyncio.wait_for(session.result("taken"), WAIT / 2)
    assert record.error
    assert "ChildRefused" == record.error.type
    await foreign.terminate()


async def test_who_waits_over_a_hand_over_asks_for_the_first_run_of_the_task_and_waits_on_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    polls_of(monkeypatch, 0.2)
    async with Harness.on(own_server({EARLY: 60})) as harness:
        session = await harness.open()
        task_id = await asking(session)
        while not await hand_overs(session):
            await asyncio.gather(*(session.resume() for _ in range(10)))
            await session.snapshot()
        looks = counted(monkeypatch, session, "_record")
        polls = counted(monkeypatch, TaskWorkflow, "_end")
        waiting = asyncio.create_task(session.result(task_id, WAIT))
        await polled(polls, 4)
        assert 1 == len(looks)  # whose the workflow is; more of them only at the end
        await session.respond(task_id, "no")
        assert "completed" == (await waiting).status


async def test_a_poll_of_which_the_server_tells_late_is_renewed(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen of a loaded server; here the first poll hears nothing at all."""
    polls_of(monkeypatch, 0.2)
    end, deaf = TaskWorkflow._end, [True]

    async def hears_late(workflow: TaskWorkflow) -> None:
        if deaf:
            deaf.clear()
            await asyncio.Event().wait()
        await end(workflow)

    monkeypatch.setattr(TaskWorkflow, "_end", hears_late)
    session = await harness.open()
    task_id = await session.submit({"seconds": 1, "set": {}}, kind="Slow")
    await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)
    assert "completed" == (await asyncio.wait_for(session.result(task_id), WAIT / 2)).status
    assert [] == deaf
