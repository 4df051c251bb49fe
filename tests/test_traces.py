"""Traces of OpenTelemetry, as a collector on loopback receives them from real programs."""

import asyncio
import json
import re
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import Client

from activities import spans
from activities.models.openai import OpenAIModel
from starter.client import SessionClient
from starter.client.connection import connect
from starter.gateway.app import build_app
from starter.gateway.settings import GatewaySettings
from starter.tracing import session_traces, setting
from starter.tracing.model_spans import Recording
from starter.tracing.provider import SCOPE, otlp_provider
from tests.harness import WAIT, Harness, ask, run_task, snapshot_when
from tests.openai_server import OpenAIServer, ok, refusal
from tests.otlp import Receiver, receiving
from tests.servers import Server

ROOT = Path(__file__).resolve().parents[1]
BANANA = "What colour is a banana?"
PATH = ["SignalWorkflow:submit", "task Answer", "StartActivity:answer_question", "RunActivity:answer_question"]


@pytest.fixture(scope="module")
def receiver(temporal: Client) -> Iterator[Receiver]:
    """A collector that the environment names. The connection of all tests is not traced: it was there before."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
async def traced(server: Server, receiver: Receiver) -> AsyncIterator[Harness]:
    """Sessions on a traced connection, with a worker."""
    harness = Harness(await connect(server.address))
    async with harness.worker():
        yield harness
    await harness.replay_all()


async def test_one_trace_from_the_caller_to_the_model_with_its_figures(server: Server, receiver: Receiver) -> None:
    """Of a model behind OpenAI's protocol, by the names of the GenAI conventions; and nothing that was said."""
    async with OpenAIServer() as endpoint:
        endpoint.script.extend(
            [
                ok("Yellow.", {"prompt_tokens": 12, "completion_tokens": 3}, finish_reason="length"),
                refusal(400, f"wrong: {BANANA}"),
            ]
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OPENAI_BASE_URL", endpoint.url)
            model = OpenAIModel("small")
        harness = Harness(await connect(server.address))
        async with harness.worker(model):
            session = await harness.open()
            record = await run_task(session, BANANA)
            await run_task(session, BANANA, task_id="refused")
        await model.close()
    chat = await receiver.span("chat small", gen_ai__response__model="m")
    task = await receiver.span("task Answer", sessions__task__id=record.task_id)
    assert [*PATH, "chat small"] == receiver.path(chat)
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "small",
        "gen_ai.response.model": "m",
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 3,
    }
    assert expected == chat.attributes
    said = {"gen_ai.conversation.id": session.id, "sessions.task.status": "completed", "sessions.task.kind": "Answer"}
    assert said.items() <= task.attributes.items()
    assert record.submitted_at
    assert record.finished_at
    assert abs(task.began / 1e9 - record.submitted_at.timestamp()) < 1e-6
    assert abs(task.ended / 1e9 - record.finished_at.timestamp()) < 1e-6
    assert "durable-sessions" == task.service
    failed = await receiver.span("chat small", error__type="BadRequestError")
    assert "BadRequestError" == failed.failed
    assert (await receiver.span("task Answer", sessions__task__id="refused")).failed
    assert [] == [span.whole for span in receiver.spans if "banana" in span.whole or "Yellow" in span.whole]


async def test_each_task_is_in_the_trace_of_the_call_that_submitted_it(traced: Harness, receiver: Receiver) -> None:
    """Not in that of the session's start, nor of one another; by signal and by update."""
    session = await traced.open()
    await session.pause()
    await session.submit(BANANA, task_id="one")
    await session.submitted(BANANA, task_id="two")
    await session.resume()
    for task_id in ("one", "two"):
        await session.result(task_id, WAIT)
    mine = {"temporalWorkflowID": f"{session.id}/one"}, {"temporalWorkflowID": f"{session.id}/two"}
    tasks = [await receiver.span("task Answer", **names) for names in mine]
    calls = [
        await receiver.span(name, temporalWorkflowID=session.id)
        for name in ("SignalWorkflow:submit", "StartWorkflowUpdate:submit_task", "StartWorkflow:Session")
    ]
    assert [call.trace for call in calls[:2]] == [task.trace for task in tasks]
    assert [call.id for call in calls[:2]] == [task.parent for task in tasks]
    assert 3 == len({call.trace for call in calls})


