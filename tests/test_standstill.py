"""Everybody stops, and goes on again: all sessions of an owner, or all there are."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from starter.client import Session, SessionClient
from starter.client.standstill import Told, go, stop
from tests.harness import WAIT, Harness, snapshot_when
from tests.servers import NO_LISTS
from tests.test_cli import Command
from tests.test_cli import run as run  # noqa: PLC0414 (a fixture)
from workflows.contract import Config

pytestmark = pytest.mark.not_on_test_server(NO_LISTS)


async def told(sessions: AsyncIterator[Told]) -> dict[str, Told]:
    return {each.session_id: each async for each in sessions}


async def listed(client: SessionClient, owner: str, count: int, *, paused: int = 0, closed: int = 0) -> None:
    """Wait until the server's list, which is a second behind, has that many."""
    async with asyncio.timeout(WAIT):
        while True:
            found = [listing async for listing in client.list(10_000, owner=owner)]
            ended = sum(each.closed_at is not None for each in found)
            if (count, paused, closed) == (len(found), sum(each.status == "paused" for each in found), ended):
                return
            await asyncio.sleep(0.1)


async def working(harness: Harness, owner: str) -> Session:
    """A session in which a task runs and one waits."""
    session = await harness.open(Config(owner=owner, default_kind="Hang", cancel_grace=0))
    for task_id in ("runs", "waits"):
        await session.submit(task_id, task_id=task_id)
    await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None and bool(s.pending))
    return session


@pytest.fixture
def owner() -> str:
    return f"owner-{uuid.uuid4().hex[:12]}"


async def test_all_sessions_of_an_owner_stop_and_go_on_and_no_others(harness: Harness, owner: str) -> None:
    busy, other = await working(harness, owner), await working(harness, f"{owner}-other")
    idle = await harness.open(Config(owner=owner))
    paused = await harness.open(Config(owner=owner))
    await paused.pause()
    draining = await working(harness, owner)
    await draining.close("drain")
    gone = await harness.open(Config(owner=owner))
    await gone.close()
    await gone.finished(WAIT)
    await listed(harness.client, owner, 5, paused=1, closed=1)

    stopped = await told(stop(harness.client, owner=owner, reason="too dear"))
    assert {busy.id, idle.id} == {each.session_id for each in stopped.values() if each.done}
    assert {busy.id, draining.id} == {each.session_id for each in stopped.values() if each.cancelled == "runs"}
    assert {"it was paused before", "it is closing, and ends with its tasks", None} == {e.why for e in stopped.values()}
    ended = await busy.result("runs", WAIT)
    assert ended.error is not None
    assert ("cancelled", "too dear") == (ended.status, ended.error.message)
    held = await busy.snapshot()
    assert ("paused", "caller", None, ["waits"]) == (
        held.status,
        held.paused_by,
        held.running,
        [entry.task_id for entry in held.pending],
    )
    assert "running" == (await other.snapshot()).status

    resumed = await told(go(harness.client, owner=owner, only={busy.id, idle.id}))
    assert {busy.id, idle.id} == {each.session_id for each in resumed.values() if each.done}
    await snapshot_when(busy, lambda s: s.running is not None and s.running.task_id == "waits")
    assert ["paused", "idle"] == [(await each.snapshot()).status for each in (paused, idle)]
    for session in (busy, other, draining):
        await session.close("now")


async def test_what_a_failure_or_a_budget_has_paused_does_not_go_on(harness: Harness, owner: str) -> None:
    failed = await harness.open(Config(owner=owner, default_kind="Fail", on_failure="pause"))
    await failed.submit(1)
    spent = await harness.open(Config(owner=owner, budget={"tokens": 0}))
    await spent.configure(title="looks")
    by_hand = await harness.open(Config(owner=owner))
    for session in (failed, spent):
        await snapshot_when(session, lambda s: s.status == "paused")
    await listed(harness.client, owner, 3, paused=2)
    await told(stop(harness.client, owner=owner))
    resumed = await told(go(harness.client, owner=owner))
    assert {by_hand.id} == {each.session_id for each in resumed.values() if each.done}
    assert {failed.id: "its failure has paused it", spent.id: "its budget has paused it", by_hand.id: None} == {
        name: each.why for name, each in resumed.items()
    }


