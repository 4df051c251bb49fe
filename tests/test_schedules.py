"""Schedules: a task at each of their times, once, whatever is retried; and how they end with their session."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, ScheduleBackfill, ScheduleOverlapPolicy, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

import worker as composition
from activities import scheduled_tasks
from activities.scheduled_tasks import Submission
from starter.client import Session, SessionClient
from starter.client.calls import NoWorkerError
from starter.client.connection import connect
from starter.client.schedules import ScheduledTime, ScheduleView, SessionSchedule, schedule_names
from tests.conformance.caller import SLOWNESS, until
from tests.harness import WAIT, Harness, snapshot_when
from tests.servers import own_server
from tests.test_crashes import WorkerProcess, stopping
from workflows.contract import Config, ScheduledTaskStart, SubmitResult, TaskRecord, scheduled_task_id
from workflows.wire import limits
from workflows.wire.errors import SessionError
from workflows.wire.scheduling import scheduled_request

pytestmark = pytest.mark.not_on_test_server("it has no schedules (UNIMPLEMENTED)")

DAILY = "0 9 * * MON-FRI"
BANANA = "What colour is a banana?"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def start(**fields: Any) -> ScheduledTaskStart:
    return ScheduledTaskStart.model_validate({"session_id": "s", "schedule": "daily", "request": {"input": 1}} | fields)


def test_a_task_is_named_after_its_schedule_and_the_nominal_time() -> None:
    berlin = datetime.fromisoformat("2026-01-31T10:00:00+01:00")
    assert "daily-20260131T090000Z" == scheduled_task_id("daily", berlin)
    longest = "x" * limits.SCHEDULE_NAME_CHARS
    assert limits.ID_CHARS == len(scheduled_request(start(schedule=longest), NOON).task_id)
    with pytest.raises(ValueError, match="schedule"):
        start(schedule=f"{longest}x")


@pytest.mark.parametrize(
    ("error", "request_", "nominal"),
    [
        ("InvalidRequest: request: a schedule makes up the task_id", {"input": 1, "task_id": "t"}, NOON),
        ("InvalidRequest: knd: ", {"input": 1, "knd": "Show"}, NOON),
        ("InvalidRequest: input: ", {}, NOON),
        ("InputTooLarge: ", {"input": "x" * limits.INPUT_BYTES}, NOON),
        ("InvalidRequest: no schedule has started this", {"input": 1}, None),
    ],
)
def test_what_no_session_would_take_is_refused_by_name(error: str, request_: dict[str, Any], nominal: Any) -> None:
    with pytest.raises(SessionError, match=f"^{error}"):
        scheduled_request(start(request=request_), nominal)


async def backfilled(schedule: SessionSchedule, since: datetime, until: datetime, temporal: Client) -> None:
    """Start the times from `since` to `until` now, as an operator would."""
    backfill = ScheduleBackfill(start_at=since, end_at=until, overlap=ScheduleOverlapPolicy.ALLOW_ALL)
    await temporal.get_schedule_handle(f"{schedule.session_id}/{schedule.name}").backfill(backfill)


async def taken(session: Session, task_id: str) -> TaskRecord:
    """The final record of a task that a schedule is about to submit."""
    await until(lambda: session.task(task_id), lambda record: record is not None)
    return await session.result(task_id, WAIT)


async def ended(schedule: SessionSchedule) -> ScheduledTime:
    """The last time of the schedule, once it has been submitted or refused."""
    view: ScheduleView = await until(schedule.shown, lambda v: v.last is not None and v.last.status != "submitting")
    assert view.last
    return view.last


async def is_gone(schedule: SessionSchedule) -> bool:
    """Whether there is no such schedule."""
    try:
        await schedule.shown()
    except SessionError as error:
        return error.type == "UnknownSchedule"
    return False


async def test_each_nominal_time_is_one_task_be_it_backfilled_or_triggered(harness: Harness) -> None:
    session = await harness.open(Config(default_kind="Show"))
    elsewhere = SessionClient(harness.temporal, "nobody-polls-this")  # the session's own queue counts
    schedule = await elsewhere.get(session.id).schedule(
        "0 12 * * *", {"ask": BANANA}, name="daily", labels={"by": "schedule"}
    )
    for _ in range(2):
        await backfilled(schedule, NOON, NOON + timedelta(days=1), harness.temporal)
        await taken(session, "daily-20260201T120000Z")  # a server that has two such wishes at once forgets the first
    assert "daily-20260131T130000Z" == await schedule.trigger(NOON + timedelta(hours=1))
    ids = ["daily-20260131T120000Z", "daily-20260201T120000Z", "daily-20260131T130000Z"]
    records = [await taken(session, task_id) for task_id in ids]
    assert [("completed", {"by": "schedule"})] * 3 == [(record.status, record.labels) for record in records]
    counters = (await session.snapshot()).counters
    assert (3, 0) == (counters.submitted, counters.rejected)


async def test_what_is_added_is_shown_and_listed_and_nothing_of_others(harness: Harness) -> None:
    session = await harness.open()
    other = await harness.client.open(session.id.upper())  # which some databases take for the same
    options: dict[str, Any] = {"kind": "Show", "timeout": 9.0}
    news = await session.schedule(DAILY, "What is new?", name="news", time_zone="Europe/Berlin", **options)
    made_up = await session.schedule("@every 90m", 1, overlap="buffer_one", catch_up=60.0)
    await other.schedule(DAILY, "x", name="news")
    view = await news.shown()
    assert (session.id, "news", DAILY, "Europe/Berlin") == (view.session_id, view.schedule, view.cron, view.time_zone)
    assert ("skip", 86_400.0, False, None, None) == (view.overlap, view.catch_up, view.paused, view.open, view.last)
    assert {"input": "What is new?", "labels": {}} | options == view.request
    local = [time.astimezone(ZoneInfo("Europe/Berlin")) for time in view.next_times]
    assert {(9, True)} == {(time.hour, time.weekday() < 5) for time in local}
    found = await until(session.schedules, lambda found: len(found) == 2)  # the server's list is a moment late
    assert [("news", "skip", 86_400.0), (made_up.name, "buffer_one", 60.0)] == [
        (each.schedule, each.overlap, each.catch_up) for each in found
    ]
    assert made_up.name.startswith("schedule-")
    assert {"news", made_up.name} == await schedule_names(harness.temporal, session.id)


async def test_the_same_again_is_the_same_schedule_and_another_body_a_conflict(elsewhere: Harness) -> None:
    session = await elsewhere.open()
    terms: dict[str, Any] = {"name": "news", "time_zone": "Europe/Berlin", "open": Config(title="T")}
    first = await session.schedule(DAILY, {"b": 1, "a": [2]}, **terms)
    await first.pause("holidays")
    again = await session.schedule(DAILY, {"a": [2], "b": 1}, **terms)
    assert (True, "holidays") == ((await again.shown()).paused, (await again.shown()).note)
    other: list[dict[str, Any]] = [{"time_zone": "UTC"}, {"open": None}, {"overlap": "allow_all"}, {"catch_up": 60.0}]
    for changed in (*other, {"kind": "Show"}):
        with pytest.raises(SessionError, match=r"^ScheduleConflict: .* has another schedule 'news'"):
            await session.schedule(DAILY, {"b": 1, "a": [2]}, **terms | changed)
    for cron, task_input in (("0 8 * * *", {"b": 1, "a": [2]}), (DAILY, {"b": 1})):
        with pytest.raises(SessionError, match=r"^ScheduleConflict: "):
            await session.schedule(cron, task_input, **terms)
    nameless = [await session.schedule(DAILY, 1), await session.schedule(DAILY, 1), await session.schedule(DAILY, 2)]
    assert 2 == len({schedule.name for schedule in nameless})


@pytest.mark.parametrize(
    ("error", "cron", "options"),
    [
        ("InvalidRequest: cron: CronString does not have 5-7 fields", "nonsense", {}),
        ("InvalidRequest: cron: Minute is not in range", "61 * * * *", {}),
        ("InvalidRequest: cron: '0 0 30 2 \\*' never comes", "0 0 30 2 *", {}),
        ("InvalidRequest: time_zone: unknown time zone Mars/Base", DAILY, {"time_zone": "Mars/Base"}),
        ("InvalidRequest: catch_up: ", DAILY, {"catch_up": 1.0}),
        ("InvalidRequest: overlap: ", DAILY, {"overlap": "cancel_other"}),
        ("InvalidRequest: schedule: ", DAILY, {"name": "a/b"}),
        ("InvalidRequest: schedule: ", DAILY, {"name": "x" * 112}),
        ("InvalidRequest: open.onwer: ", DAILY, {"open": {"onwer": "ada"}}),
        ("InvalidRequest: expires_at: a task that is repeated", DAILY, {"expires_at": "2026-01-31T09:00:00Z"}),
        ("InvalidRequest: not_before: a task that is repeated", DAILY, {"not_before": "2026-01-31T09:00:00Z"}),
        ("InvalidRequest: knd: ", DAILY, {"knd": "Show"}),
        ("InputTooLarge: ", DAILY, {"task_input": "x" * limits.INPUT_BYTES}),
    ],
)
async def test_what_does_not_fit_is_refused_by_name_and_leaves_nothing(
    elsewhere: Harness, error: str, cron: str, options: dict[str, Any]
) -> None:
    session = await elsewhere.open()
    given: dict[str, Any] = {"name": "bad", "task_input": 1} | options
    with pytest.raises(SessionError, match=f"^{error}"):
        await session.schedule(cron, **given)
    assert given["name"] != "bad" or await is_gone(session.scheduled("bad"))


async def test_a_schedule_or_session_that_is_not_there_has_a_named_error(elsewhere: Harness) -> None:
    session = await elsewhere.open()
    never = session.scheduled("never")
    deleted = await session.schedule(DAILY, 1, name="deleted")
    await deleted.delete()
    for schedule in (never, deleted):
        for call in (schedule.shown(), schedule.pause(), schedule.resume(), schedule.trigger(), schedule.delete()):
            with pytest.raises(SessionError, match=r"^UnknownSchedule: "):
                await call
    with pytest.raises(SessionError, match=r"^InvalidRequest: at: "):
        await never.trigger(NOON.replace(tzinfo=None))
    nowhere = elsewhere.client.get(f"nowhere-{uuid.uuid4().hex[:8]}")
    with pytest.raises(SessionError, match=r"^SessionNotFound: "):
        await nowhere.schedule(DAILY, 1)
    await elsewhere.temporal.get_workflow_handle(session.id).terminate()
    with pytest.raises(SessionError, match=r"^SessionClosed: "):
        await session.schedule(DAILY, 1, open={})


async def test_a_paused_schedule_lets_its_times_pass_and_is_triggered_all_the_same(harness: Harness) -> None:
    session = await harness.open(Config(default_kind="Show"))
    schedule = await session.schedule("@every 1s", 1, name="s")
    await schedule.pause()
    before = await schedule.shown()
    task_id = await schedule.trigger(NOON)
    assert ("s-20260131T120000Z", "completed") == (task_id, (await taken(session, task_id)).status)
    assert before.started + 1 == (await schedule.shown()).started
    await schedule.resume()
    await until(schedule.shown, lambda view: view.started > before.started + 1)
    await schedule.delete()


async def test_what_is_wished_at_the_same_time_all_comes_true(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server itself forgets all but the last of what reaches a schedule within milliseconds."""
    monkeypatch.setattr("starter.client.schedules.PATCH_SECONDS", 0.5 * SLOWNESS)
    session = await harness.open(Config(default_kind="Show"))
    schedule = await session.schedule(DAILY, 1, name="s")
    moments = [NOON + timedelta(seconds=seconds) for seconds in range(4)]
    *ids, _ = await asyncio.gather(*map(schedule.trigger, moments), schedule.pause("holidays"))
    assert ["completed"] * 4 == [(await taken(session, str(task_id))).status for task_id in ids]
    assert (True, "holidays") == ((view := await schedule.shown()).paused, view.note)
    assert 4 == (await session.snapshot()).counters.submitted


