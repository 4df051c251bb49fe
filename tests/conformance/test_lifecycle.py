"""A session from its start to its end: settings, statuses, pauses, the three closes, and what is readable after."""

import asyncio

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from tests.conformance.caller import SLOWNESS, Caller, Json, Session, failed, in_seconds, outcome, refused, timeless

DEFAULTS: Json = {
    "owner": None,
    "title": None,
    "labels": {},
    "default_kind": "Answer",
    "task_timeout": 3600,
    "cancel_grace": 30,
    "max_pending": 1000,
    "idle_timeout": None,
    "on_failure": "continue",
    "read": "all",
    "transcript": 20,
}


@pytest.mark.parametrize("start", [[], [None], [{}], [{"config": {}, "context": {}, "fork_of": None}]], ids=len)
async def test_a_start_needs_no_argument_and_fills_in_the_defaults(caller: Caller, start: list[Json]) -> None:
    snapshot = await (await caller.start(*start)).snapshot()
    assert DEFAULTS.items() <= snapshot["config"].items()
    assert ("idle", 0) == (snapshot["status"], snapshot["context_version"])


async def test_a_start_that_does_not_fit_fails_the_run_as_invalid(caller: Caller) -> None:
    starts: list[list[object]] = [
        ["text"],
        [[]],
        [7],
        [{"surprise": 1}],
        [{"config": {"task_timeout": -1}}],
        [{"config": {"surprise": 1}}],
        [{"config": {"labels": {"a": 1}}}],
        [{"context": []}],
        [{"fork_of": {"session_id": "no id"}}],
        [{"state": {}}],
        [{}, {}],
    ]
    sessions = await asyncio.gather(*(caller.start(*start) for start in starts))
    assert {"InvalidRequest"} == {*(await asyncio.gather(*map(failed, sessions)))}


async def test_configure_changes_what_it_names_and_answers_with_all(caller: Caller) -> None:
    session = await caller.open(title="first", labels={"a": "b"})
    answer = await session.update("configure", {"title": "second", "transcript": 3, "idle_timeout": None})
    assert (DEFAULTS | {"title": "second", "transcript": 3, "labels": {"a": "b"}}).items() <= answer.items()
    assert answer == (await session.snapshot())["config"]
    assert "InvalidRequest" == await refused(session.update("configure", {"max_pending": 1_001}))
    assert "InvalidRequest" == await refused(session.update("configure", {"colour": "red"}))
    assert answer == await session.update("configure", {})


async def test_the_status_is_the_first_that_applies(caller: Caller) -> None:
    session = await caller.start()
    statuses = [(await session.snapshot())["status"]]
    task_id = await session.begun("Gate", {"output": None})
    statuses.append((await session.snapshot())["status"])
    for signal in ("pause", "close"):
        await session.signal(signal)
        statuses.append((await session.snapshot())["status"])
    await session.go(task_id)
    statuses.append((await session.result())["status"])
    assert ["idle", "running", "paused", "draining", "closed"] == statuses


async def test_a_paused_session_accepts_tasks_and_starts_none_until_resumed(caller: Caller) -> None:
    session = await caller.start()
    running = await session.begun("Gate", {"output": "goes on"})
    await session.signal("pause")
    later = await session.submit("Echo", "later")
    await session.go(running)
    assert "goes on" == (await session.ended(running))["output"]
    snapshot = await session.snapshot()
    assert ("paused", None, [later]) == (
        snapshot["status"],
        snapshot["running"],
        [entry["task_id"] for entry in snapshot["pending"]],
    )
    await session.signal("resume")
    assert "later" == (await session.ended(later))["output"]


@pytest.mark.parametrize(("kind", "options"), [("Fail", {}), ("Gate", {"timeout": 0.5})], ids=["fails", "times out"])
async def test_on_failure_pause_pauses_after_a_failure(caller: Caller, kind: str, options: Json) -> None:
    session = await caller.open(on_failure="pause")
    await session.run(kind, "named", **options)
    later = await session.submit("Echo", "later")
    assert ("paused", "pending") == ((await session.snapshot())["status"], (await session.task(later))["status"])
    await session.signal("resume")
    assert "later" == (await session.ended(later))["output"]


async def test_a_spent_budget_pauses_before_the_next_task_until_it_is_raised_and_the_session_resumed(
    caller: Caller,
) -> None:
    session = await caller.open(budget={"tokens": 5})
    assert {"tokens": 5} == (await session.run("Show"))["output"]["budget"]
    await session.run("Return", {"output": 1, "usage": {"tokens": 5, "dollars": 0.5}})
    later = await session.submit("Echo", "later")
    await session.signal("resume")
    held = await session.snapshot_when(lambda s: bool(s["rejected"]))
    assert ("paused", "budget", {"tokens": 5, "dollars": 0.5}) == (held["status"], held["paused_by"], held["usage"])
    assert [("resume", "BudgetSpent")] == await session.refusals()
    await session.update("configure", {"budget": None})
    await session.signal("resume")
    assert "later" == (await session.ended(later))["output"]
    assert (await session.snapshot())["paused_by"] is None


