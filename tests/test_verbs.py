"""Every verb of a session on a real server: cancel, pause, context from outside, settings, closes, delays, forks."""

import asyncio
from datetime import UTC, datetime, timedelta
from math import ceil

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from starter.client import Session
from tests.conformance.caller import SLOWNESS
from tests.harness import WAIT, Harness, ask, run_task, snapshot_when
from workflows.contract import Config, task_workflow_id
from workflows.wire.errors import SessionError

BANANA = "What colour is a banana?"


async def _hanging(session: Session, task_id: str = "hangs") -> str:
    """A task that runs until it is made to end."""
    await session.submit(None, kind="Hang", task_id=task_id)
    await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)
    return task_id


async def _ends_as(session: Session, task_id: str) -> tuple[str, str | None, str | None]:
    record = await session.result(task_id, WAIT)
    error = record.error
    return record.status, error.type if error else None, error.message if error else None


async def test_a_waiting_and_a_running_task_are_cancelled_and_the_next_one_runs(harness: Harness) -> None:
    session = await harness.open()
    running = await _hanging(session)
    waiting = await session.submit(BANANA)
    await session.cancel(waiting, "changed my mind")
    await session.cancel(running)
    assert ("cancelled", "TaskCancelled", "changed my mind") == await _ends_as(session, waiting)
    assert ("cancelled", "TaskCancelled", "cancelled on request") == await _ends_as(session, running)
    await session.cancel("never-sent")
    assert "yellow" in await ask(session, BANANA)
    assert ["UnknownTask"] == [entry.error.type for entry in (await session.snapshot()).rejected]


@pytest.mark.rare
async def test_a_cancel_is_carried_out_at_whatever_moment_of_a_start_it_comes(harness: Harness) -> None:
    async def cancelled_after(delay: float) -> str:
        session = await harness.open()
        task_id = await session.submit(None, kind="Hang")
        await asyncio.sleep(delay)
        await session.cancel(task_id)
        return (await session.result(task_id, WAIT)).status

    assert ["cancelled"] * 30 == [await cancelled_after(step / 1000) for step in range(30)]


@pytest.mark.not_on_test_server("it never tells a parent that its child was terminated")
async def test_a_task_that_ignores_its_cancel_is_terminated_after_the_grace(harness: Harness) -> None:
    session = await harness.open(Config(cancel_grace=1.0))
    await session.submit(None, kind="Stubborn", task_id="stubborn")
    await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)
    await session.cancel("stubborn")
    assert "cancelled" == (await session.result("stubborn", WAIT)).status
    child = await harness.temporal.get_workflow_handle(task_workflow_id(session.id, "stubborn")).describe()
    assert WorkflowExecutionStatus.TERMINATED == child.status
    assert "yellow" in await ask(session, BANANA)


@pytest.mark.not_on_test_server("it never tells a parent that its child was terminated")
async def test_a_task_terminated_from_outside_is_noticed(harness: Harness) -> None:
    session = await harness.open()
    task_id = await _hanging(session)
    await harness.temporal.get_workflow_handle(task_workflow_id(session.id, task_id)).terminate("operator")
    assert ("failed", "TaskTerminated") == (await _ends_as(session, task_id))[:2]
    assert "yellow" in await ask(session, BANANA)


@pytest.mark.parametrize(
    ("on_busy", "running", "waiting"),
    [
        ("enqueue", "running", "pending"),
        ("reject", "running", "pending"),
        ("interrupt", "cancelled", "completed"),
        ("replace_pending", "running", "cancelled"),
    ],
)
async def test_a_task_that_comes_while_one_runs(harness: Harness, on_busy: str, running: str, waiting: str) -> None:
    session = await harness.open()
    hanging = await _hanging(session)
    queued = await session.submit(BANANA)
    late = await session.submit(BANANA, on_busy=on_busy)
    if on_busy == "interrupt":
        await session.result(queued, WAIT)
        order = [turn.task_id for turn in (await session.context()).transcript]
        assert [late, queued] == order
    records = [await session.task(task_id) for task_id in (hanging, queued)]
    assert [running, waiting] == [record and record.status for record in records]
    if on_busy == "reject":
        assert ("rejected", "Busy") == (await _ends_as(session, late))[:2]
    await session.close("now")
    await session.finished(WAIT)


async def test_a_paused_session_takes_tasks_and_starts_none(harness: Harness) -> None:
    session = await harness.open()
    await session.pause()
    task_id = await session.submit(BANANA)
    paused = await snapshot_when(session, lambda s: bool(s.pending))
    assert ("paused", None) == (paused.status, paused.running)
    await session.resume()
    assert "completed" == (await session.result(task_id, WAIT)).status
    await session.configure(on_failure="pause")
    await run_task(session, "named", kind="Raise")
    assert "paused" == (await session.snapshot()).status


async def test_the_context_is_changed_and_rolled_back_from_outside(harness: Harness) -> None:
    session = await harness.open(context={"tea": 1})
    assert 1 == await session.patch_context({"set": {"tea": 2}}, expected_version=0)
    assert 2 == await session.patch_context({"append": {"list": [1]}})
    for late in (session.patch_context({"set": {"tea": 3}}, 0), session.rollback(9)):
        with pytest.raises(SessionError, match=r"ContextConflict|UnknownVersion"):
            await late
    assert 3 == await session.rollback(0)
    view = await session.context()
    assert ({"tea": 1}, ["external", "external", "rollback"]) == (view.values, [entry.by for entry in view.log])
    assert {"tea": 2, "list": [1]} == (await session.context(2)).values


