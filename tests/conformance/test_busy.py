"""What waits: `on_busy`, delays, expiry, pause, cancels and the caps of the pending list."""

from datetime import timedelta

import pytest

from tests.conformance.caller import SLOWNESS, Caller, Session, in_seconds, moment, outcome, refused


async def busy(caller: Caller) -> tuple[Session, str, str]:
    """A session in which one task runs and another waits."""
    session = await caller.start()
    return session, await session.begun("Gate", {"output": "done"}), await session.submit("Echo", "waiting")


async def waiting(session: Session) -> list[str]:
    """The ids of what waits, in order."""
    return [entry["task_id"] for entry in (await session.snapshot())["pending"]]


@pytest.mark.parametrize("on_busy", [None, "enqueue"])
async def test_enqueue_which_is_the_default_waits_for_its_turn(caller: Caller, on_busy: str | None) -> None:
    session, running, first = await busy(caller)
    late = await session.submit("Echo", on_busy=on_busy)
    assert [first, late] == await waiting(session)
    await session.go(running)
    records = [await session.ended(task_id) for task_id in (running, first, late)]
    assert ["completed"] * 3 == [record["status"] for record in records]


async def test_reject_is_refused_as_busy_while_one_runs_or_waits_and_accepted_otherwise(caller: Caller) -> None:
    session, running, first = await busy(caller)
    late = await session.submit("Echo", "late", on_busy="reject")
    assert ("rejected", "Busy") == outcome(await session.ended(late))
    assert "Busy" == await refused(session.update("submit_task", session.request("Echo", on_busy="reject")))
    await session.go(running)
    await session.ended(first)
    assert "late" == (await session.run("Echo", "late", on_busy="reject", task_id=late))["output"]


async def test_a_delayed_task_makes_nobody_busy_and_an_eligible_one_does_even_in_a_pause(caller: Caller) -> None:
    session = await caller.start()
    await session.submit("Echo", not_before=in_seconds(3_600))
    assert "at once" == (await session.run("Echo", "at once", on_busy="reject"))["output"]
    await session.signal("pause")
    await session.submit("Echo")
    assert "Busy" == await refused(session.update("submit_task", session.request("Echo", on_busy="reject")))


async def test_interrupt_cancels_the_running_task_and_runs_next(caller: Caller) -> None:
    session, running, first = await busy(caller)
    urgent = await session.submit("Show", on_busy="interrupt", context={"transcript": 5})
    assert ("cancelled", "TaskCancelled") == outcome(await session.ended(running))
    shown = await session.ended(urgent)
    assert [] == shown["output"]["context"]["transcript"]
    assert moment(shown["finished_at"]) <= moment((await session.ended(first))["started_at"])
    assert urgent in (await session.task(running))["error"]["message"]


async def test_replace_pending_ends_what_waits_and_runs_after_the_running_one(caller: Caller) -> None:
    session, running, first = await busy(caller)
    second = await session.submit("Echo", not_before=in_seconds(3_600))
    late = await session.submit("Echo", "late", on_busy="replace_pending")
    for dropped in (first, second):
        record = await session.ended(dropped)
        assert ("cancelled", "TaskCancelled") == outcome(record)
        assert late in record["error"]["message"]
    assert ("running", [late]) == ((await session.task(running))["status"], await waiting(session))
    await session.go(running)
    assert "late" == (await session.ended(late))["output"]


async def test_replace_pending_takes_its_place_whatever_the_cap(caller: Caller) -> None:
    session = await caller.open(max_pending=1)
    await session.signal("pause")
    await session.submit("Echo")
    assert "QueueFull" == await refused(session.update("submit_task", session.request("Echo")))
    await session.update("submit_task", session.request("Echo", task_id="new", on_busy="replace_pending"))
    assert ["new"] == await waiting(session)


async def test_a_delayed_task_holds_up_nobody_and_runs_when_due_in_the_place_it_earned(caller: Caller) -> None:
    session = await caller.start()
    due = in_seconds(1)
    delayed = await session.submit("Echo", not_before=due)
    assert "quick" == (await session.run("Echo", "quick"))["output"]
    running = await session.begun("Gate", {"output": None})
    behind = await session.submit("Echo")
    await session.snapshot_when(lambda _: moment(due) + timedelta(seconds=0.3) < moment(in_seconds(0)))
    await session.go(running)
    records = [await session.ended(task_id) for task_id in (delayed, behind)]
    assert moment(due) <= moment(records[0]["started_at"]) <= moment(records[1]["started_at"])


