"""Old turns leave a session: by a task of its own, by any task's patch, and by one from outside."""

from typing import Any

import pytest

from tests.conformance.caller import Caller, Json, Session, outcome, refused


async def compacted(caller: Caller, kind: str, **config: Any) -> Session:
    """A session that has its turns folded by tasks of that kind, once there are more than three."""
    compact = {"kind": kind, "turns": 3}
    return await caller.start({"config": {"compact": compact, "queues": {kind: caller.kinds_queue}, **config}})


async def talk(session: Session, turns: int) -> None:
    for _ in range(turns):
        assert "completed" == (await session.run("Echo", "tea"))["status"]


async def versions(session: Session) -> list[int]:
    return [turn["version"] for turn in (await session.context())["transcript"]]


async def last_entry(session: Session) -> tuple[int, str, list[str]]:
    entry: Json = (await session.context())["log"][-1]
    return entry["version"], entry["by"], entry["changed"]


async def test_over_its_bound_a_session_has_its_oldest_turns_folded_by_a_task_that_leaves_no_turn(
    caller: Caller,
) -> None:
    session = await compacted(caller, "Fold", transcript=1, read="none")
    await talk(session, 4)
    record = await session.ended("compact-4")
    assert ("completed", "Fold", 4, 5) == (record["status"], record["kind"], *record["context_version"].values())
    assert {"turns": 4, "values": {}} == record["output"]
    through = (await session.values())["folded"]
    assert 1 <= through < 4
    assert list(range(through + 1, 5)) == await versions(session)
    assert (5, "compact-4", ["folded"]) == await last_entry(session)
    assert 5 == (await session.snapshot())["counters"]["submitted"]


async def test_a_rollback_to_before_a_compaction_brings_the_turns_back(caller: Caller) -> None:
    session = await compacted(caller, "Fold")
    await talk(session, 4)
    await session.ended("compact-4")
    assert {"version": 6} == await session.update("rollback_context", {"version": 4})
    assert ([1, 2, 3, 4], {}) == (await versions(session), await session.values())


@pytest.mark.parametrize(("kind", "error"), [("Echo", "InvalidOutput"), ("Gone", "UnknownKind")])
async def test_where_a_compaction_fails_the_oldest_turns_leave_and_the_log_names_it(
    caller: Caller, kind: str, error: str
) -> None:
    queues = {} if kind == "Gone" else {kind: caller.kinds_queue}
    session = await compacted(caller, kind, queues=queues, on_failure="pause")
    await talk(session, 4)
    record = await session.ended("compact-4")
    assert ("failed", error, None) == (*outcome(record), record["context_version"]["after"])
    left = await versions(session)
    assert [] != left == list(range(5 - len(left), 5))
    assert len(left) < 4
    assert (5, "compact-4", []) == await last_entry(session)
    await talk(session, 1)


def _runs(snapshot: Json, task_id: str) -> bool:
    """Whether it is the running task, and its workflow is there."""
    running = snapshot["running"]
    return bool(running and running["task_id"] == task_id and running["run_id"])


async def test_what_waits_goes_before_a_compaction_until_the_bound_is_passed_by_half(caller: Caller) -> None:
    session = await compacted(caller, "Fold")
    gates = [await session.begun("Gate", {"output": 0})]
    gates += [await session.submit("Gate", {"output": 0}) for _ in range(5)]
    for number, gate in enumerate(gates):
        await session.snapshot_when(lambda s, gate=gate: _runs(s, gate))  # type: ignore[misc]
        seen = [record["task_id"] for record in (await session.snapshot())["recent"]]
        assert (number, number == 5) == (number, "compact-5" in seen)
        await session.go(gate)
    await session.ended(gates[-1])


async def test_any_task_that_may_write_takes_turns_out_up_to_the_version_it_saw_and_keeps_its_own(
    caller: Caller,
) -> None:
    session = await caller.start()
    await talk(session, 3)
    beyond = {"output": 0, "patch": {"set": {"tea": 1}, "compact": {"through": 4}}}
    assert ("failed", "InvalidOutput") == outcome(await session.run("Return", beyond))
    assert [1, 2, 3] == await versions(session)
    record = await session.run("Return", {"output": 0, "patch": {"compact": {"through": 2}}})
    assert ("completed", [3, 4]) == (record["status"], await versions(session))


async def test_a_patch_from_outside_takes_turns_out_up_to_the_present_version(caller: Caller) -> None:
    session = await caller.start()
    await talk(session, 2)
    beyond = {"patch": {"compact": {"through": 3}}}
    assert "InvalidRequest" == await refused(session.update("patch_context", beyond))
    assert {"version": 3} == await session.update("patch_context", {"patch": {"compact": {"through": 1}}})
    assert [2] == await versions(session)


async def test_how_a_session_is_compacted_is_checked_shown_and_switched_off(caller: Caller) -> None:
    session = await caller.start()
    for compact in ({}, {"kind": "Session"}, {"kind": "Fold", "turns": 0}, {"kind": "Fold", "bytes": 1}, "Fold"):
        assert "InvalidRequest" == await refused(session.update("configure", {"compact": compact}))
    shown = (await session.update("configure", {"compact": {"kind": "Fold", "turns": 7}}))["compact"]
    assert {"kind": "Fold", "turns": 7}.items() <= shown.items()
    assert shown == (await session.snapshot())["config"]["compact"]
    assert (await session.update("configure", {"compact": None}))["compact"] is None
