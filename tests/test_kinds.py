"""Kinds: the README's own, one from another worker, one nobody hosts, and `Answer` with a real model's protocol."""

import asyncio
import dataclasses
import importlib
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import Client, WorkflowHistory
from temporalio.testing import ActivityEnvironment

from activities.countdown import count_down
from activities.models.offline import OfflineModel
from activities.models.openai import OpenAIModel
from starter.client import Session
from tests.harness import WAIT, Harness, ask, details_of, run_task, snapshot_when
from tests.kinds import ClockWorkflow
from tests.openai_server import OpenAIServer, Reply, ok, refusal
from tests.servers import Server
from worker import KINDS, build_worker
from workflows.contract import Config, task_workflow_id
from workflows.kinds.unknown import UnknownKindWorkflow
from workflows.notification import NotificationWorkflow
from workflows.scheduled_task import ScheduledTaskWorkflow
from workflows.session import SessionWorkflow
from workflows.wire.progress import Progress

ROOT = Path(__file__).resolve().parents[1]
KEY = "sk-test-0123456789abcdefghij"


@pytest.fixture
def readme_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type]:
    """The kind of the README, word for word, as a module of its own."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    source = next(block for block in blocks if "workflow.defn" in block)
    (tmp_path / "readme_shout.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    kind: type = importlib.import_module("readme_shout").ShoutWorkflow
    yield kind
    del sys.modules["readme_shout"]


async def test_the_kind_of_the_readme_runs_as_it_stands_there(temporal: object, readme_kind: type) -> None:
    harness = Harness(temporal)  # type: ignore[arg-type]
    async with build_worker(harness.temporal, OfflineModel(), queue=harness.queue, kinds=[*KINDS, readme_kind]):
        session = await harness.open()
        assert ["HELLO", "AGAIN"] == [await ask(session, text, kind="Shout") for text in ("hello", "again")]
        assert {"shouted": 2} == (await session.context()).values


async def test_a_kind_that_looks_at_a_clock_fails_by_name_on_a_worker_as_users_run_it(temporal: Client) -> None:
    """Ours do without the sandbox, kinds of users do not."""
    harness = Harness(temporal)
    async with build_worker(temporal, OfflineModel(), queue=harness.queue, kinds=[*KINDS, ClockWorkflow]):
        session = await harness.open()
        record = await run_task(session, "now", kind="Clock")
        assert record.error is not None
        assert ("failed", "RestrictedWorkflowAccessError") == (record.status, record.error.type)
        assert "yellow" in await ask(session, "What colour is a banana?")


async def test_half_an_emoji_in_what_a_kind_does_costs_no_task(harness: Harness) -> None:
    """In its answer, its patch, its page, its question and its error."""
    half, session = "half \ufffd", await harness.open(Config(default_kind="Halve"))
    assert {half: half} == await ask(session, "answer")
    task_id = await session.submit("question")
    asked = await snapshot_when(session, lambda snapshot: snapshot.status == "waiting")
    assert asked.running
    assert asked.running.waiting_for
    assert (half, [half]) == (asked.running.waiting_for.text, asked.running.waiting_for.choices)
    await session.respond(task_id, half)
    assert {half: half} == (await session.result(task_id, WAIT)).output
    failed = await run_task(session, "error")
    assert failed.error
    assert ("failed", "Half", half) == (failed.status, failed.error.type, failed.error.message)
    assert {half: [half]} == (await session.context()).values


def test_sessions_and_the_kinds_that_come_with_them_do_without_the_sandbox() -> None:
    ours = [SessionWorkflow, ScheduledTaskWorkflow, NotificationWorkflow, *KINDS, UnknownKindWorkflow]
    assert {False} == {workflow._Definition.must_from_class(one).sandboxed for one in ours}


async def test_a_kind_on_another_workers_queue_speaks_only_json(harness: Harness, server: Server) -> None:
    queue = f"{harness.queue}-foreign"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", str(ROOT / "tests/foreign_worker.py"), server.address, queue, cwd=ROOT.parent
    )
    try:
        session = await harness.open()
        records = [await run_task(session, text, kind="Reverse", task_queue=queue) for text in ("stressed", "drawer")]
        assert ["desserts", "reward"] == [record.output for record in records]
        assert [{"letters": 1}, {"letters": 2}] == [record.usage for record in records]
        assert {"reversed": 2} == (await session.context()).values
        assert None is await session.unserved_queue(records[0].task_id)
    finally:
        process.kill()
        await process.wait()


@pytest.mark.not_on_test_server("it cannot describe a task queue (UNIMPLEMENTED)")
async def test_a_kind_nobody_hosts_times_out_and_the_session_goes_on(harness: Harness) -> None:
    session = await harness.open()
    task_id = await session.submit("hello", kind="Reverse", task_queue="nobody-polls-this", timeout=3.0)
    async with asyncio.timeout(WAIT):
        while (record := await session.task(task_id)) is None or record.run_id is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert "nobody-polls-this" == await session.unserved_queue(task_id)
    assert "timed_out" == (await session.result(task_id, WAIT)).status
    assert "yellow" in await ask(session, "What colour is a banana?")


@pytest.mark.parametrize("seconds", [{"seconds": 1}, [1], None, True, 1.5, "soon", "-1", 0, 10**9], ids=repr)
async def test_a_countdown_refuses_what_is_no_number_of_seconds(harness: Harness, seconds: object) -> None:
    record = await run_task(await harness.open(), seconds, kind="Countdown")
    assert record.error
    assert ("failed", "ValueError") == (record.status, record.error.type)
    assert "input must be from 1 to" in record.error.message


async def test_a_countdown_goes_on_where_the_last_heartbeat_stood() -> None:
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(environment.info, heartbeat_details=[{"done": 1, "total": 2}])
    beats: list[object] = []
    environment.on_heartbeat = beats.append
    assert 1 == await environment.run(count_down, 2)
    assert [Progress(done=2, total=2)] == beats


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return KEY


@asynccontextmanager
async def real_model() -> AsyncIterator[OpenAIModel]:
    """A model whose client is closed in the end: one that is not closes itself in whatever loop runs by then."""
    model = OpenAIModel("some-model")
    try:
        yield model
    finally:
        await model.close()


async def _histories(harness: Harness, session: Session, task_id: str) -> list[WorkflowHistory]:
    ids = (session.id, task_workflow_id(session.id, task_id))
    return [await harness.temporal.get_workflow_handle(workflow_id).fetch_history() for workflow_id in ids]


async def test_a_real_models_answer_usage_retries_and_refusals(
    temporal: object, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 is retried by Temporal, 401 fails the task at once; the key is in no history and no record."""
    harness = Harness(temporal)  # type: ignore[arg-type]
    async with OpenAIServer() as endpoint:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        async with real_model() as model, harness.worker(model):
            session = await harness.open()
            usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
            endpoint.script += [refusal(500, "overloaded"), ok("yellow", usage)]
            record = await run_task(session, "What colour is a banana?", task_id="retried")
            assert ("yellow", {"input_tokens": 7, "output_tokens": 2}) == (record.output, record.usage)
            endpoint.script.append(refusal(401, f"Incorrect API key provided: {key}"))
            refused = await run_task(session, "And the sun?", task_id="refused")
            assert refused.error
            assert ("failed", "AuthenticationError") == (refused.status, refused.error.type)
            assert 3 == len(endpoint.requests)
            assert [key] * 3 == [request.key for request in endpoint.requests]
            texts = [refused.model_dump_json(), (await session.snapshot()).model_dump_json()]
            for task_id in ("retried", "refused"):
                texts += [history.to_json() for history in await _histories(harness, session, task_id)]
            assert not [text for text in texts if key in text or key[3:] in text]


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (ok(None, finish_reason="content_filter"), "EmptyModelReply"),
        (ok(" "), "EmptyModelReply"),
        (Reply(body='{"choices": []}'), "EmptyModelReply"),
        (Reply(body='{"choices": [{"message": {"content": {}}}]}'), "InvalidModelReply"),
    ],
)
async def test_a_reply_without_an_answer_is_asked_for_twice_at_most(
    temporal: object, key: str, monkeypatch: pytest.MonkeyPatch, body: Reply, name: str
) -> None:
    """A fault in between, which passes, does not count."""
    harness = Harness(temporal)  # type: ignore[arg-type]
    async with OpenAIServer() as endpoint:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        async with real_model() as model, harness.worker(model):
            session = await harness.open()
            endpoint.script += [body, refusal(500, "overloaded"), body, body]
            failed = await run_task(session, "What colour is a banana?")
            assert failed.error
            assert ("failed", name, 3) == (failed.status, failed.error.type, len(endpoint.requests))
            answered = await run_task(session, "What colour is a banana?")
            assert ("completed", "Yellow.", 5) == (answered.status, answered.output, len(endpoint.requests))
        await harness.replay_all()
    assert key


