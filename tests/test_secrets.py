"""A model's key is nowhere that Temporal, a page or a log keeps it, whatever the endpoint says; the scan finds one."""

import asyncio
import logging
import re
import sys
from base64 import b64encode
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.canary import SECRET, in_log, parts, told
from tests.harness import WAIT, Harness, details_of, run_task
from tests.openai_server import (
    BASE64_HEAD,
    DISGUISES,
    HEAD,
    KEY,
    MASKED_KEY,
    PART_OF_KEY,
    OpenAIServer,
    Received,
    Reply,
    ok,
    refusal,
)
from tests.servers import Server
from tests.test_operations import OperatedWorker
from workflows.contract import TaskRecord, task_workflow_id

STARS = "*" * 10
"""What any masked form of a key has."""

USERINFO, QUERY = "some-user:pa%40ss-W0rd%2F1", "key=AIza%2FSecret-1234&api-version=2024-02-01"
IN_THE_ADDRESS = ("some-user", "pa@ss-W0rd/1", "some-user:pa@ss-W0rd/1", "AIza/Secret-1234")


def shown(kept: bytes, *secrets: str) -> set[str]:
    """What of the secrets is in those bytes, by default of the key, in whatever form."""
    text = kept.decode("latin-1")
    return {STARS} & {text[n : n + 10] for n in range(len(text))} | {
        part for secret in secrets or (SECRET,) for part in told(secret, text)
    }


async def kept(temporal: Client, workflow_ids: list[str]) -> bytes:
    """The events of these workflows as the server has them, payloads as they are."""
    found = b""
    for workflow_id in workflow_ids:
        async for event in temporal.get_workflow_handle(workflow_id).fetch_history_events():
            found += event.SerializeToString()
    return found


async def all_that_is_kept(
    temporal: Client, server: Server, log: Path, replies: list[Reply], **variables: str
) -> tuple[list[TaskRecord], list[Received], bytes]:
    """Runs tasks on a worker process until its model has had those replies: the records of the tasks, the requests that
    the model made, and all that the server keeps or tells of both: histories, pages, answers to queries."""
    harness = Harness(temporal)
    process = OperatedWorker(server, harness.queue, log)
    async with OpenAIServer() as endpoint:
        endpoint.script += replies
        base = variables.pop("OPENAI_BASE_URL", "{}").format(endpoint.url.removeprefix("http://"))
        variables |= {"OPENAI_BASE_URL": f"http://{base}", "NO_PROXY": "127.0.0.1"}
        process.start(SESSIONS_MODEL="openai:some-model", **variables)
        try:
            session, records = await harness.open(), list[TaskRecord]()
            while endpoint.script:
                records.append(await run_task(session, "What colour is a banana?", task_id=f"t{len(records)}"))
            ids = [session.id, *(task_workflow_id(session.id, record.task_id) for record in records)]
            texts = [await details_of(temporal, workflow_id) for workflow_id in ids]
            texts += [record.model_dump_json() for record in records]
            texts += [(await session.snapshot()).model_dump_json(), (await session.context()).model_dump_json()]
            events = await kept(temporal, ids)
        finally:
            assert 0 == await process.stop()
    return records, endpoint.requests, events + "\n".join(texts).encode()


async def test_no_part_of_a_key_is_in_history_details_records_or_log_however_an_endpoint_fails(
    temporal: Client, server: Server, tmp_path: Path
) -> None:
    replies = [refusal(500, f"overloaded, {KEY}"), refusal(401, f"Incorrect API key provided: {KEY}")]
    replies += [refusal(400, f"key {MASKED_KEY}"), Reply(404, f"<html>{KEY}</html>"), Reply(402, reason=f"no {KEY}")]
    replies += [refusal(401, f"You sent {form}") for form in DISGUISES]
    log = tmp_path / "worker.log"
    records, requests, everything = await all_that_is_kept(temporal, server, log, replies, OPENAI_API_KEY=SECRET)
    assert {"failed"} == {record.status for record in records}
    assert (len(replies), {SECRET}) == (len(requests), {request.key for request in requests})
    assert b"Incorrect API key" in everything
    assert b"HTTP Request: POST" in log.read_bytes()
    assert set() == shown(everything + log.read_bytes())


