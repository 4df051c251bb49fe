"""A query that waited for a worker, with messages behind it, must not make the session act on them before its time."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import Client, WorkflowQueryFailedError

from starter.client import Session
from tests.harness import WAIT, Harness, ask, run_task

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
