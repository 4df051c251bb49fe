"""A model's key is nowhere that Temporal, a page or a log keeps it, whatever the endpoint says; the scan finds one."""

import asyncio
from pathlib import Path

from temporalio.client import Client

from starter.dev_server import DevServer
from tests.harness import WAIT, Harness, details_of, run_task
from tests.openai_server import KEY, MASKED_KEY, OpenAIServer, Reply, refusal
from tests.test_operations import OperatedWorker
from workflows.contract import task_workflow_id

SECRET = "sk-test-canary-7f3a9c51d2e84b06"  # noqa: S105 (opens nothing)
PART = 10
"""Letters in a row that are taken for the key."""

PARTS = {SECRET[start : start + PART].encode() for start in range(len(SECRET) - PART + 1)} | {b"*" * PART}
"""Any of it, and any masked form."""


def shown(kept: bytes) -> set[bytes]:
    """What of the key is in those bytes."""
    return {part for part in PARTS if part in kept}


async def kept(temporal: Client, workflow_ids: list[str]) -> bytes:
    """The events of these workflows as the server has them, payloads as they are."""
    found = b""
    for workflow_id in workflow_ids:
        async for event in temporal.get_workflow_handle(workflow_id).fetch_history_events():
            found += event.SerializeToString()
    return found


async def test_no_part_of_a_key_is_in_history_details_records_or_log_however_an_endpoint_fails(
    temporal: Client, server: DevServer, tmp_path: Path
) -> None:
    harness = Harness(temporal)
    process = OperatedWorker(server, harness.queue, tmp_path / "worker.log")
    async with OpenAIServer() as endpoint:
        endpoint.script += [refusal(500, f"overloaded, {KEY}"), refusal(401, f"Incorrect API key provided: {KEY}")]
        endpoint.script += [refusal(400, f"key {MASKED_KEY}"), Reply(404, f"<html>{KEY}</html>")]
        variables = {"OPENAI_API_KEY": SECRET, "OPENAI_BASE_URL": endpoint.url, "NO_PROXY": "127.0.0.1"}
        process.start(SESSIONS_MODEL="openai:some-model", **variables)
        try:
            session = await harness.open()
            records = [await run_task(session, "What colour is a banana?", task_id=name) for name in ("a", "b", "c")]
            assert ["failed"] * 3 == [record.status for record in records]
            assert {SECRET} == {request.key for request in endpoint.requests}
            ids = [session.id, *(task_workflow_id(session.id, record.task_id) for record in records)]
            texts = [await details_of(temporal, workflow_id) for workflow_id in ids]
            texts += [record.model_dump_json() for record in records]
            texts += [(await session.snapshot()).model_dump_json(), (await session.context()).model_dump_json()]
            events = await kept(temporal, ids)
        finally:
            assert 0 == await process.stop()
    assert b"Incorrect API key" in events
    assert set() == shown(events) | shown("\n".join(texts).encode()) | shown((tmp_path / "worker.log").read_bytes())


async def test_the_scan_finds_a_key_in_the_history_of_a_session_and_of_its_task(harness: Harness) -> None:
    session = await harness.open()
    await asyncio.wait_for(run_task(session, {"text": f"é {SECRET}"}, kind="Show", task_id="leak"), WAIT)
    for workflow_id in (session.id, task_workflow_id(session.id, "leak")):
        assert shown(await kept(harness.temporal, [workflow_id])) == PARTS - {b"*" * PART}