async def closing(caller: Caller) -> tuple[Session, list[str]]:
    """A session in which one task runs, one waits and one is delayed."""
    session = await caller.start()
    running = await session.begun("Gate", {"output": "done"})
    tasks = [running, await session.submit("Echo"), await session.submit("Echo", not_before=in_seconds(1))]
    return session, tasks


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        ([], ["completed", "completed", "completed"]),
        ([{}], ["completed", "completed", "completed"]),
        ([{"mode": "drain", "reason": "tired"}], ["completed", "completed", "completed"]),
        ([{"mode": "discard"}], ["completed", "cancelled", "cancelled"]),
        ([{"mode": "now", "reason": "fire"}], ["cancelled", "cancelled", "cancelled"]),
    ],
    ids=["none", "empty", "drain", "discard", "now"],
)
async def test_a_close_ends_the_session_as_its_mode_says(caller: Caller, body: list[Json], statuses: list[str]) -> None:
    session, tasks = await closing(caller)
    await session.signal("close", *body)
    if statuses[0] == "completed":
        await session.snapshot_when(lambda snapshot: snapshot["status"] == "draining")
        await session.go(tasks[0])
    final = await session.result()
    records = {record["task_id"]: record["status"] for record in final["recent"]}
    assert (statuses, "closed") == ([records[task_id] for task_id in tasks], final["status"])


async def test_a_drain_overrides_a_pause(caller: Caller) -> None:
    session = await caller.start()
    await session.signal("pause")
    task_id = await session.submit("Echo", "drained")
    await session.signal("close")
    await session.result()
    assert "drained" == (await session.task(task_id))["output"]


async def test_a_close_may_be_escalated_but_never_weakened(caller: Caller) -> None:
    session, tasks = await closing(caller)
    await session.signal("close", {"mode": "discard"})
    await session.signal("close", {"mode": "drain"})
    assert "cancelled" == (await session.ended(tasks[1]))["status"]
    await session.signal("close", {"mode": "now"})
    await session.signal("close", {"mode": "discard"})
    await session.result()
    assert "cancelled" == (await session.task(tasks[0]))["status"]


async def test_temporals_own_cancel_of_the_session_is_a_close_now(caller: Caller) -> None:
    session, tasks = await closing(caller)
    await session.handle.cancel()
    final = await session.result()
    assert ("closed", 3) == (final["status"], final["counters"]["cancelled"])
    assert WorkflowExecutionStatus.COMPLETED == (await session.handle.describe()).status
    assert "cancelled" == (await session.task(tasks[0]))["status"]


async def test_a_closing_session_takes_no_new_tasks_and_still_knows_the_old(caller: Caller) -> None:
    session, tasks = await closing(caller)
    await session.signal("close")
    late = await session.submit("Echo")
    assert ("rejected", "SessionClosed") == outcome(await session.ended(late))
    assert "SessionClosed" == await refused(session.update("submit_task", session.request("Echo")))
    known = session.request("Gate", {"output": "done"}, task_id=tasks[0])
    assert "running" == (await session.update("submit_task", known))["status"]


async def test_a_closed_session_stays_readable_and_its_result_is_its_last_snapshot(caller: Caller) -> None:
    session = await caller.open(title="to be closed")
    record = await session.run("Echo", "kept")
    await session.signal("close")
    final = await session.result()
    assert timeless(final) == timeless(await session.snapshot())
    assert timeless(record) == timeless(await session.task(record["task_id"]))
    assert "kept" == record["output"]
    assert 1 == (await session.context())["version"]
    assert ("closed", "to be closed", [], None) == (
        final["status"],
        final["config"]["title"],
        final["pending"],
        final["running"],
    )


async def test_a_message_to_a_closed_session_gets_the_servers_not_found(caller: Caller) -> None:
    session = await caller.start()
    await session.signal("close")
    await session.result()
    for call in (session.signal("submit", session.request("Echo")), session.update("configure", {})):
        with pytest.raises(RPCError) as late:
            await call
        assert RPCStatusCode.NOT_FOUND == late.value.status


async def test_an_idle_session_closes_after_its_timeout_and_activity_starts_it_anew(caller: Caller) -> None:
    session = await caller.open(idle_timeout=2 * SLOWNESS)
    waiting = await session.submit("Echo", not_before=in_seconds(2.5 * SLOWNESS))
    running = await session.begun("Gate", {"output": None}, timeout=3 * SLOWNESS)
    assert ("timed_out", "completed") == (
        (await session.ended(running))["status"],
        (await session.ended(waiting))["status"],
    )
    assert "idle" == (await session.snapshot())["status"]
    final = await session.result()
    assert ("closed", 2) == (final["status"], final["counters"]["submitted"])