@pytest.mark.rare
async def test_no_part_of_a_key_is_in_them_whatever_an_endpoint_answers(
    temporal: Client, server: Server, tmp_path: Path
) -> None:
    replies = [ok(f"You sent {form}, did you not?") for form in (KEY, *DISGUISES)]
    replies += [ok(None, refusal=f"Not with {KEY}"), ok("Yellow.", finish_reason=KEY)]
    log = tmp_path / "worker.log"
    records, requests, everything = await all_that_is_kept(temporal, server, log, replies, OPENAI_API_KEY=SECRET)
    assert {"completed"} == {record.status for record in records}
    assert (len(replies), {SECRET}) == (len(requests), {request.key for request in requests})
    assert "You sent [key], did you not?" == records[0].output
    assert set() == shown(everything + log.read_bytes())


@pytest.mark.rare
async def test_no_userinfo_or_key_of_an_endpoints_address_is_in_them(
    temporal: Client, server: Server, tmp_path: Path
) -> None:
    replies = [ok(), ok(f"You sent {HEAD} {BASE64_HEAD}"), refusal(503, HEAD), refusal(401, f"{HEAD} {BASE64_HEAD}")]
    replies += [Reply(307, headers={"location": f"/login?from={BASE64_HEAD}"}), refusal(401, "no such user")]
    log = tmp_path / "worker.log"
    records, requests, everything = await all_that_is_kept(
        temporal, server, log, replies, OPENAI_BASE_URL=f"{USERINFO}@{{}}?{QUERY}"
    )
    assert ["completed", "completed", "failed", "failed"] == [record.status for record in records]
    assert f"/v1/chat/completions?{QUERY}" == requests[0].target
    assert b64encode(b"some-user:pa@ss-W0rd/1").decode() == requests[0].key
    line = rb"HTTP Request: POST http://127.0.0.1:\d+/v1/chat/completions\?key=\[key\]&api-version=2024-02-01 "
    assert re.search(line, log.read_bytes())
    assert set() == shown(everything + log.read_bytes(), *IN_THE_ADDRESS)


@pytest.mark.parametrize("base", ["http://user:12#Secret-1234@host/v1", "http://user:Secret-1234/@host"])
async def test_a_worker_that_cannot_use_an_address_ends_without_a_word_of_it(
    server: Server, tmp_path: Path, base: str
) -> None:
    log = tmp_path / "worker.log"
    process = OperatedWorker(server, "nobody", log)
    process.start(SESSIONS_MODEL="openai:some-model", OPENAI_BASE_URL=base)
    assert 1 == await process.ended()
    assert b"OPENAI_BASE_URL must begin with" in log.read_bytes()
    assert set() == shown(log.read_bytes(), "Secret-1234")


async def test_the_scan_finds_a_key_in_the_history_of_a_session_and_of_its_task(temporal: Client) -> None:
    harness = Harness(temporal)
    async with harness.worker():
        session = await harness.open()
        await asyncio.wait_for(run_task(session, {"text": f"é {SECRET}"}, kind="Show", task_id="leak"), WAIT)
    for workflow_id in (session.id, task_workflow_id(session.id, "leak")):
        assert shown(await kept(harness.temporal, [workflow_id])) == parts(SECRET)
    with pytest.raises(AssertionError, match="the key is in the history of session-"):
        await harness.replay_all()


@pytest.mark.parametrize("form", [KEY, *DISGUISES])
def test_the_scan_finds_a_key_in_every_form_that_an_endpoint_shows_it_in(form: str) -> None:
    request = Received(
        "/v1", {"authorization": f"Bearer {SECRET}"}, None, f"POST /v1\r\nAuthorization: Bearer {SECRET}"
    )
    found = shown(f'{{"said": "it was {request.echoed(form)}!"}}'.encode())
    assert found >= (parts(SECRET[5:20]) if form == PART_OF_KEY else parts(SECRET))
    assert {STARS} == shown(request.echoed(MASKED_KEY).encode()) - parts(SECRET)


def test_the_scan_finds_a_key_in_a_log_and_its_tracebacks() -> None:
    """What every test is looked through for (`tests/conftest.py`)."""
    try:
        int(SECRET)
    except ValueError:
        failed = logging.LogRecord("model", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
    said = logging.LogRecord("model", logging.INFO, __file__, 1, "key %s", (SECRET,), None)
    harmless = logging.LogRecord("model", logging.INFO, __file__, 1, "no key", (), None)
    assert (True, True, False) == (in_log([failed]), in_log([said]), in_log([harmless]))