@pytest.mark.not_on_test_server("what it asks by a query is not marked as a replay, and told again (6 of 3 tried)")
async def test_spans_are_made_once_however_often_is_replayed(server: Server, receiver: Receiver) -> None:
    harness = Harness(await connect(server.address))
    async with harness.worker(max_cached_workflows=0):
        session = await harness.open()
        for number in range(3):
            await ask(session, f"My dish is number {number}")
        await session.submit("deploy", kind="Approve", task_id="asks")
        await snapshot_when(session, lambda s: s.status == "waiting")
    async with harness.worker(max_cached_workflows=0):
        await session.respond("asks", "no")
        await session.result("asks", WAIT)
    asking = await receiver.span("task Approve", temporalWorkflowID=f"{session.id}/asks")
    answers = [
        span for span in receiver.named("task Answer") if span.attributes["gen_ai.conversation.id"] == session.id
    ]
    assert 3 == len(answers)
    once = [*PATH, "RunWorkflow:Answer", "CompleteWorkflow:Answer", "chat offline"]
    for span in answers:
        assert receiver.trace(span) == dict.fromkeys(once, 1)
    assert 1 == receiver.trace(asking)["HandleSignal:respond"]
    assert [] == receiver.repeated()
    await harness.replay_all()
    assert 1 == len(receiver.named("task Approve"))


async def test_a_request_to_the_gateway_goes_on_in_the_callers_trace(traced: Harness, receiver: Receiver) -> None:
    app = build_app(traced.client, GatewaySettings())
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as caller:
        answered = await caller.post(
            "/v1/responses",
            json={"model": "Answer", "input": BANANA},
            headers={"traceparent": f"00-{trace}-{span}-01"},
            timeout=WAIT,
        )
    assert 200 == answered.status_code, answered.text
    request = await receiver.span("POST /v1/responses")
    assert (trace, span) == (request.trace, request.parent)
    assert 200 == request.attributes["http.response.status_code"]
    tasks = [task for task in receiver.named("task Answer") if task.trace == trace]
    assert ["POST /v1/responses"] == [receiver.path(task)[0] for task in tasks]


async def test_a_trace_context_that_is_none_begins_a_trace_of_the_tasks_own(
    traced: Harness, receiver: Receiver, temporal: Client
) -> None:
    """Whatever a stranger sends in that header, the task runs."""
    session = await traced.open()
    junk = [b"", b"\xff", b"[]", b'{"traceparent": 7}', b'{"traceparent": "00-%s-%s-01"}' % (b"0" * 32, b"1" * 16)]
    for number, data in enumerate(junk):
        headers = {session_traces.HEADER: Payload(metadata={"encoding": b"json/plain"}, data=data)}
        await _signal(temporal, session.id, {"task_id": f"t{number}", "input": BANANA}, headers)
        await session.result(f"t{number}", WAIT)
        task = await receiver.span("task Answer", temporalWorkflowID=f"{session.id}/t{number}")
        assert "" == task.parent
        assert {"chat offline", "task Answer"} <= set(receiver.trace(task))