@asynccontextmanager
async def other_submission(harness: Harness, monkeypatch: pytest.MonkeyPatch, submit: Any) -> AsyncIterator[None]:
    """A worker whose activity of that name is `submit`."""
    with monkeypatch.context() as patched:
        patched.setattr(composition, "submit_scheduled", activity.defn(name="submit_scheduled")(submit))
        async with harness.worker():
            yield


@pytest.mark.parametrize("failure", [pytest.param(ConnectionError, marks=pytest.mark.rare), TypeError])
async def test_an_attempt_that_dies_behind_its_submission_is_one_task(
    temporal: Client, monkeypatch: pytest.MonkeyPatch, failure: type[Exception]
) -> None:
    """Also by a mistake in its code, over which no time is lost."""
    harness, answers = Harness(temporal), list[SubmitResult]()

    async def dies_once(submission: Submission) -> SubmitResult:
        answers.append(await scheduled_tasks.submit_scheduled(submission))
        if len(answers) == 1:
            raise failure
        return answers[-1]

    async with other_submission(harness, monkeypatch, dies_once):
        session = await harness.open(Config(default_kind="Show"))
        schedule = await session.schedule(DAILY, 1, name="s", on_busy="reject")
        record = await taken(session, await schedule.trigger(NOON))
        assert ("submitted", "s-20260131T120000Z") == ((last := await ended(schedule)).status, last.task_id)
        counters = (await session.snapshot()).counters
    assert (2, "completed", 1, 0) == (len(answers), record.status, counters.submitted, counters.rejected)
    await harness.replay_all()


