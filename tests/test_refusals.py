"""What the server refuses of a task: it ends by name and at once, and the session goes on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError

from activities.visibility import VisibilityActivities
from starter.client import Session
from starter.serving.refusals import Refusals
from tests.conformance.caller import SLOWNESS
from tests.harness import WAIT, Harness, ask, run_task
from tests.kinds import note_length, raise_named
from tests.servers import own_server
from workflows.contract import Config, TaskRecord
from workflows.wire.errors import SessionError

BANANA = "What colour is a banana?"
AT_ONCE = 15.0 * SLOWNESS
"""Seconds in which such a task ends, of an hour that it may take: the server gives the second attempt ten of them."""

LONG = "x" * 250
"""A name that we take and a server with that setting does not: what no check of ours can know."""

NOT_REFUSED = "it takes names of any length, and results of any size"


@pytest.fixture(scope="module")
async def narrow() -> AsyncIterator[Harness]:
    """A server that takes shorter names than others, and a worker on it."""
    async with Harness.on(own_server({"limit.maxIDLength": 200})) as harness:
        yield harness


def how(record: TaskRecord) -> tuple[str, str | None]:
    return record.status, record.error.type if record.error else None


@pytest.mark.parametrize("queue", ["temporal-sys-per-ns-tq", "temporal-sys-x", "/_sys/x/1"])
async def test_a_task_queue_of_the_servers_own_is_refused_by_name(harness: Harness, queue: str) -> None:
    session = await harness.open()
    kind = "temporal-sys-scheduler-workflow"
    with pytest.raises(SessionError, match=r"^InvalidRequest: task_queue: names that begin with .* the server's own"):
        await session.submit("x", kind=kind, task_queue=queue)
    body = {"task_id": "sys", "input": "x", "kind": kind, "task_queue": queue}
    await harness.temporal.get_workflow_handle(session.id).signal("submit", body)
    assert ("rejected", "InvalidRequest") == how(await session.result("sys", WAIT))
    assert ("failed", "UnknownKind") == how(await run_task(session, "x", kind=kind))
    assert "yellow" in await ask(session, BANANA)


async def test_a_session_is_no_kind_whoever_says_so(harness: Harness) -> None:
    with pytest.raises(SessionError, match=r"^InvalidRequest: config.default_kind: Session is not a kind of task"):
        await harness.open(Config.model_construct(default_kind="Session"))
    session = await harness.open()
    with pytest.raises(SessionError, match=r"^InvalidRequest: default_kind: Session is not a kind of task"):
        await session.configure(default_kind="Session")
    with pytest.raises(SessionError, match=r"^InvalidRequest: kind: Session is not a kind of task"):
        await session.submit(1, kind="Session")


@pytest.mark.parametrize("field", [pytest.param("kind", marks=pytest.mark.rare), "task_queue"])
async def test_a_child_that_the_server_refuses_ends_its_task_and_the_next_one_runs(narrow: Harness, field: str) -> None:
    """Submitted alone, behind another, with others behind it; each time the session goes on."""
    session = await narrow.open()
    options: dict[str, Any] = {field: LONG}
    async with asyncio.timeout(WAIT):
        alone = await run_task(session, 1, **options)
        sent = [await session.submit(BANANA), await session.submit(1, **options), await session.submit(BANANA)]
        behind = [await session.result(task_id, WAIT) for task_id in sent]
    refused = ("failed", "ChildRefused")
    assert [refused, ("completed", None), refused, ("completed", None)] == [how(r) for r in (alone, *behind)]
    assert alone.error
    assert "exceeds limit" in alone.error.message or "exceeds length limit" in alone.error.message
    assert (alone.run_id, alone.context_version.after) == (None, None)


async def test_a_refused_child_is_told_apart_from_a_notification_that_starts_with_it(narrow: Harness) -> None:
    session = await narrow.open(Config.model_validate({"notify": {"url": "https://a.example/", "on": ["task"]}}))
    async with asyncio.timeout(WAIT):
        sent = [await session.submit(BANANA), await session.submit(1, kind=LONG), await session.submit(BANANA)]
        ends = [how(await session.result(task_id, WAIT)) for task_id in sent]
    assert [("completed", None), ("failed", "ChildRefused"), ("completed", None)] == ends
    assert [] == (await session.snapshot()).rejected


async def test_a_refused_child_submitted_by_update_ends_its_task_too(narrow: Harness) -> None:
    """The workflow task fails that took the update: it is told again, behind the signal that says what was refused."""
    session = await narrow.open()
    await ask(session, BANANA)
    handle = narrow.temporal.get_workflow_handle(session.id)
    for task_id in ("first", "second"):
        async with asyncio.timeout(WAIT):
            while True:
                with contextlib.suppress(RPCError):  # its workflow task failed
                    await handle.execute_update("submit_task", {"task_id": task_id, "input": 1, "kind": LONG})
                    break
        assert ("failed", "ChildRefused") == how(await session.result(task_id, WAIT))
    assert "yellow" in await ask(session, BANANA)


async def test_a_session_that_pauses_on_a_failure_pauses_on_a_refusal(narrow: Harness) -> None:
    session = await narrow.open(Config(on_failure="pause"))
    await run_task(session, 1, kind=LONG)
    assert "paused" == (await session.snapshot()).status


@pytest.mark.rare
async def test_a_session_wedged_by_a_worker_that_does_not_look_is_freed_by_a_cancel(
    narrow: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `docs/operations.md` tells an operator to do."""
    monkeypatch.setattr(Refusals, "watched", lambda _self, _info, activate: activate)
    harness = Harness(narrow.temporal)
    async with harness.worker():
        session = await harness.open()
        await session.submit(1, task_id="wedges", kind=LONG)
        await session.submit(BANANA, task_id="behind")
        await _failing(session)
        await session.cancel("wedges", "refused by the server")
        assert ("cancelled", "TaskCancelled") == how(await session.result("wedges", WAIT))
        assert "completed" == (await session.result("behind", WAIT)).status
    await harness.replay_all()


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        *((name, name) for name in ("TypeError", "AttributeError", "NameError", "ModuleNotFoundError")),
        ("", "TypeError"),
    ],
)
async def test_a_programming_error_in_an_activity_of_a_kind_ends_its_task(
    temporal: Client, raised: str, error: str
) -> None:
    harness = Harness(temporal)
    async with harness.worker(activities=[raise_named]):
        session = await harness.open()
        async with asyncio.timeout(AT_ONCE):
            assert ("failed", error) == how(await run_task(session, raised, kind="Mistake"))
        assert "yellow" in await ask(session, BANANA)