async def test_a_delay_is_shown_in_the_offset_of_utc_and_a_past_one_is_none(caller: Caller) -> None:
    session = await caller.start()
    await session.submit("Echo", task_id="late", not_before="2099-01-01T01:30:00+01:30")
    (entry,) = (await session.snapshot())["pending"]
    assert ("late", "2099-01-01T00:00:00Z") == (entry["task_id"], entry["not_before"])
    assert "completed" == (await session.run("Echo", not_before="2001-01-01T00:00:00Z"))["status"]


async def test_a_task_that_waits_beyond_expires_at_ends_as_expired(caller: Caller) -> None:
    session, running, _ = await busy(caller)
    expiring = await session.submit("Echo", expires_at=in_seconds(1))
    stale = await session.submit("Echo", expires_at="2001-01-01T00:00:00Z")
    for task_id in (expiring, stale):
        assert ("expired", "TaskExpired") == outcome(await session.ended(task_id))
    assert "running" == (await session.task(running))["status"]
    assert 2 == (await session.snapshot())["counters"]["expired"]


async def test_expires_at_does_not_end_a_task_that_runs(caller: Caller) -> None:
    session = await caller.start()
    await session.snapshot()  # it is there: from here on it takes a task at once
    task_id = await session.begun("Gate", {"output": "in time"}, expires_at=in_seconds(1 * SLOWNESS))
    expired = await session.submit("Echo", expires_at=in_seconds(1.2 * SLOWNESS))
    await session.ended(expired)
    await session.go(task_id)
    assert "in time" == (await session.ended(task_id))["output"]


async def test_a_waiting_task_is_cancelled_with_the_reason_given(caller: Caller) -> None:
    session, running, first = await busy(caller)
    await session.signal("cancel_task", {"task_id": first, "reason": "changed my mind"})
    record = await session.ended(first)
    assert (("cancelled", "TaskCancelled"), "changed my mind") == (outcome(record), record["error"]["message"])
    assert (None, "running") == (record["started_at"], (await session.task(running))["status"])


async def test_cancelling_what_neither_waits_nor_runs_is_kept_as_unknown_task(caller: Caller) -> None:
    session = await caller.start()
    done = await session.run("Echo")
    for task_id in ("never-sent", done["task_id"]):
        await session.signal("cancel_task", {"task_id": task_id})
    assert [("cancel_task", "UnknownTask")] * 2 == await session.refusals()
    assert done == await session.task(done["task_id"])


async def test_a_full_list_refuses_by_number(caller: Caller) -> None:
    session = await caller.open(max_pending=2)
    await session.signal("pause")
    for _ in range(2):
        await session.submit("Echo")
    refused_by_signal = await session.submit("Echo")
    assert ("rejected", "QueueFull") == outcome(await session.ended(refused_by_signal))
    assert "QueueFull" == await refused(session.update("submit_task", session.request("Echo", on_busy="interrupt")))
    assert 2 == len(await waiting(session))


async def test_a_full_list_refuses_by_bytes(caller: Caller) -> None:
    session = await caller.start()
    await session.signal("pause")
    tasks = [await session.submit("Echo", "x" * 64_000) for _ in range(6)]
    assert tasks == await waiting(session)
    assert "QueueFull" == await refused(session.update("submit_task", session.request("Echo", "x" * 64_000)))
    assert 7 == (await session.update("submit_task", session.request("Echo", "small")))["position"] + 1


async def test_position_counts_the_tasks_that_run_before_this_one(caller: Caller) -> None:
    session = await caller.start()
    await session.signal("pause")
    later = session.request("Echo", not_before=in_seconds(3_600))
    answers = [await session.update("submit_task", body) for body in (later, *map(session.request, ["Echo"] * 3))]
    assert [0, 0, 1, 2] == [answer["position"] for answer in answers]
    assert [2, "pending"] == [(await session.task(answers[-1]["task_id"]))[key] for key in ("position", "status")]
    assert {"task_id", "status", "position"} == answers[0].keys()