@pytest.mark.rare
async def test_each_time_is_one_task_though_worker_and_server_are_killed_again_and_again(tmp_path: Path) -> None:
    """A time each second; those that pass without a server are made up for when it is back."""
    server = own_server(database=tmp_path / "temporal.db")
    worker = WorkerProcess(server.address, "sessions")
    with stopping(worker, server):
        await server.start()
        session = await SessionClient(await connect(server.address), "sessions").open("s")
        schedule = await session.schedule("@every 1s", BANANA, name="often", overlap="allow_all")
        for kill in range(6):
            worker.start()
            await until(partial(_submitted, session, more_than=kill), bool)
            await asyncio.sleep(kill / 7)  # at another moment of a second each time
            worker.kill()
            if kill % 3 == 1:
                server.kill()
                await asyncio.sleep(1.0)
                await server.start()
        await schedule.pause()
        worker.start()
        started = (await schedule.shown()).started
        found = await snapshot_when(session, lambda s: s.counters.completed == started)
        runs = session.temporal.list_workflows("WorkflowType = 'ScheduledTask'")
        times = [datetime.fromisoformat(run.id.removeprefix("s/often-")) async for run in runs]
    assert started >= 10
    assert started == len(times)
    assert sorted(scheduled_task_id("often", time) for time in times) == sorted(r.task_id for r in found.recent)
    assert 1 + (max(times) - min(times)).seconds == started
    assert 0 == found.counters.rejected


