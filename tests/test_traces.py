"""Traces of OpenTelemetry, as a collector on loopback receives them from real programs."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import Client

from activities.models.openai import OpenAIModel
from starter.client.connection import connect
from starter.gateway.app import build_app
from starter.gateway.settings import GatewaySettings
from starter.tracing import session_traces
from tests.harness import WAIT, Harness, ask, run_task, snapshot_when
from tests.openai_server import OpenAIServer, ok, refusal
from tests.otlp import Receiver, receiving
from tests.servers import Server

ROOT = Path(__file__).resolve().parents[1]
BANANA = "What colour is a banana?"
PATH = ["SignalWorkflow:submit", "task Answer", "StartActivity:answer_question", "RunActivity:answer_question"]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """A collector that the environment names."""
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
    junk = [b"\xff", b"[]", b'{"traceparent": 7}', b'{"traceparent": "00-%s-%s-01"}' % (b"0" * 32, b"1" * 16)]
    for number, data in enumerate(junk):
        headers = {session_traces.HEADER: Payload(metadata={"encoding": b"json/plain"}, data=data)}
        await _signal(temporal, session.id, {"task_id": f"t{number}", "input": BANANA}, headers)
        await session.result(f"t{number}", WAIT)
        task = await receiver.span("task Answer", temporalWorkflowID=f"{session.id}/t{number}")
        assert "" == task.parent
        assert {"chat offline", "task Answer"} <= set(receiver.trace(task))


async def _signal(temporal: Client, session_id: str, body: object, headers: dict[str, Payload]) -> None:
    request = SignalWorkflowExecutionRequest(
        namespace=temporal.namespace,
        workflow_execution=WorkflowExecution(workflow_id=session_id),
        signal_name="submit",
        input=Payloads(payloads=await temporal.data_converter.encode([body])),
    )
    for name, payload in headers.items():
        request.header.fields[name].CopyFrom(payload)
    await temporal.workflow_service.signal_workflow_execution(request)