@pytest.mark.rare
async def test_a_session_without_a_worker_is_paused_though_it_cannot_say_so(elsewhere: Harness, owner: str) -> None:
    async with elsewhere.worker():
        session = await elsewhere.open(Config(owner=owner))
        await listed(elsewhere.client, owner, 1)
    stopped = await told(stop(elsewhere.client, owner=owner))
    await session.submit("hello", task_id="t")
    assert "no worker answers" in str(stopped[session.id].why)
    assert not stopped[session.id].done
    async with elsewhere.worker():
        held = await snapshot_when(session, lambda s: bool(s.pending))
        assert ("paused", None) == (held.status, held.running)


async def test_the_command_line_stops_and_goes_on(run: Command, harness: Harness, owner: str, tmp_path: Path) -> None:
    busy = await working(harness, owner)
    await listed(harness.client, owner, 1)
    stopped = await run("stop", "--owner", owner, "--reason", "night", "--json")
    assert [{"session_id": busy.id, "done": True, "cancelled": "runs", "why": None}] == json.loads(stopped.out)[
        "sessions"
    ]
    (tmp_path / "stopped.json").write_text(stopped.out)
    assert "paused" in (await run("show", busy.id)).out
    resumed = await run("go", "--owner", owner, "--only", str(tmp_path / "stopped.json"))
    assert (0, "1 sessions resumed\n") == (resumed.code, resumed.out)
    again = await run("go", "--owner", owner)
    assert "0 sessions resumed" in again.out
    assert "it is running" in again.out
    for words in (("stop",), ("stop", busy.id, "--all"), ("go",), ("go", "--all", "--only", "pyproject.toml")):
        assert 2 == (await run(*words)).code, words
    await busy.close("now")


async def test_a_budget_is_given_shown_and_raised_by_the_command_line(
    run: Command, harness: Harness, owner: str
) -> None:
    name = f"budget-{owner}"
    await run("open", name, "--default-kind", "Return", "--budget", "tokens=5")
    await run("submit", name, '{"output": 1, "usage": {"tokens": 6, "dollars": 0.5}}', "--json-input", "--task-id", "t")
    await run("result", name, "t", "--wait", "30")
    shown = (await run("show", name)).out
    assert "paused by its budget" in shown
    assert "tokens 6 of 5, dollars 0.5" in shown
    refused = await run("resume", name)
    assert (5, True) == (refused.code, "BudgetSpent: tokens 6 of 5 used" in refused.err)
    await run("configure", name, 'budget={"tokens": 10}')
    assert f"{name} is idle\n" == (await run("resume", name)).out


@pytest.mark.stress
@pytest.mark.timeout(600)
async def test_a_thousand_sessions_stop_within_a_minute(elsewhere: Harness, owner: str) -> None:
    async with elsewhere.worker():
        await _stop_a_thousand(elsewhere, owner)


async def _stop_a_thousand(harness: Harness, owner: str) -> None:
    room = asyncio.Semaphore(32)

    async def one() -> Session:
        async with room:
            return await harness.open(Config(owner=owner))

    sessions = await asyncio.gather(*(one() for _ in range(1_000)))
    await listed(harness.client, owner, len(sessions))
    started = time.monotonic()
    stopped = await told(stop(harness.client, owner=owner))
    took = time.monotonic() - started
    print(f"\n1,000 sessions stopped in {took:.1f} s")  # noqa: T201 (the figure of docs/performance.md)
    assert len(sessions) == sum(each.done for each in stopped.values())
    assert took < WAIT