async def _submitted(session: Session, more_than: int) -> bool:
    with contextlib.suppress(NoWorkerError):
        return (await session.snapshot()).counters.submitted > more_than
    return False


async def test_a_session_that_is_not_there_yet_is_opened_once_where_that_is_asked_for(harness: Harness) -> None:
    session = harness.client.get(f"scheduled-{uuid.uuid4().hex[:8]}")
    schedule = await session.schedule(DAILY, 1, name="s", open=Config(title="T", default_kind="Show"))
    ids = [await schedule.trigger(NOON + timedelta(seconds=seconds)) for seconds in range(2)]
    assert ["completed"] * 2 == [(await taken_late(session, task_id)).status for task_id in ids]
    assert ("T", 2) == ((found := await session.snapshot()).config.title, found.counters.submitted)


async def taken_late(session: Session, task_id: str) -> TaskRecord:
    """The same in a session that is about to be opened."""
    await until(lambda: exists(session), bool)
    return await taken(session, task_id)


async def exists(session: Session) -> bool:
    """Whether there is such a session by now."""
    try:
        await session.snapshot()
    except SessionError:
        return False
    return True


async def test_a_refusal_is_told_by_the_schedule_and_the_next_time_is_another_try(harness: Harness) -> None:
    session = await harness.open(Config(default_kind="Show"))
    schedule = await session.schedule(DAILY, 1, name="s", on_busy="reject")
    await session.submit(None, kind="Hang", task_id="busy")
    await snapshot_when(session, lambda s: s.running is not None)
    await schedule.trigger(NOON)
    last = await ended(schedule)
    assert last.error
    assert ("failed", "Busy", NOON) == (last.status, last.error.type, last.nominal_time)
    await session.cancel("busy")
    await session.result("busy", WAIT)
    assert "completed" == (await taken(session, await schedule.trigger(NOON + timedelta(hours=1)))).status
    assert "submitted" == (await ended(schedule)).status


