"""A Temporal Schedule that starts `ScheduledTask` submits a task for each of its nominal times."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleBackfill,
    ScheduleHandle,
    ScheduleOverlapPolicy,
    ScheduleSpec,
    WorkflowHandle,
)
from temporalio.service import RPCError, RPCStatusCode

from tests.conformance.caller import Caller, Json, Session, failed, until

pytestmark = pytest.mark.not_on_test_server("it has no schedules (UNIMPLEMENTED)")

NINE = datetime(2026, 1, 31, 9, tzinfo=UTC)


async def scheduled(caller: Caller, session_id: str, **more: Json) -> ScheduleHandle:
    """A schedule of that session, daily at nine."""
    request = {"input": "What is new?", "kind": "Echo", "task_queue": caller.kinds_queue}
    given = {"session_id": session_id, "schedule": "news", "request": request, **more}
    schedule_id = f"{session_id}/news"
    action = ScheduleActionStartWorkflow("ScheduledTask", given, id=schedule_id, task_queue=caller.sessions_queue)
    return await caller.client.create_schedule(
        schedule_id, Schedule(action=action, spec=ScheduleSpec(cron_expressions=["0 9 * * *"]))
    )


async def at_nine(schedule: ScheduleHandle) -> None:
    """Let it do now what it does at that time."""
    overlap = ScheduleOverlapPolicy.ALLOW_ALL
    await schedule.backfill(ScheduleBackfill(start_at=NINE, end_at=NINE, overlap=overlap))


async def test_a_schedule_submits_one_task_for_each_nominal_time_and_opens_its_session(caller: Caller) -> None:
    session_id = f"conformance-{uuid.uuid4().hex[:12]}"
    schedule = await scheduled(caller, session_id, open={"title": "News"})
    for _ in range(2):
        await at_nine(schedule)
    run = caller.client.get_workflow_handle(f"{session_id}/news-2026-01-31T09:00:00Z")
    answer = await until(lambda: _result(run), lambda found: found is not None)
    assert {"task_id", "status", "position"} == answer.keys()
    assert "news-20260131T090000Z" == answer["task_id"]
    session = Session(caller.client.get_workflow_handle(session_id), caller.client, caller.kinds_queue)
    record = await session.ended("news-20260131T090000Z")
    assert ("completed", "What is new?") == (record["status"], record["output"])
    await at_nine(schedule)
    found = await session.snapshot()
    assert ("News", 1, 0) == (found["config"]["title"], found["counters"]["submitted"], found["counters"]["rejected"])
    await schedule.delete()


async def test_a_schedule_ends_with_its_session(caller: Caller) -> None:
    session = await caller.open()
    schedule = await scheduled(caller, session.id)
    await session.signal("close")
    await session.result()
    await at_nine(schedule)
    await until(lambda: _exists(schedule), lambda there: not there)
    run = caller.client.get_workflow_handle(f"{session.id}/news-2026-01-31T09:00:00Z")
    assert "SessionClosed" == await failed(Session(run, caller.client, caller.kinds_queue))


async def test_a_scheduled_task_that_does_not_fit_fails_by_name(caller: Caller) -> None:
    session = await caller.open()
    fits = {"session_id": session.id, "schedule": "news", "request": {"input": 1}}
    # The first was started by no schedule, and is for no nominal time.
    for number, given in enumerate([fits, fits | {"request": {"input": 1, "task_id": "t"}}, fits | {"x": 1}, 1]):
        run = await caller.client.start_workflow(
            "ScheduledTask", given, id=f"{session.id}-{number}", task_queue=caller.sessions_queue
        )
        assert "InvalidRequest" == await failed(Session(run, caller.client, caller.kinds_queue))
    assert 0 == (await session.snapshot())["counters"]["submitted"]


async def _result(run: WorkflowHandle[Any, Any]) -> Json | None:
    try:
        return dict(await run.result())
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return None  # not started yet


async def _exists(schedule: ScheduleHandle) -> bool:
    try:
        await schedule.describe()
    except RPCError as error:
        return error.status != RPCStatusCode.NOT_FOUND
    return True