async def test_a_trace_that_is_not_sampled_has_no_span_of_ours_at_all(server: Server, temporal: Client) -> None:
    """Nor has a task whose caller is not traced, where the worker keeps none."""
    with receiving(OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0") as receiver:
        harness = Harness(await connect(server.address))
        async with harness.worker():
            session = await harness.open()
            await ask(session, BANANA)
            await ask(SessionClient(temporal, harness.queue).get(session.id), BANANA)
        otlp_provider().force_flush()
        assert [] == receiver.spans


def test_contents_are_in_spans_only_where_they_are_asked_for() -> None:
    """Of a model and of a tool; and what an error says is in none."""
    for contents in (True, False):
        with receiving() as receiver:
            made = Recording(otlp_provider().get_tracer(SCOPE), contents=contents)
            token = spans.recording.set(made)
            with spans.model_call("openai", "small", lambda: [("system", "Be brief."), ("user", BANANA)]) as span:
                span.answered(spans.Answered("Yellow.", "small-1", {"input_tokens": 9}))
            with spans.tool_call("look_up", lambda: {"what": BANANA}) as span:
                span.returned(lambda: ["Yellow."])
            with pytest.raises(ValueError, match=BANANA), spans.tool_call("fails", lambda: None):
                raise ValueError(BANANA)
            with (
                pytest.raises(ValueError, match=BANANA),
                otlp_provider().get_tracer(SCOPE).start_as_current_span("sdk"),
            ):
                raise ValueError(BANANA)
            spans.recording.reset(token)
            otlp_provider().force_flush()
        [chat], [tool] = receiver.named("chat small"), receiver.named("execute_tool look_up")
        assert ("execute_tool", "look_up") == tuple(
            tool.attributes[f"gen_ai.{n}"] for n in ("operation.name", "tool.name")
        )
        assert ["ValueError"] * 2 == [receiver.named(name)[0].failed for name in ("execute_tool fails", "sdk")]
        if contents:
            user = {"role": "user", "parts": [{"type": "text", "content": BANANA}]}
            assert [user] == json.loads(chat.attributes["gen_ai.input.messages"])
            assert "Yellow." in chat.attributes["gen_ai.output.messages"]
            assert "Be brief." in chat.attributes["gen_ai.system_instructions"]
            assert {"what": BANANA} == json.loads(tool.attributes["gen_ai.tool.call.arguments"])
            assert ["Yellow."] == json.loads(tool.attributes["gen_ai.tool.call.result"])
        else:
            assert [] == [span.whole for span in receiver.spans if re.search("banana|Yellow|brief", span.whole)]


@pytest.mark.parametrize("value", ["true", "span_only", "SPAN_AND_EVENT", "no_content", "event_only", "", "false"])
def test_contents_are_asked_for_by_the_variable_of_the_conventions(value: str) -> None:
    asked = value.lower() in {"true", "span_only", "span_and_event"}
    assert asked == setting.contents_asked_for({setting.CONTENTS: value})


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_traces_are_off_unless_an_endpoint_is_named(environment: dict[str, str], on: bool) -> None:
    assert on == setting.asked_for(environment)


async def test_off_no_event_has_a_header_and_nothing_of_opentelemetry_is_imported(harness: Harness) -> None:
    session = await harness.open()
    await session.submit(BANANA, task_id="a")
    await session.submitted(BANANA, task_id="b")
    for task_id in ("a", "b"):
        await session.result(task_id, WAIT)
    for workflow_id in (session.id, f"{session.id}/a"):
        history = await harness.temporal.get_workflow_handle(workflow_id).fetch_history()
        assert "_tracer-data" not in str(history.events)
        assert "sessions-callers" not in str(history.events)
    program = "import sys, worker, starter.gateway.app, starter.cli.main; print(sorted(sys.modules))"
    loaded = await asyncio.to_thread(subprocess.check_output, [sys.executable, "-c", program], cwd=ROOT)
    assert b"opentelemetry.sdk" not in loaded


def test_what_lacks_for_traces_is_a_warning_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    monkeypatch.setitem(sys.modules, "starter.tracing.provider", None)
    assert setting.tracing() is None
    assert "pip install 'durable-sessions[otel]'" in caplog.text


async def _signal(temporal: Client, session_id: str, body: object, headers: dict[str, Payload]) -> None:
    request = SignalWorkflowExecutionRequest(
        namespace=temporal.namespace,
        workflow_execution=WorkflowExecution(workflow_id=session_id),
        signal_name="submit",
        request_id=str(uuid.uuid4()),
        input=Payloads(payloads=await temporal.data_converter.encode([body])),
    )
    for name, payload in headers.items():
        request.header.fields[name].CopyFrom(payload)
    await temporal.workflow_service.signal_workflow_execution(request, retry=True)