@pytest.mark.parametrize("end", ["closing", *(pytest.param(end, marks=pytest.mark.rare) for end in ("closed", "gone"))])
async def test_a_session_that_is_over_ends_its_schedules(harness: Harness, end: str) -> None:
    session = await harness.open(Config(default_kind="Show"))
    schedule = await session.schedule(DAILY, 1, name="s", open={} if end == "closed" else None)
    other = await session.schedule(DAILY, 2, name="other")
    if end == "closing":
        await session.submit(None, kind="Hang")
        await snapshot_when(session, lambda s: s.running is not None)
        await session.close()
    elif end == "closed":
        await session.close("now")
        await session.finished(WAIT)
    else:  # as beyond the namespace's retention
        await session.close("now")
        await session.finished(WAIT)
        await delete_run(harness.temporal, session.id)
    await schedule.trigger(NOON)
    await until(lambda: is_gone(schedule), bool)
    run = harness.temporal.get_workflow_handle(f"{session.id}/s-2026-01-31T12:00:00Z")
    assert ("SessionNotFound" if end == "gone" else "SessionClosed") == await failed(run)
    assert not await is_gone(other)  # until its own next time
    await other.delete()
    if end == "closing":
        await session.close("now")


async def delete_run(temporal: Client, workflow_id: str) -> None:
    """Take an execution off the server, and wait until it is gone."""
    run = WorkflowExecution(workflow_id=workflow_id)
    request = DeleteWorkflowExecutionRequest(namespace=temporal.namespace, workflow_execution=run)
    await temporal.workflow_service.delete_workflow_execution(request)

    async def found() -> bool:
        try:
            await temporal.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            return error.status != RPCStatusCode.NOT_FOUND
        return True

    await until(found, lambda still: not still)


async def failed(run: WorkflowHandle[Any, Any]) -> str | None:
    """The name under which a workflow fails."""
    with pytest.raises(WorkflowFailureError) as failure:
        await asyncio.wait_for(run.result(), WAIT)
    assert isinstance(failure.value.cause, ApplicationError)
    return failure.value.cause.type


@pytest.mark.parametrize(
    ("overlap", "left_out"), [("skip", True), pytest.param("allow_all", False, marks=pytest.mark.rare)]
)
async def test_times_that_pass_without_a_worker_are_left_out_or_submitted_as_the_schedule_says(
    temporal: Client, overlap: Any, left_out: bool
) -> None:
    harness = Harness(temporal)
    session = await harness.open(Config(default_kind="Show"))
    schedule = await session.schedule("@every 1s", 1, name="s", overlap=overlap)
    view = await until(schedule.shown, lambda view: view.skipped + view.started >= 3)
    await schedule.pause()
    assert (left_out, left_out) == (view.skipped >= 2, view.started == 1)
    await schedule.trigger(NOON)  # waits for no time before it
    started = (await schedule.shown()).started
    assert not left_out or started == 2
    async with harness.worker():
        found = await snapshot_when(session, lambda s: s.counters.completed == started)
        await schedule.delete()
    assert started == len({record.task_id for record in found.recent})
    await harness.replay_all()
