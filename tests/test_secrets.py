"""A model's key is nowhere that Temporal, a page or a log keeps it, whatever the endpoint says; the scan finds one."""

import asyncio
import logging
import sys
from pathlib import Path

import pytest
from temporalio.client import Client

from starter.dev_server import DevServer
from tests.canary import SECRET, in_log
from tests.harness import WAIT, Harness, details_of, run_task
from tests.openai_server import KEY, MASKED_KEY, OpenAIServer, Reply, refusal
from tests.test_operations import OperatedWorker
from workflows.contract import task_workflow_id

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


async def test_the_scan_finds_a_key_in_the_history_of_a_session_and_of_its_task(temporal: Client) -> None:
    harness = Harness(temporal)
    async with harness.worker():
        session = await harness.open()
        await asyncio.wait_for(run_task(session, {"text": f"é {SECRET}"}, kind="Show", task_id="leak"), WAIT)
    for workflow_id in (session.id, task_workflow_id(session.id, "leak")):
        assert shown(await kept(harness.temporal, [workflow_id])) == PARTS - {b"*" * PART}
    with pytest.raises(AssertionError, match="the key is in the history of session-"):
        await harness.replay_all()


def test_the_scan_finds_a_key_in_a_log_and_its_tracebacks() -> None:
    """What every test is looked through for (`tests/conftest.py`)."""
    try:
        int(SECRET)
    except ValueError:
        failed = logging.LogRecord("model", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
    said = logging.LogRecord("model", logging.INFO, __file__, 1, "key %s", (SECRET,), None)
    harmless = logging.LogRecord("model", logging.INFO, __file__, 1, "no key", (), None)
    assert (True, True, False) == (in_log([failed]), in_log([said]), in_log([harmless]))