async def test_why_an_answer_ended_goes_from_the_model_into_record_turn_and_page(
    temporal: Client, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = Harness(temporal)
    async with OpenAIServer() as endpoint:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        async with real_model() as model, harness.worker(model):
            session = await harness.open()
            endpoint.script += [ok("Yell", finish_reason="length"), ok(None, refusal="I cannot."), ok("Yellow.")]
            records = [await run_task(session, "What colour is a banana?", task_id=name) for name in ("a", "b", "c")]
            told = [("Yell", "length"), ("I cannot.", "refusal"), ("Yellow.", None)]
            assert told == [(record.output, record.finish_reason) for record in records]
            assert ["completed"] * 3 == [record.status for record in records]
            assert told == [(turn.output, turn.finish_reason) for turn in (await session.context()).transcript]
            pages = [await details_of(temporal, task_workflow_id(session.id, name)) for name in ("a", "c")]
            assert "**Answer**, by openai:some-model, ended by length\n" in pages[0]
            assert "ended by" not in pages[1]
            assert 3 == len(endpoint.requests)
        await harness.replay_all()
    assert key


async def test_an_empty_account_fails_a_task_at_once(
    temporal: object, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = Harness(temporal)  # type: ignore[arg-type]
    async with OpenAIServer() as endpoint:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        async with real_model() as model, harness.worker(model):
            session = await harness.open()
            endpoint.script.append(refusal(429, "You exceeded your current quota.", code="insufficient_quota"))
            record = await run_task(session, "What colour is a banana?")
            assert record.error
            assert ("failed", "RateLimitError", 1) == (record.status, record.error.type, len(endpoint.requests))
            assert record.error.message.endswith("HTTP 429: You exceeded your current quota. (insufficient_quota)")
    assert key


async def test_a_cancelled_task_ends_the_request_to_the_model(
    temporal: object, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = Harness(temporal)  # type: ignore[arg-type]
    async with OpenAIServer() as endpoint:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        async with real_model() as model, harness.worker(model):
            session = await harness.open()
            endpoint.script.append(ok("too late", delay=60.0))
            task_id = await session.submit("What colour is a banana?")
            await endpoint.received(1)
            await session.cancel(task_id)
            assert "cancelled" == (await session.result(task_id, WAIT)).status
            async with asyncio.timeout(WAIT):
                await endpoint.requests[0].hung_up.wait()
    assert key
