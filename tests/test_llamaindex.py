"""Workflows of LlamaIndex as kinds: in an environment of their own, hosted beside a worker with sessions."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from starter.client import Session
from tests.conformance.caller import SLOWNESS
from tests.environments import INSTALL_SECONDS
from tests.harness import WAIT, Harness, progress_of
from tests.llamaindex_host import LONG, Host, asked, failure, hosting
from tests.servers import NO_NEXT_WORKER, Server
from workflows.contract import ContextPatch, ContextPolicy, TaskRecord
from workflows.frameworks import llamaindex as llamaindex_kinds

BANANA, SUN = "What colour is a banana?", "How big is the sun?"

pytestmark = [pytest.mark.rare, pytest.mark.timeout(INSTALL_SECONDS)]


class Flows(Host):
    """A host of the kind that runs any of the flows."""

    async def submit(self, session: Session, flow: str, task_input: object = None, **options: Any) -> str:
        """A task of one flow; its id."""
        return await session.submit({"flow": flow, "input": task_input}, kind="Flow", task_queue=self.queue, **options)

    async def run(self, session: Session, flow: str, task_input: object = None, **options: Any) -> TaskRecord:
        """The final record of such a task."""
        return await session.result(await self.submit(session, flow, task_input, **options), LONG)


@pytest.fixture(scope="module")
async def flows(llamaindex: Path, server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Flows]:
    async with hosting(Flows(llamaindex, tmp_path_factory.mktemp("flows"), server.address, "flows:KINDS")) as host:
        yield host


@pytest.mark.parametrize("flow", ["Colours", "Fans", "Caches"])
async def test_the_sun_is_not_yellow_after_a_banana_in_the_same_session(
    harness: Harness, flows: Flows, flow: str
) -> None:
    session = await harness.open()
    for _ in range(2):
        assert "yellow" == (await flows.run(session, flow, BANANA)).output
        assert "1,400,000 kilometres across" == (await flows.run(session, flow, SUN)).output
    assert {} == (await session.context()).values


@pytest.mark.parametrize(("flow", "error"), [("Rude", "LookupError"), ("Slow", "WorkflowTimeoutError")])
async def test_a_task_that_failed_leaves_nothing_to_the_next_one(
    harness: Harness, flows: Flows, flow: str, error: str
) -> None:
    session = await harness.open()
    failed = await flows.run(session, flow, BANANA)
    assert ("failed", error) == (failed.status, failed.error.type if failed.error else None)
    assert "1,400,000 kilometres across" == (await flows.run(session, flow, SUN)).output


@pytest.fixture
async def crashing(llamaindex: Path, server: Server, tmp_path: Path) -> AsyncIterator[Flows]:
    """A worker that a test may kill."""
    async with hosting(Flows(llamaindex, tmp_path, server.address, "flows:KINDS")) as host:
        yield host


@pytest.mark.not_on_test_server(NO_NEXT_WORKER)
async def test_a_killed_worker_costs_no_finished_step(harness: Harness, crashing: Flows) -> None:
    session = await harness.open()
    task_id = await crashing.submit(session, "Three")
    await crashing.ran("begin 2")
    assert 1 == (await progress_of(session, task_id)).done
    await crashing.restart()
    record = await session.result(task_id, LONG)
    assert ("completed", [1, 2, 3]) == (record.status, record.output)
    assert ["begin 1", "end 1", *["begin 2"] * 2, "end 2", "begin 3", "end 3"] == crashing.steps()


@pytest.mark.parametrize(
    ("flow", "output", "twice"),
    [
        ("Branches", {"a": 1, "b": 1, "c": 1}, {"begin b", "begin c"}),
        ("OneList", ["a", "b", "c"], {"begin a", "end a", "begin b", "begin c"}),
        ("Sends", 1, {"begin send", "take"}),
    ],
)
@pytest.mark.not_on_test_server(NO_NEXT_WORKER)
async def test_what_steps_under_way_did_is_done_once_after_a_crash(
    harness: Harness, crashing: Flows, flow: str, output: object, twice: set[str]
) -> None:
    """Even if that costs a finished step: one that wrote where they had written, or took an event of theirs."""
    session = await harness.open()
    task_id = await crashing.submit(session, flow)
    await crashing.ran("take" if flow == "Sends" else "end a")
    await asyncio.sleep(0.5 * SLOWNESS)  # for a checkpoint, if there is to be one
    await crashing.restart()
    record = await session.result(task_id, LONG)
    assert ("completed", output) == (record.status, record.output)
    assert twice == {step for step in crashing.steps() if crashing.steps().count(step) > 1}


async def test_a_cancelled_task_has_stopped_its_flow(harness: Harness, flows: Flows) -> None:
    session = await harness.open()
    task_id = await flows.submit(session, "Stays")
    await flows.ran("begin")
    await session.cancel(task_id)
    assert "cancelled" == (await session.result(task_id, WAIT)).status
    assert "stopped" in flows.steps()
    assert "yellow" == (await flows.run(session, "Colours", BANANA)).output


@pytest.mark.parametrize("where", ["loop", "thread"])
async def test_an_exit_in_a_step_ends_its_task_and_not_the_worker(harness: Harness, flows: Flows, where: str) -> None:
    session = await harness.open()
    record = await flows.run(session, "Leaves", where)
    assert ("failed", "SystemExit") == (record.status, record.error.type if record.error else None)
    assert "yellow" == (await flows.run(session, "Colours", BANANA)).output


@pytest.mark.parametrize("flow", ["Returns", "Waits", "Writes"])
async def test_what_a_flow_asks_the_session_asks_and_nothing_runs_meanwhile(
    harness: Harness, flows: Flows, flow: str
) -> None:
    session = await harness.open()
    task_id = await flows.submit(session, flow)
    assert ("Who are you?", ["Ada", "Bob"]) == ((question := await asked(session)).text, question.choices)
    task = await harness.temporal.get_workflow_handle(f"{session.id}/{task_id}").describe()
    assert [] == [*task.raw_description.pending_activities]
    await session.respond(task_id, "Ada")
    assert "hello Ada" == (await session.result(task_id, LONG)).output


async def test_an_answer_is_checked_by_the_event_that_it_becomes(harness: Harness, flows: Flows) -> None:
    session = await harness.open()
    task_id = await flows.submit(session, "Approves")
    first = await asked(session)
    assert "Refund 42 euros?" == first.text
    await session.respond(task_id, {"approved": "perhaps"})
    again = await asked(session, first.id)
    assert again.text.startswith("Refund 42 euros? (the answer does not fit Approval: approved: ")
    await session.respond(task_id, {"approved": False, "reason": "too much"})
    assert "False: too much" == (await session.result(task_id, LONG)).output


async def test_questions_of_branches_are_put_one_after_the_other(harness: Harness, flows: Flows) -> None:
    """Each answer reaches the branch whose wait demands it, although all wait for the same event."""
    session = await harness.open()
    task_id = await flows.submit(session, "TwoAtOnce")
    first = await asked(session)
    assert "Age of Ada?" == first.text
    await session.respond(task_id, 36)
    assert "Age of Bob?" == (await asked(session, first.id)).text
    await session.respond(task_id, {"age": 63})
    assert {"Ada": 36, "Bob": 63} == (await session.result(task_id, LONG)).output


async def test_a_wait_that_nobody_answers_ends_as_llamaindex_has_it(harness: Harness, flows: Flows) -> None:
    session = await harness.open()
    record = await flows.run(session, "Impatient")
    assert ("completed", "nobody said anything") == (record.status, record.output)


async def test_a_flow_that_waits_for_nothing_fails_by_name(harness: Harness, flows: Flows) -> None:
    record = await flows.run(await harness.open(), "Stuck")
    assert ("failed", "NothingToAnswer") == (record.status, record.error.type if record.error else None)


@pytest.mark.not_on_test_server(NO_NEXT_WORKER)
async def test_a_question_and_its_answer_survive_the_death_of_the_worker(harness: Harness, crashing: Flows) -> None:
    session = await harness.open()
    task_id = await crashing.submit(session, "LongAnswer")
    await asked(session)
    await crashing.kill()
    await session.respond(task_id, "Ada")
    await asyncio.sleep(0.5)
    await crashing.start()
    await crashing.ran("begin Ada")
    await crashing.restart()
    assert "hello Ada" == (await session.result(task_id, LONG)).output
    assert ["ask", "begin Ada", "begin Ada", "end Ada"] == crashing.steps()


async def test_named_values_go_into_the_store_and_back_and_nothing_else(harness: Harness, flows: Flows) -> None:
    session = await harness.open(context={"diet": "none", "dishes": ["soup"], "secret": "key"})
    assert ["diet", "dishes", "scratch"] == (await flows.run(session, "Guests", {"dish": "fish"})).output
    view = await session.context()
    assert {"diet": "none", "dishes": ["soup", "fish"], "secret": "key"} == view.values
    assert ["dishes"] == view.log[-1].changed
    await flows.run(session, "Guests", {"dish": "cake"})
    assert {"dishes": ["cake"], "secret": "key"} == (await session.context()).values


async def test_a_task_that_may_not_write_leaves_no_patch(harness: Harness, flows: Flows) -> None:
    session = await harness.open()
    record = await flows.run(session, "Guests", {"dish": "fish"}, context=ContextPolicy(write=False))
    assert ("completed", {}) == (record.status, (await session.context()).values)


async def test_a_store_with_a_type_takes_what_fits_it(harness: Harness, flows: Flows) -> None:
    session = await harness.open(context={"guest": "Ada"})
    for visits in (1, 2):
        assert "Ada came" == (await flows.run(session, "Typed")).output
        assert {"guest": "Ada", "visits": visits} == (await session.context()).values
    await session.patch_context(ContextPatch(set={"visits": "many"}))
    name, why = failure(await flows.run(session, "Typed"))
    assert "InvalidContext" == name
    assert why.startswith("Typed: the context does not fit House: visits: Input should be a valid integer")
    named = "Untyped: the store is a House, without a field 'guests'"
    assert ("InvalidContext", named) == failure(await flows.run(session, "Untyped"))


async def test_an_input_becomes_the_start_event(harness: Harness, flows: Flows) -> None:
    session = await harness.open()
    assert "soup for 3" == (await flows.run(session, "Takes", {"dish": "soup", "guests": 3})).output
    named = "Takes: the input does not fit Order: dish: Field required"
    assert ("InvalidRequest", named) == failure(await flows.run(session, "Takes", "soup"))


@pytest.mark.parametrize(
    ("what", "name", "why"),
    [
        ("store", "StateTooLarge", "over 1048576"),
        ("object", "StateNotSerializable", "Failed to serialize value"),
        ("result", "OutputTooLarge", "over 131072"),
        ("kept", "ContextTooLarge", "over 262144"),
        ("no JSON", "InvalidOutput", "the result is not JSON: a object"),
    ],
)
async def test_what_is_too_large_or_no_json_fails_its_task_by_name(
    harness: Harness, flows: Flows, what: str, name: str, why: str
) -> None:
    failed = failure(await flows.run(await harness.open(), "Hoards", what))
    assert (name, True) == (failed[0], why in failed[1]), failed


async def test_a_long_step_is_no_lost_worker(harness: Harness, flows: Flows) -> None:
    """Nor one that the SDK gives up: it counts the heartbeats that go by itself."""
    assert "awake" == (await flows.run(await harness.open(), "Sleeps")).output
    assert 1 == flows.steps().count("begin sleep")


async def test_what_llamaindex_does_not_retry_temporal_may(harness: Harness, crashing: Flows) -> None:
    """From the last checkpoint on, where an ApplicationError of the flow says so."""
    assert 4 == (await crashing.run(await harness.open(), "Flaky")).output
    assert ["begin", *["work"] * 4] == crashing.steps()


async def test_a_stop_event_of_its_own_is_an_object(harness: Harness, flows: Flows) -> None:
    assert {"total": 42} == (await flows.run(await harness.open(), "Bills")).output


def test_the_repository_says_where_llamaindex_can_be_used() -> None:
    with pytest.raises(ImportError, match=r"pip install 'durable-sessions\[llamaindex\]'.*hides LlamaIndex's"):
        _ = llamaindex_kinds.flow(dict).activities
