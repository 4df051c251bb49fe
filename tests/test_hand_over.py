"""Continue-as-new under fire: forced early by the server's own settings, nothing lost, doubled or forgotten."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.service import RPCError

from starter.client import Session
from starter.client.calls import NoWorkerError
from starter.client.connection import connect
from starter.dev_server import EARLY
from starter.tracing.session_traces import CALLERS
from tests.conformance.caller import SLOWNESS
from tests.harness import WAIT, Harness, ask, details_of, hand_overs, run_task, snapshot_when, timeless
from tests.otlp import receiving
from tests.servers import own_server
from workflows.contract import Compact, Config, ContextPatch
from workflows.wire import limits

BANANA = "What colour is a banana?"
EVENTS_A_RUN = 60
"""The server suggests continue-as-new from here: some five tasks, or twenty signals."""


@pytest.fixture(scope="module")
async def tiny_runs() -> AsyncIterator[Harness]:
    """A server that suggests continue-as-new all the time, and a worker on it."""
    async with Harness.on(own_server({EARLY: EVENTS_A_RUN})) as harness:
        yield harness


async def hand_over(session: Session, times: int = 1, *, paused: bool = False) -> None:
    """Make the session continue as new that many times, with messages that change nothing."""
    message = session.pause if paused else session.resume
    async with asyncio.timeout(WAIT):
        for _ in range(times):
            handle = session.temporal.get_workflow_handle(session.id)
            run = (await handle.describe()).run_id
            while (await handle.describe()).run_id == run:
                await asyncio.gather(*(message() for _ in range(10)))
                await session.snapshot()


async def _asking(session: Session) -> str:
    task_id = await session.submit("deploy", kind="Approve")
    await snapshot_when(session, lambda s: s.status == "waiting")
    return task_id


async def test_a_running_task_goes_on_over_hand_overs_and_its_answer_finds_it(tiny_runs: Harness) -> None:
    session = await tiny_runs.open()
    task_id = await _asking(session)
    before, page = await session.task(task_id), await details_of(session.temporal, session.id)
    assert "**Waits for an answer to:** deploy?" in page
    await hand_over(session, 3)
    assert timeless(before) == timeless(await session.task(task_id))
    assert page == await details_of(session.temporal, session.id)
    later = await session.submit(BANANA)
    await session.respond(task_id, "yes")
    await snapshot_when(session, lambda s: s.running is not None and s.running.waiting_for is not None)
    await session.respond(task_id, "because")
    record = await session.result(task_id, WAIT)
    assert ("completed", {"did": "deploy", "why": "because"}) == (record.status, record.output)
    assert before
    assert before.run_id == record.run_id
    assert "completed" == (await session.result(later, WAIT)).status
    assert [task_id, later] == [turn.task_id for turn in (await session.context()).transcript]


@pytest.mark.rare
async def test_a_compaction_goes_on_over_a_hand_over_and_is_not_begun_again(tiny_runs: Harness) -> None:
    session = await tiny_runs.open(Config(compact=Compact(kind="Squeeze", turns=1)), {"way": "asks"})
    for _ in range(2):
        await run_task(session, None, kind="Note")
    await snapshot_when(session, lambda s: s.status == "waiting")
    later = await session.submit(None, kind="Note")
    await hand_over(session)
    await session.respond("compact-2", "briefly")
    assert "completed" == (await session.result("compact-2", WAIT)).status
    assert "completed" == (await session.result(later, WAIT)).status
    context = await session.context()
    assert ("briefly", "compact-2") == (context.values["summary"], context.log[2].by)
    assert ["compact-2"] == [record.task_id for record in (await session.snapshot()).recent if record.kind == "Squeeze"]
    await session.close("now")


async def test_a_memo_that_cannot_be_read_is_handed_over_as_it_came(tiny_runs: Harness) -> None:
    payload = Payload(metadata={"encoding": b"no/such"}, data=b"\x00")
    handle = await tiny_runs.temporal.start_workflow(
        "Session", id=f"{tiny_runs.queue}-memo", task_queue=tiny_runs.queue, memo={"foreign": RawValue(payload)}
    )
    session = tiny_runs.client.get(handle.id)
    await hand_over(session)
    assert "yellow" in await ask(session, BANANA)
    assert payload == (await handle.describe()).raw_description.workflow_execution_info.memo.fields["foreign"]


@pytest.mark.parametrize("kind", ["Hang", "Stubborn"])
async def test_a_task_of_an_earlier_run_is_cancelled_and_terminated_like_any_other(
    tiny_runs: Harness, kind: str
) -> None:
    session = await tiny_runs.open(Config(cancel_grace=1.0))
    task_id = await session.submit(None, kind=kind)
    await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)
    await hand_over(session)
    await session.cancel(task_id, "enough")
    record = await session.result(task_id, WAIT)
    assert record.error
    assert ("cancelled", "enough") == (record.status, record.error.message)
    assert "yellow" in await ask(session, BANANA)


async def test_a_cancel_that_an_earlier_run_asked_for_is_carried_out_by_the_next(tiny_runs: Harness) -> None:
    session = await tiny_runs.open(Config(cancel_grace=3.0))
    task_id = await session.submit(None, kind="Stubborn")
    await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)
    await session.cancel(task_id, "enough")
    await hand_over(session)
    assert "cancelled" == (await session.result(task_id, WAIT)).status


async def test_a_failure_and_a_conflict_of_an_adopted_task_are_its_own(tiny_runs: Harness) -> None:
    session = await tiny_runs.open()
    task_id = await session.submit({"seconds": 3 * SLOWNESS, "set": {"tea": "task"}}, kind="Slow")
    await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)
    await session.patch_context({"set": {"tea": "outside"}})
    await hand_over(session)
    record = await session.result(task_id, WAIT)
    assert record.error
    assert ("failed", "ContextConflict", "remembered") == (record.status, record.error.type, record.output)
    assert {"tea": "outside"} == (await session.context()).values


async def test_all_that_a_session_knows_survives_a_hand_over(tiny_runs: Harness) -> None:
    session = await tiny_runs.open(Config(title="kept", cancel_grace=1.0), context={"own": 1})
    done = await run_task(session, BANANA)
    failed = await run_task(session, "named", kind="Raise")
    await session.patch_context(ContextPatch(set={"outside": True}))
    soon = datetime.now(UTC) + timedelta(seconds=5)
    task_id = await _asking(session)
    delayed = await session.submit(BANANA, task_id="delayed", not_before=soon, labels={"l": "1"})
    waiting = await session.submit(BANANA, task_id="waiting", on_busy="enqueue")
    await session.submit("another body", task_id=done.task_id)
    before = (await session.snapshot(), await session.context(), await session.task(delayed), await session.context(1))
    await hand_over(session, 2)
    after = (await session.snapshot(), await session.context(), await session.task(delayed), await session.context(1))
    assert timeless(*before) == timeless(*after)
    known = [await session.task(record.task_id) for record in (done, failed)]
    assert timeless(done, failed) == timeless(*known)
    await session.submit(BANANA, task_id=done.task_id)
    await session.cancel(task_id)
    records = [await session.result(name, WAIT) for name in (waiting, delayed)]
    assert ["completed", "completed"] == [record.status for record in records]
    assert records[1].started_at
    assert soon <= records[1].started_at
    counters = (await session.snapshot()).counters
    assert (5, 3, 1, 1, 1) == (
        counters.submitted,
        counters.completed,
        counters.failed,
        counters.cancelled,
        counters.rejected,
    )


async def test_tasks_stay_in_the_traces_of_their_callers_over_hand_overs(tiny_runs: Harness) -> None:
    """The one that runs meanwhile, those that wait, and one that has the longest id."""
    with receiving() as receiver:
        harness = Harness(await connect(tiny_runs.temporal.service_client.config.target_host))
        async with harness.worker():
            session = await harness.open()
            await session.submit("deploy", kind="Approve", task_id="runs")
            await snapshot_when(session, lambda s: s.status == "waiting")
            waiting = ["w", "w" * 128]
            for task_id in waiting:
                await session.submit(BANANA, task_id=task_id)
            await hand_over(session, 2)
            await session.respond("runs", "no")
            for task_id in waiting:
                await session.result(task_id, WAIT)
        calls = []
        for task_id, kind in (("runs", "Approve"), *((task_id, "Answer") for task_id in waiting)):
            task = await receiver.span(f"task {kind}", sessions__task__id=task_id)
            calls.append(task.parent)
            assert ["SignalWorkflow:submit", f"task {kind}"] == receiver.path(task)
            assert 1 == receiver.trace(task)[f"RunWorkflow:{kind}"]
        assert 3 == len(set(calls))
        assert [] == receiver.repeated()
        await harness.replay_all()


@pytest.mark.rare
async def test_a_full_list_of_traced_tasks_is_handed_over(tiny_runs: Harness) -> None:
    """A thousand of them, with ids as long as may be: what a header has beside the state. None is lost by it."""
    with receiving():
        harness = Harness(await connect(tiny_runs.temporal.service_client.config.target_host))
        async with harness.worker():
            session = await harness.open()
            await session.pause()
            ids = [f"{number:0128}" for number in range(limits.PENDING_TASKS)]
            for batch in range(0, len(ids), 50):
                await asyncio.gather(*(session.submit("", task_id=task_id) for task_id in ids[batch : batch + 50]))
            await hand_over(session, paused=True)
            assert len(ids) == len((await session.snapshot()).pending)
            history = await session.temporal.get_workflow_handle(session.id).fetch_history()
            header = history.events[0].workflow_execution_started_event_attributes.header.fields[CALLERS]
            assert set(ids) == json.loads(header.data).keys()
            assert len(header.data) < 200 * limits.PENDING_TASKS
            await session.close("discard")
            await session.temporal.get_workflow_handle(session.id).result()


@pytest.mark.rare
async def test_updates_that_race_hand_overs_take_effect_once(tiny_runs: Harness) -> None:
    session = await tiny_runs.open()
    stop = asyncio.Event()

    async def fire() -> None:
        while not stop.is_set():  # with a pause: the server fails a workflow task that a hundred signals overtake
            await asyncio.gather(*(session.resume() for _ in range(20)))
            await asyncio.sleep(0.1)

    firing = asyncio.create_task(fire())
    try:
        for number in range(40):
            await session.patch_context({"append": {"numbers": [number]}})
    finally:
        stop.set()
        await firing
    view = await session.context()
    assert (40, {"numbers": list(range(40))}) == (view.version, view.values)
    assert await hand_overs(session) >= 3


@pytest.mark.rare
@pytest.mark.parametrize("times", [1, 4])
async def test_signals_that_meet_a_run_handing_over_at_its_very_start_are_kept(times: int) -> None:
    """Bursts larger than a run may be, while others ask: each run is spent before its first workflow task is done."""
    count, burst = 900, 30

    async def all_are_kept(harness: Harness) -> None:
        session = await harness.open()
        await session.pause()
        sent: list[str] = []

        async def ask_on() -> None:
            while len(sent) < count:
                with contextlib.suppress(RPCError, NoWorkerError):  # more queries at once than the server keeps
                    await session.snapshot()

        asking = asyncio.gather(*(ask_on() for _ in range(3)))
        for start in range(0, count, burst):
            numbers = range(start, start + burst)
            sent += await asyncio.gather(*(session.submit(n, task_id=f"task-{n}") for n in numbers))
        await asking
        kept = await snapshot_when(session, lambda s: s.counters.submitted == count)
        assert {*sent} == {entry.task_id for entry in kept.pending}
        await session.close("now")
        await session.finished(WAIT)

    async with Harness.on(own_server({EARLY: 20})) as harness:
        for _ in range(times):
            await all_are_kept(harness)


@pytest.mark.parametrize(
    ("verb", "status"),
    [
        ("respond", "completed"),
        *(
            pytest.param(*other, marks=pytest.mark.rare)
            for other in (("close", "cancelled"), ("cancel", "cancelled"), ("pause", "running"))
        ),
    ],
)
async def test_a_verb_that_comes_with_a_hand_over_takes_effect(tiny_runs: Harness, verb: str, status: str) -> None:
    """Sent in one burst with what makes the run hand over: in the very workflow task that does it, or right beside."""

    async def one(lead: int) -> tuple[str, str]:
        session = await tiny_runs.open(Config(default_kind="Approve"))
        task_id = await session.submit("deploy")
        await snapshot_when(session, lambda s: s.status == "waiting")
        act: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "close": lambda: session.close("now"),
            "cancel": lambda: session.cancel(task_id),
            "pause": session.pause,
            "respond": lambda: session.respond(task_id, "no"),
        }
        noise = [session.cancel("nobody") for _ in range(EVENTS_A_RUN)]
        await asyncio.gather(*noise[:lead], act[verb](), *noise[lead:])
        if verb != "pause":
            return (await session.result(task_id, WAIT)).status, ""
        return "running", (await snapshot_when(session, lambda s: s.status == "paused")).status

    assert {status} == {found for found, _ in await asyncio.gather(*(one(lead) for lead in range(0, 56, 7)))}