@pytest.mark.parametrize("passing", [ConnectionError, ValueError, KeyError])
async def test_what_another_attempt_may_mend_is_tried_again(temporal: Client, passing: type[Exception]) -> None:
    attempts: list[str] = []

    @activity.defn(name="raise_named")
    async def raise_twice(name: str) -> None:
        attempts.append(name)
        if len(attempts) < 3:
            raise passing

    harness = Harness(temporal)
    async with harness.worker(activities=[raise_twice]):
        record = await run_task(await harness.open(), "x", kind="Mistake")
    assert (3, "AssertionError") == (len(attempts), how(record)[1])  # which the kind ends with, once it is through


async def test_a_mistake_in_an_activity_of_the_session_itself_does_not_end_it(
    temporal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands still until the code is mended."""
    attempts = []

    async def mistaken(_self: VisibilityActivities) -> bool:
        attempts.append(1)
        if len(attempts) < 3:
            raise TypeError("on purpose")
        return False

    mistaken.__name__ = "search_attributes_usable"
    monkeypatch.setattr(VisibilityActivities, "search_attributes_usable", activity.defn(mistaken))
    harness = Harness(temporal)
    async with harness.worker():
        session = await harness.open()
        assert "yellow" in await ask(session, BANANA)
    assert 3 == len(attempts)


async def _failing(session: Session) -> None:
    """Wait until a workflow task of the session is tried again."""
    async with asyncio.timeout(WAIT):
        while True:
            described = await session.temporal.get_workflow_handle(session.id).describe()
            if described.raw_description.pending_workflow_task.attempt > 1:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("too_much", "error"),
    [
        ("result", "OutputTooLarge"),
        ("failure", "PayloadsTooLarge"),
        ("argument", "PayloadsTooLarge"),
        pytest.param("activities", "PendingActivitiesLimitExceeded", marks=pytest.mark.rare),
        ("queue", "BadScheduleActivityAttributes"),
        ("signal", "BadSignalWorkflowExecutionAttributes"),
    ],
)
@pytest.mark.not_on_test_server(NOT_REFUSED)
async def test_what_the_server_refuses_of_a_task_ends_it_at_once_by_name(
    temporal: Client, too_much: str, error: str
) -> None:
    harness = Harness(temporal)
    async with harness.worker(activities=[note_length]):
        session = await harness.open()
        async with asyncio.timeout(AT_ONCE):
            record = await run_task(session, too_much, kind="Overdo")
        assert ("failed", error) == how(record)
        assert "yellow" in await ask(session, BANANA)
    await harness.replay_all()
