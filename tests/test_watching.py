"""Watching on a real server: what is seen of one session, what of all, what it costs, what it sits out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import timedelta
from math import ceil
from pathlib import Path

import pytest

from starter.cli import watched
from starter.cli.output import Part, Table
from starter.client import Session, SessionClient, watching
from starter.client.changes import Change
from starter.client.connection import connect
from starter.client.overview import Overview
from starter.client.watching import Look, SessionWatch, task_progress
from starter.dev_server import DevServer
from tests.conformance.caller import SLOWNESS
from tests.harness import WAIT, Harness, run_task, snapshot_when
from tests.servers import NO_LISTS
from tests.test_crashes import WorkerProcess, stopping
from workflows.contract import Config, TaskRecord, task_workflow_id
from workflows.wire.errors import SessionError

COUNTDOWN = Config(default_kind="Countdown")


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr("starter.client.overview.ROUND_SECONDS", 0.05)


async def _until(looks: AsyncIterator[Look], condition: Callable[[Look], object]) -> list[Look]:
    """The looks up to the first one for which `condition` holds."""
    seen = []
    async with asyncio.timeout(WAIT):
        async for look in looks:
            seen.append(look)
            if condition(look):
                return seen
    raise AssertionError("the watch ended early")


def _ended(looks: list[Look]) -> list[tuple[str, str, object]]:
    return [(task.task_id, task.status, task.output) for look in looks for task in look.ended]


async def test_a_record_that_is_dropped_during_a_look_is_told_with_its_error(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.wire.limits.RECORDS", 1)
    session = await harness.open(COUNTDOWN)
    watch = SessionWatch(session)
    await watch.look()
    await run_task(session, "no number", task_id="failed")
    read = Session.task

    async def late(asked: Session, task_id: str) -> TaskRecord | None:
        if task_id == "failed":
            await run_task(asked, 1, task_id="next")
        return await read(asked, task_id)

    monkeypatch.setattr(Session, "task", late)
    look = await watch.look()
    assert look is not None
    [told] = look.ended
    assert ("failed", "Countdown") == (told.task_id, told.kind)
    assert told.finished_at is not None
    assert told.error is not None


async def test_a_watch_sees_every_task_its_progress_and_the_close(harness: Harness) -> None:
    session = await harness.open(COUNTDOWN)
    await run_task(session, 1, task_id="before")
    looks = SessionWatch(session).looks()
    first = await anext(looks)
    assert [] == first.ended
    await session.submit(seconds := ceil(3 * SLOWNESS), task_id="counted")
    await session.submit("What colour is a banana?", task_id="asked", kind="Answer")
    seen = await _until(looks, lambda look: look.progress)
    assert seen[-1].progress is not None
    assert seconds == seen[-1].progress.total
    await session.submit("no number", task_id="failed")
    await session.close()
    seen += await _until(looks, lambda look: look.snapshot.status == "closed")
    banana = "A ripe banana is yellow."
    expected = [("counted", "completed", 0), ("asked", "completed", banana), ("failed", "failed", None)]
    assert expected == _ended(seen)
    with pytest.raises(StopAsyncIteration):
        await anext(looks)


async def test_a_watch_begins_with_the_latest_ends_where_asked(harness: Harness) -> None:
    session = await harness.open(Config(default_kind="Show"))
    for number in range(3):
        await run_task(session, number, task_id=f"t{number}")
    watch = SessionWatch(session)
    assert [] == await watch.latest(2)
    await watch.look()
    latest = await watch.latest(2)
    assert [("t1", 1), ("t2", 2)] == [(record.task_id, record.output["input"]) for record in latest]


async def test_progress_makes_no_history_event(harness: Harness) -> None:
    session = await harness.open(COUNTDOWN)
    await session.submit(6, task_id="long")
    child = session.temporal.get_workflow_handle(task_workflow_id(session.id, "long"))
    looks = SessionWatch(session).looks()
    await _until(looks, lambda look: look.progress)
    events = (await child.describe()).history_length
    await _until(looks, lambda look: look.progress and look.progress.done > 1)  # the SDK sends a report every 4 s here
    assert events == (await child.describe()).history_length


async def test_a_task_without_progress_or_that_is_gone_has_none(harness: Harness) -> None:
    session = await harness.open(Config(default_kind="Hang"))
    await session.submit(None, task_id="hangs")
    await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)
    assert None is await task_progress(session, "hangs")
    assert None is await task_progress(session, "never-sent")
    await session.close("now")


async def test_a_session_at_rest_is_not_asked_again(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await harness.open()
    await run_task(session, "What colour is a banana?")
    watch = SessionWatch(session)
    await watch.look()
    asked = []
    monkeypatch.setattr(Session, "snapshot", lambda self: asked.append(self.id))
    for _ in range(3):
        await watch.look()
    assert [] == asked


async def test_what_cannot_be_watched_has_a_named_error(harness: Harness) -> None:
    with pytest.raises(SessionError, match="SessionNotFound"):
        await SessionWatch(harness.client.get("never-opened")).look()
    session = await harness.open()
    watch = SessionWatch(session)
    await watch.look()
    await harness.temporal.get_workflow_handle(session.id).terminate("operator")
    with pytest.raises(SessionError, match="SessionClosed"):
        await _until(watch.looks(), lambda _: False)


@pytest.mark.rare
async def test_a_watch_sits_out_a_killed_worker_and_a_killed_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("starter.client.calls.QUERY_TIMEOUT", timedelta(seconds=1))
    monkeypatch.setattr(watching, "READ_TIMEOUT", timedelta(seconds=1))
    server = DevServer(tmp_path / "temporal.db", port=0, ui_port=0, http_port=0)
    worker = WorkerProcess(server.address, "sessions")
    with stopping(worker, server):
        await server.start()
        worker.start()
        session = await SessionClient(await connect(server.address), "sessions").open("watched", COUNTDOWN)
        looks = SessionWatch(session).looks()
        await _until(looks, lambda look: look.snapshot.status == "idle")
        worker.kill()
        await session.submit(3, task_id="counted")
        seen = await _until(looks, lambda look: look.unanswered)
        assert "no worker answers" in str(seen[-1].unanswered)
        worker.start()
        seen += await _until(looks, lambda look: look.progress)
        server.kill()
        seen += await _until(looks, lambda look: look.unanswered)
        assert "server does not answer" in str(seen[-1].unanswered)
        await server.start()
        seen += await _until(looks, lambda look: look.ended)
        assert [("counted", "completed", 0)] == _ended(seen)


def _of(changes: list[Change], session: Session) -> list[tuple[str, str | None, str | None]]:
    return [(c.change, c.status, c.task.status if c.task else None) for c in changes if c.session_id == session.id]


async def _rounds(overview: Overview, condition: Callable[[list[Change]], object]) -> list[Change]:
    """All changes up to the round with which `condition` holds."""
    found: list[Change] = []
    async with asyncio.timeout(WAIT):
        async for changes in overview.rounds():
            found += changes
            if condition(found):
                return found
    raise AssertionError


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_all_sessions_are_watched_by_lists_and_only_busy_ones_are_asked(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("starter.client.overview.ROUND_SECONDS", 0.5)  # there is much to list, for twenty seconds
    at_rest, busy = await harness.open(), await harness.open(COUNTDOWN)
    closed, ended = await harness.open(), await harness.open()
    overview = Overview(harness.client)
    found = await _rounds(overview, lambda _: {at_rest.id, busy.id, closed.id, ended.id} <= set(overview.rows))
    assert [("session", "idle", None)] == _of(found, at_rest)

    await busy.submit(20, task_id="counted")  # rounds are long where many others are open
    await closed.close()
    later = await harness.open()
    await harness.temporal.get_workflow_handle(ended.id).terminate("operator")
    found = await _rounds(overview, lambda seen: ("task", "idle", "completed") in _of(seen, busy))
    found += await _rounds(overview, lambda _: not {closed.id, ended.id} & set(overview.rows))
    assert ("task", "running", "running") in _of(found, busy)
    assert {20} == {change.progress.total for change in found if change.progress and change.session_id == busy.id}
    assert ("session", "idle", None) in _of(found, later)
    assert ("session", "closed", None) == _of(found, closed)[-1]
    assert [("session", "terminated", None)] == _of(found, ended)
    assert [] == _of(found, at_rest)
    assert None is overview.rows[at_rest.id].look


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_no_round_looks_at_more_sessions_than_it_may_and_new_ones_do_not_take_all(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None for silent ones: other tests left them behind.
    for name, value in {"LOOKS": 2, "FIRST_LOOKS": 1, "SILENT_LOOKS": 0}.items():
        monkeypatch.setattr(f"starter.client.overview.{name}", value)
    sessions = [await harness.open(Config(default_kind="Hang")) for _ in range(5)]
    for session in sessions:
        await session.submit(None)
    running = f"WorkflowType = 'Hang' AND TaskQueue = '{harness.queue}' AND ExecutionStatus = 'Running'"
    async with asyncio.timeout(WAIT):
        while len(sessions) > (await harness.temporal.count_workflows(running)).count:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    looked: list[str] = []
    look = SessionWatch.look

    async def counted(watch: SessionWatch, patience: float) -> Look | None:
        looked.append(watch._session.id)
        return await look(watch, patience)

    monkeypatch.setattr(SessionWatch, "look", counted)
    overview = Overview(harness.client)
    rounds = overview.rounds()
    async with asyncio.timeout(WAIT):
        unseen, again = {session.id for session in sessions}, False
        while unseen:
            before = set(looked)
            del looked[:]
            await anext(rounds)
            assert 2 >= len(looked)
            unseen -= {*looked}
            again |= bool(unseen and before & {*looked})
            looked += before
    assert again
    for session in sessions:
        await session.close("now")


def _rows(parts: Iterable[Part]) -> list[Sequence[object]]:
    return [row for part in parts if isinstance(part, Table) for row in part.rows]


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_sessions_that_nobody_serves_keep_no_other_from_its_look(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"LOOKS": 3, "SILENT_LOOKS": 1, "SILENT_PAUSE": 0.0, "PATIENCE": 0.3}.items():
        monkeypatch.setattr(f"starter.client.overview.{name}", value)
    served, left = await harness.open(Config(default_kind="Hang")), Harness(harness.temporal)
    async with left.worker():
        deserted = [await left.open(Config(default_kind="Hang")) for _ in range(4)]
        for session in deserted:
            await session.submit(None)
            await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)
    overview = Overview(harness.client)
    await _rounds(overview, lambda _: all(s.id in overview.rows and overview.rows[s.id].silent for s in deserted))
    await served.submit(None)
    await _rounds(overview, lambda seen: ("task", "running", "running") in _of(seen, served))
    shown = [str(row[0]) for row in _rows(watched.overview(overview, len(overview.rows)))]
    assert shown.index(served.id) < min(shown.index(session.id) for session in deserted)
    await served.close("now")
    for session in deserted:
        await harness.temporal.get_workflow_handle(session.id).terminate("nobody serves it")