async def test_a_key_changed_while_a_task_runs_is_a_conflict_of_that_task(harness: Harness) -> None:
    session = await harness.open()
    task_id = await session.submit({"seconds": 2 * SLOWNESS, "set": {"tea": "task"}}, kind="Slow")
    await snapshot_when(session, lambda s: s.running is not None)
    await session.patch_context({"set": {"tea": "outside"}})
    record = await session.result(task_id, WAIT)
    assert record.error
    assert ("failed", "ContextConflict", "remembered") == (record.status, record.error.type, record.output)
    assert {"tea": "outside"} == (await session.context()).values


async def test_updates_answer_and_repeat_once_and_leave_nothing_when_refused(harness: Harness) -> None:
    session = await harness.open()
    handle = harness.temporal.get_workflow_handle(session.id)
    await session.pause()
    first = await handle.execute_update("submit_task", {"task_id": "a", "input": BANANA})
    again = await handle.execute_update("submit_task", {"task_id": "a", "input": BANANA})
    second = await handle.execute_update("submit_task", {"task_id": "b", "input": BANANA})
    assert {"task_id": "a", "status": "pending", "position": 0} == first == again
    assert {"task_id": "b", "status": "pending", "position": 1} == second
    patch = {"patch": {"set": {"n": 1}}, "request_id": "r"}
    assert [{"version": 1}] * 2 == [await handle.execute_update("patch_context", patch) for _ in range(2)]
    for name, body, error in (
        ("submit_task", {"task_id": "a", "input": "other"}, "TaskIdConflict"),
        ("submit_task", {"task_id": "c", "input": "x" * 65_536}, "InputTooLarge"),
        ("submit_task", "text", "InvalidRequest"),
        ("patch_context", {"patch": {"set": {"n": "x" * 262_144}}}, "ContextTooLarge"),
        ("rollback_context", {"version": 7}, "UnknownVersion"),
        ("configure", {"max_pending": 0}, "InvalidRequest"),
    ):
        with pytest.raises(WorkflowUpdateFailedError) as refusal:
            await handle.execute_update(name, body)
        assert isinstance(refusal.value.cause, ApplicationError)
        assert (error, True) == (refusal.value.cause.type, refusal.value.cause.non_retryable)
    assert 0 == (await session.snapshot()).counters.rejected


async def test_a_delayed_task_holds_up_nobody_and_runs_when_due(harness: Harness) -> None:
    session = await harness.open()
    soon = datetime.now(UTC) + timedelta(seconds=2 * SLOWNESS)
    delayed = await session.submit(BANANA, task_id="delayed", not_before=soon)
    expired = await session.submit(BANANA, task_id="expired", not_before=soon + timedelta(days=1), expires_at=soon)
    assert "yellow" in await ask(session, BANANA, task_id="quick")
    record = await session.result(delayed, WAIT)
    assert record.started_at
    assert soon <= record.started_at
    assert ["quick", "delayed"] == [turn.task_id for turn in (await session.context()).transcript]
    assert ("expired", "TaskExpired") == (await _ends_as(session, expired))[:2]


@pytest.mark.rare
async def test_an_idle_session_closes_after_its_timeout_and_not_before(harness: Harness) -> None:
    session = await harness.open(Config(idle_timeout=2.0))
    await session.submit(3, kind="Countdown")
    final = await session.finished(WAIT)
    assert ("closed", 1) == (final.status, final.counters.completed)


@pytest.mark.parametrize(
    ("mode", "running", "waiting"),
    [("discard", "completed", "cancelled"), ("now", "cancelled", "cancelled")],
)
async def test_a_close_may_be_escalated_and_takes_no_new_tasks(
    harness: Harness, mode: str, running: str, waiting: str
) -> None:
    session = await harness.open()
    tasks = [await session.submit(ceil(2 * SLOWNESS), kind="Countdown"), await session.submit(BANANA)]
    await snapshot_when(session, lambda s: s.running is not None)
    await session.close("drain")
    late = await session.submit(BANANA)
    await session.close(mode)  # type: ignore[arg-type]
    await session.close("drain")
    await session.finished(WAIT)
    assert [running, waiting] == [(await session.result(task_id, WAIT)).status for task_id in tasks]
    assert ("rejected", "SessionClosed") == (await _ends_as(session, late))[:2]


async def test_temporals_own_cancel_is_a_close_now(harness: Harness) -> None:
    session = await harness.open()
    task_id = await _hanging(session)
    await harness.temporal.get_workflow_handle(session.id).cancel()
    assert "closed" == (await session.finished(WAIT)).status
    assert "cancelled" == (await session.result(task_id, WAIT)).status


async def test_a_fork_begins_with_the_context_of_another_session(harness: Harness) -> None:
    source = await harness.open(context={"tea": 1})
    await ask(source, BANANA)
    await ask(source, "How big is the sun?")
    await source.close()
    await source.finished(WAIT)
    start = {"context": {"own": True}, "fork_of": {"session_id": source.id, "version": 1}}
    fork_id = f"{source.id}-fork"
    await harness.temporal.start_workflow("Session", start, id=fork_id, task_queue=harness.queue)
    fork = harness.client.get(fork_id)
    assert 'You last asked: "What colour is a banana?"' == await ask(fork, "What did I ask last?")
    view = await fork.context()
    assert ({"tea": 1, "own": True}, [1, 2]) == (view.values, [turn.version for turn in view.transcript])
    lost = await harness.temporal.start_workflow(
        "Session", {"fork_of": {"session_id": "nowhere"}}, id=f"{fork_id}-2", task_queue=harness.queue
    )
    with pytest.raises(WorkflowFailureError) as failure:
        await asyncio.wait_for(lost.result(), WAIT)
    assert isinstance(failure.value.cause, ApplicationError)
    assert "SessionNotFound" == failure.value.cause.type
