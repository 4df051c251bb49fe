"""A worker that reads a session's history anew must do what the one before it did, and what a later replay will do."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import Client, WorkflowQueryFailedError

from starter.client import Session
from tests.harness import WAIT, Harness, ask, run_task
from tests.servers import NO_NEXT_WORKER

BANANA = "What colour is a banana?"
AT_ONCE = 8
"""Whether the query or the workflow task comes first is the server's choice; some of so many meet the query first."""


async def _asked_without_a_worker(session: Session, due: datetime) -> "asyncio.Task[object]":
    """A query waits for a worker; then a delayed task arrives, and comes due before there is one."""
    query = session.temporal.get_workflow_handle(session.id).query("snapshot", rpc_timeout=timedelta(seconds=WAIT))
    asked = asyncio.create_task(query)
    await asyncio.sleep(0.5)
    await session.submit(BANANA, task_id="delayed", not_before=due)
    return asked


@pytest.mark.rare
@pytest.mark.not_on_test_server("it never answers a query that waited for a worker")
async def test_a_query_does_not_run_ahead_of_the_messages_behind_it(temporal: Client) -> None:
    """The core would have the session act on them under an old time, and replay them under another: stuck for good."""
    harness = Harness(temporal)
    async with harness.worker():
        sessions = [await harness.open() for _ in range(AT_ONCE)]
        await asyncio.gather(*(ask(session, BANANA) for session in sessions))
    due = datetime.now(UTC) + timedelta(seconds=1.5)
    asked = await asyncio.gather(*(_asked_without_a_worker(session, due) for session in sessions))
    await asyncio.sleep((due - datetime.now(UTC)).total_seconds() + 0.5)
    async with harness.worker():
        answers = await asyncio.gather(*asked, return_exceptions=True)
        # The client asks again where a query is refused.
        delayed = await asyncio.gather(*(session.result("delayed", WAIT) for session in sessions))
        assert {"completed"} == {record.status for record in delayed}
    refusals = [answer for answer in answers if isinstance(answer, Exception)]
    assert all(isinstance(refusal, WorkflowQueryFailedError) for refusal in refusals)
    assert all(str(refusal).startswith("NotReady: ") for refusal in refusals)
    async with harness.worker(max_cached_workflows=0):
        later = await asyncio.gather(*(run_task(session, BANANA) for session in sessions))
    assert {"completed"} == {record.status for record in later}
    await harness.replay_all()


@pytest.mark.not_on_test_server(NO_NEXT_WORKER)
async def test_an_update_after_a_restart_does_not_go_before_the_end_of_a_task(temporal: Client) -> None:
    """The core would put it into the activation of that end, before it: the task would conflict with a later patch."""
    harness = Harness(temporal)
    async with harness.worker():
        session = await harness.open()
        done = await run_task(session, {"set": {"tea": "of the task"}}, kind="Remember")
    async with harness.worker():
        assert 2 == await session.patch_context({"set": {"tea": "of a person"}})
        record = await session.task(done.task_id)
        assert record
        assert ("completed", done.context_version) == (record.status, record.context_version)
    assert "completed" == done.status
    await harness.replay_all()


@pytest.mark.not_on_test_server(NO_NEXT_WORKER)
async def test_a_session_at_rest_is_not_busy_after_a_restart(temporal: Client) -> None:
    harness = Harness(temporal)
    async with harness.worker():
        session = await harness.open()
        await ask(session, BANANA)
    handle = temporal.get_workflow_handle(session.id)
    for task_id, on_busy in (("polite", "reject"), ("rude", "interrupt")):
        async with harness.worker():
            request = {"task_id": task_id, "input": BANANA, "on_busy": on_busy}
            await handle.execute_update("submit_task", request)
            assert "completed" == (await session.result(task_id, WAIT)).status
    await harness.replay_all()
