"""A session that rests after some tens of tasks is handed over, so that it wakes fast; no turn pays for it."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable

import pytest
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from starter.client import Session
from tests.harness import WAIT, Harness, ask, hand_overs, run_task, snapshot_when, timeless
from tests.servers import NO_LISTS
from tests.test_virtual_time import DAY, SkippingHarness
from tests.test_virtual_time import virtual as virtual  # noqa: PLC0414 (a fixture)
from workflows.contract import Config
from workflows.temporal.rest import Rest
from workflows.wire import limits

BANANA = "What colour is a banana?"
TASKS = limits.REST_EVENTS // 13 + 1
"""As many as make a run long enough; a task takes up to 13 events."""


async def events_of(session: Session) -> list[Counter["EventType.ValueType"]]:
    """How often each type of event is in each run of the session, newest first."""
    runs = [run.run_id async for run in session.temporal.list_workflows(f"WorkflowId = '{session.id}'")]
    handles = [session.temporal.get_workflow_handle(session.id, run_id=run_id) for run_id in runs]
    return [Counter([event.event_type async for event in handle.fetch_history_events()]) for handle in handles]


async def talked(session: Session, tasks: int, first: int = 0) -> None:
    for number in range(first, first + tasks):
        await ask(session, BANANA, task_id=f"task-{number}")


async def test_a_session_that_rests_is_handed_over_and_knows_all_it_knew(virtual: SkippingHarness) -> None:
    """At its second rest, too: how old a session is makes no difference."""
    with virtual.skipper.with_time_skipping_disabled():
        session = await virtual.open(Config(idle_timeout=30 * DAY))
        await talked(session, 5)
    assert await virtual.pass_days(session.id, 1 / 24)
    assert 0 == await hand_overs(session)  # too short a history for that
    for age in (1, 2):
        with virtual.skipper.with_time_skipping_disabled():
            await talked(session, TASKS, first=5 + (age - 1) * TASKS)
            before = (await session.snapshot(), await session.context(), await session.task("task-0"))
        assert await virtual.pass_days(session.id, 1.5 * limits.REST_SECONDS / DAY)
        async with asyncio.timeout(WAIT):
            while await hand_overs(session) < age:  # noqa: ASYNC110 (the server has no event for it)
                await asyncio.sleep(0.05)
        assert age == await hand_overs(session)
        await snapshot_when(session, lambda s: s.status == "idle")  # its new run may not have begun
        after = (await session.snapshot(), await session.context(), await session.task("task-0"))
        assert timeless(*before) == timeless(*after)
    newest, *older = await events_of(session)
    assert newest.total() < 25
    assert sum(run.total() for run in (newest, *older)) <= 14 * (2 * TASKS + 5) + 60
    assert "completed" == (await run_task(session, BANANA)).status
    assert await virtual.pass_days(session.id, 29)
    assert "idle" == (await session.snapshot()).status
    await virtual.pass_days(session.id, 2)
    assert "closed" == (await session.finished(WAIT)).status


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_a_session_that_is_busy_is_not_handed_over_for_its_rest_and_has_a_timer_or_two(
    temporal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = Harness(temporal)
    with monkeypatch.context() as shorter:
        shorter.setattr(limits, "REST_EVENTS", 30)
        shorter.setattr(limits, "REST_SECONDS", 1.0)
        async with harness.worker():
            session = await harness.open(Config(default_kind="Slow"))
            for number in range(10):
                await ask(session, {"seconds": 0.2, "set": {"n": number}})
            counts = await events_of(session)
        await harness.replay_all()
    timers = sum(run[EventType.EVENT_TYPE_TIMER_STARTED] for run in counts)
    assert 1 <= timers <= 5  # after one second, two, four ...: not one a task


@pytest.mark.rare
@pytest.mark.not_on_test_server(NO_LISTS)
async def test_a_message_that_comes_with_a_hand_over_at_rest_is_served(
    temporal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent in the second in which the timer rings, in steps: before it, in the workflow task that hands over, after."""
    harness = Harness(temporal)

    async def one(lead: float) -> tuple[int, str]:
        session = await harness.open()
        await talked(session, 4)
        await asyncio.sleep(lead)
        answer = await ask(session, "What did I ask first?")
        async with asyncio.timeout(WAIT):
            while not await hand_overs(session):  # noqa: ASYNC110 (the server has no event)
                await asyncio.sleep(0.1)
        return (await session.snapshot()).counters.completed, answer

    with monkeypatch.context() as shorter:
        shorter.setattr(limits, "REST_EVENTS", 45)
        shorter.setattr(limits, "REST_SECONDS", 0.5)
        async with harness.worker():
            found = await asyncio.gather(*(one(0.3 + 0.05 * step) for step in range(24)))
        await harness.replay_all()
    assert {5} == {completed for completed, _ in found}
    assert all(BANANA in answer for _, answer in found)


def _as_before_it_was_sooner(rest: Rest) -> bool:
    long = workflow.info().get_current_history_length() >= limits.GUARDED_REST_EVENTS
    return long and workflow.patched("hand-over-at-rest")


def _never(*_: object) -> None:
    """When a rest was no reason."""


@pytest.mark.parametrize(
    ("method", "of_before", "tasks", "marks"),
    [
        pytest.param("next_look", _never, 5, [], id="never"),
        pytest.param(
            "_long",
            _as_before_it_was_sooner,
            3,
            ["hand-over-at-rest"],
            id="later, not yet long enough",
            marks=pytest.mark.rare,
        ),
        pytest.param("_long", _as_before_it_was_sooner, 5, ["hand-over-at-rest"], id="later, long enough"),
    ],
)
@pytest.mark.not_on_test_server(NO_LISTS)
async def test_a_run_of_before_replays_and_is_handed_over_for_its_rest_as_it_was_then(
    temporal: Client,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    of_before: Callable[..., object],
    tasks: int,
    marks: list[str],
) -> None:
    harness = Harness(temporal)
    for name, value in {"REST_EVENTS": 30, "GUARDED_REST_EVENTS": 60, "REST_SECONDS": 1.0}.items():
        monkeypatch.setattr(limits, name, value)
    with monkeypatch.context() as before:
        before.setattr(Rest, method, of_before)
        async with harness.worker():
            session = await harness.open()
            await talked(session, tasks)
    async with harness.worker(max_cached_workflows=0):
        await talked(session, 2, first=tasks)
        async with asyncio.timeout(WAIT):
            while marks and not await hand_overs(session):  # noqa: ASYNC110 (the server has no event for it)
                await asyncio.sleep(0.1)
        *_, first = await events_of(session)
        assert (bool(marks), marks) == (EventType.EVENT_TYPE_TIMER_STARTED in first, await _marks(session))
        assert 0 == await hand_overs(session) or marks
    await harness.replay_all()


async def _marks(session: Session) -> list[str]:
    """The guards of which its first run has a mark."""
    first = (await session.temporal.get_workflow_handle(session.id).describe()).raw_description
    run_id = first.workflow_execution_info.first_run_id
    history = await session.temporal.get_workflow_handle(session.id, run_id=run_id).fetch_history()
    details = [event.marker_recorded_event_attributes.details for event in history.events]
    return [json.loads(found["patch-data"].payloads[0].data)["id"] for found in details if found]
