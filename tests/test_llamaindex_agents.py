"""Agents of LlamaIndex as kinds: the loop in the task's workflow, which replays at every workflow task here."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from starter.client import Session
from starter.client.connection import connect
from tests.environments import INSTALL_SECONDS, run
from tests.harness import Harness
from tests.llamaindex_host import KINDS, LONG, Host, asked, failure, hosting
from tests.otlp import receiving
from tests.servers import Server
from tests.test_streaming import ended, text_said, until
from workflows.contract import TaskRecord

pytestmark = [pytest.mark.rare, pytest.mark.timeout(INSTALL_SECONDS)]


class Agents(Host):
    """A host of the agents' kinds, which keeps no workflow in memory."""

    async def submit(self, session: Session, text: object, kind: str = "Shop", **options: Any) -> str:
        return await session.submit(text, kind=kind, task_queue=self.queue, **options)

    async def run(self, session: Session, text: object, kind: str = "Shop", **options: Any) -> TaskRecord:
        return await session.result(await self.submit(session, text, kind, **options), LONG)


def _host(llamaindex: Path, folder: Path, server: Server) -> Agents:
    return Agents(llamaindex, folder, server.address, "agents:KINDS", SESSIONS_MAX_CACHED_WORKFLOWS="0")


@pytest.fixture(scope="module")
async def agents(llamaindex: Path, server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agents]:
    async with hosting(_host(llamaindex, tmp_path_factory.mktemp("agents"), server)) as host:
        yield host


@pytest.fixture
async def crashing(llamaindex: Path, server: Server, tmp_path: Path) -> AsyncIterator[Agents]:
    """A worker that a test may kill."""
    async with hosting(_host(llamaindex, tmp_path, server)) as host:
        yield host


async def test_model_and_tools_are_activities_that_run_once(harness: Harness, agents: Agents) -> None:
    session = await harness.open()
    record = await agents.run(session, "look_up A7", task_id="first")
    assert ("completed", "A7: 42 euros") == (record.status, record.output)
    assert {"input_tokens": 2 + 4, "output_tokens": 2} == record.usage
    assert ["model 2", "begin look_up A7", "end look_up A7", "model 4"] == [s.partition(":")[0] for s in agents.steps()]
    history = await harness.temporal.get_workflow_handle(f"{session.id}/first").fetch_history()
    scheduled = [e for e in history.events if e.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED]
    names = [event.activity_task_scheduled_event_attributes.activity_type.name for event in scheduled]
    assert ["llamaindex.shop.shop.model", "llamaindex.shop.tool.look_up", "llamaindex.shop.shop.model"] == names
    assert b'"look_up {\\"order\\":\\"A7\\"}"' == scheduled[1].user_metadata.summary.data


async def test_calls_of_the_model_and_of_tools_have_spans_in_the_trace_of_the_caller(
    llamaindex: Path, server: Server, temporal: Client, tmp_path: Path
) -> None:
    with receiving() as receiver:
        traced = Harness(await connect(temporal.service_client.config.target_host))
        async with traced.worker(), hosting(_host(llamaindex, tmp_path, server)) as host:
            session = await traced.open()
            await host.run(session, "look_up A7")
            tool, task = await receiver.span("execute_tool look_up"), await receiver.span("task Shop")
            async with asyncio.timeout(LONG):
                while len(chats := [span for span in receiver.spans if span.name.startswith("chat ")]) < 2:  # noqa: ASYNC110 (the receiver has no event)
                    await asyncio.sleep(0.05)
    assert ["SignalWorkflow:submit", "task Shop"] == receiver.path(tool)[:2]
    assert {tool.trace} == {span.trace for span in [task, *chats]}
    assert [(2, 1), (4, 1)] == [
        tuple(chat.attributes[f"gen_ai.usage.{n}_tokens"] for n in ("input", "output")) for chat in chats
    ]
    assert [] == [span.whole for span in receiver.spans if "42 euros" in span.whole]


async def test_a_later_task_knows_what_was_said(harness: Harness, agents: Agents) -> None:
    session = await harness.open()
    await agents.run(session, "look_up B1")
    assert "first you asked: look_up B1" == (await agents.run(session, "what did I ask first?")).output


async def test_a_later_task_knows_what_the_summary_says_and_does_not_keep_it_again(
    harness: Harness, agents: Agents
) -> None:
    session = await harness.open(context={"summary": "look_up M1 gave 42 euros"})
    for kind in ("Shop", "Keeper"):
        await agents.run(session, "note milk", kind)
        said = str((await agents.run(session, "and first?", kind)).output)
        assert said.startswith("first you asked: What was said before")
        assert "look_up M1 gave 42 euros" in said
    kept = [m["blocks"][0].get("text") for m in (await session.context()).values["said"] if m["role"] == "user"]
    assert ["note milk", "and first?"] == kept


async def test_messages_are_kept_with_the_calls_of_tools(harness: Harness, agents: Agents) -> None:
    """As they were said: without the state that LlamaIndex puts before a user's words."""
    session = await harness.open(context={"notes": ["before"]})
    await agents.run(session, "note milk", "Keeper")
    await agents.run(session, "look_up K1", "Keeper")
    values = (await session.context()).values
    roles = ["user", "assistant", "tool", "assistant"]
    assert (roles * 2, ["before", "milk"]) == ([message["role"] for message in values["said"]], values["notes"])
    words = [message["blocks"][0].get("text") for message in values["said"]]
    assert ["note milk", None, "noted milk", "noted milk", "look_up K1", None, "K1: 42 euros", "K1: 42 euros"] == words
    assert "model 5" in [step.partition(":")[0] for step in agents.steps()]
    assert "first you asked: note milk" in str((await agents.run(session, "and first?", "Keeper")).output)


async def test_a_tool_behind_an_approval_waits_for_a_person(harness: Harness, agents: Agents) -> None:
    session = await harness.open()
    for answer, output in [
        ("yes", "refunded 4200"),
        ({"answer": "no", "reason": "too much"}, "A person refused this call: too much"),
        ({"answer": "yes", "arguments": {"order": "C1", "cents": 1}}, "refunded 1"),
    ]:
        task_id = await agents.submit(session, "refund C1 4200")
        question = await asked(session)
        assert ("Allow refund?", ["yes", "no"]) == (question.text, question.choices)
        assert {"tool": "refund", "arguments": {"order": "C1", "cents": "4200"}} == question.data
        await session.respond(task_id, answer)
        assert output == (await session.result(task_id, LONG)).output
    assert ["refund C1 4200", "refund C1 1"] == [step for step in agents.steps() if step.startswith("refund C1")]


async def test_tools_at_once_all_answer(harness: Harness, agents: Agents) -> None:
    record = await agents.run(await harness.open(), "look_up D1 | look_up D2 | look_up D3")
    assert ["D1: 42 euros", "D2: 42 euros", "D3: 42 euros"] == sorted(record.output.split("; "))


async def test_a_tool_that_takes_the_context_asks_people_and_keeps_named_values(
    harness: Harness, agents: Agents
) -> None:
    session = await harness.open(context={"notes": ["before"], "secret": "key"})
    task_id = await agents.submit(session, "note milk + confirm ready")
    assert ("ready?", ["yes", "no"]) == ((question := await asked(session)).text, question.choices)
    await session.respond(task_id, "yes")
    record = await session.result(task_id, LONG)
    assert ("completed", "noted milk; a person said yes") == (record.status, record.output)
    assert {"notes": ["before", "milk"], "secret": "key"} == (await session.context()).values


async def test_what_a_tool_raises_the_model_reads_and_what_it_names_ends_the_task(
    harness: Harness, agents: Agents
) -> None:
    session = await harness.open()
    assert "no milk" == (await agents.run(session, "breaks milk")).output
    assert "hoards gave more than 131072 bytes: give a part of it" == (await agents.run(session, "hoards")).output
    assert ("OutOfStock", "out of stock") == failure(await agents.run(session, "breaks named"))
    assert ("RefusedError", "the provider refuses [key]") == failure(await agents.run(session, "please refuse"))
    assert "no milk" == (await agents.run(session, "breaks milk")).output


async def test_agents_hand_over_to_each_other(harness: Harness, agents: Agents) -> None:
    session = await harness.open()
    record = await agents.run(session, "handoff cashier paying + refund E1 5", "Team")
    assert ("completed", True) == (record.status, "refunded 5" in str(record.output))
    assert "refund E1 5" in agents.steps()


async def test_a_killed_worker_costs_the_tool_under_way_and_no_finished_call(
    harness: Harness, crashing: Agents
) -> None:
    session = await harness.open()
    task_id = await crashing.submit(session, "look_up F1 + look_up F2")
    await crashing.ran("begin look_up F2")
    await crashing.restart()
    assert "F1: 42 euros; F2: 42 euros" == (await session.result(task_id, LONG)).output
    steps = [step.partition(":")[0] for step in crashing.steps()]
    again = ["begin look_up F2"]
    assert [
        "model 2",
        "begin look_up F1",
        "end look_up F1",
        "model 4",
        *again,
        *again,
        "end look_up F2",
        "model 6",
    ] == steps


async def test_an_output_with_a_shape_and_an_agent_that_thinks_aloud(harness: Harness, agents: Agents) -> None:
    session = await harness.open()
    assert {"euros": 42} == (await agents.run(session, "look_up G1", "Priced")).output
    assert "G1: 42 euros" == (await agents.run(session, "what about G1?", "Thinker")).output


async def test_an_answer_that_was_cut_off_says_so(harness: Harness, agents: Agents) -> None:
    session = await harness.open()
    assert "length" == (await agents.run(session, "a long story")).finish_reason
    assert (await agents.run(session, "a story")).finish_reason is None


async def test_questions_of_tools_at_once_are_put_one_after_the_other(harness: Harness, agents: Agents) -> None:
    session = await harness.open()
    task_id = await agents.submit(session, "refund H1 1 | confirm ready | refund H2 2")
    said: list[str] = []
    for _ in range(3):
        question = await asked(session, *said)
        said.append(question.id)
        await session.respond(task_id, "yes", question_id=question.id)
    record = await session.result(task_id, LONG)
    assert ["a person said yes", "refunded 1", "refunded 2"] == sorted(record.output.split("; "))


async def test_a_cancelled_task_stops_its_tool(harness: Harness, agents: Agents) -> None:
    session = await harness.open()
    task_id = await agents.submit(session, "look_up I1 + look_up I2")
    await agents.ran("begin look_up I1")
    await session.cancel(task_id)
    assert "cancelled" == (await session.result(task_id, LONG)).status
    assert "first you asked: hello" == (await agents.run(session, "hello")).output
    assert "begin look_up I2" not in agents.steps()


REFUSED = """
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.workflow import Workflow
from durable_sessions import llamaindex
import agents, flows

def agent(**options):
    tools = [agents.look_up, agents.note]
    llamaindex.agent(FunctionAgent(name="a", llm=agents.Scripted(), tools=tools), **options)

for make in (
    lambda: llamaindex.flow(flows.Colours()),
    lambda: llamaindex.flow(lambda: flows.Colours()),
    lambda: llamaindex.flow(FunctionAgent),
    lambda: llamaindex.agent(flows.Colours()),
    lambda: agent(),
    lambda: agent(inside=["note", "look_up"]),
    lambda: agent(inside=["note"], ask=["look_down"]),
    lambda: agent(inside=["note"]),
):
    try:
        print(make())
    except Exception as error:
        print(type(error).__name__, error)
"""


TOLD = [
    "TypeError <flows.Colours object",
    "TypeError <function <lambda>",
    "TypeError FunctionAgent is an agent, which cannot go on from a checkpoint; use llamaindex.agent",
    "TypeError Colours is no FunctionAgent, ReActAgent or AgentWorkflow of these",
    "ValueError tool 'note' takes the Context, so it runs inside the workflow, where a replay repeats what it does",
    "ValueError tool 'look_up' takes no Context: it runs as an activity and need not be inside",
    "ValueError there is no tool 'look_down'",
    "None",
]


def test_what_cannot_be_a_kind_is_refused_when_it_is_made(llamaindex: Path, tmp_path: Path) -> None:
    shutil.copytree(KINDS, tmp_path, dirs_exist_ok=True)
    told = run(tmp_path, llamaindex / "python", "-c", REFUSED).splitlines()
    assert TOLD == [line[: len(start)] for line, start in zip(told, TOLD, strict=True)]


async def test_an_agent_tells_its_text_and_the_tools_it_calls_where_that_is_asked_for(
    harness: Harness, agents: Agents
) -> None:
    session, before = await harness.open(), agents.steps().count("streamed")
    words = "What is the order of the day, and of the next one?"
    told, plain = [
        await until(session.stream(await agents.submit(session, text, stream=asked)), ended)
        for text, asked in ((words, True), (words, False))
    ]
    assert f"first you asked: {words}" == text_said(told)
    assert 3 < len([event for event in told if event.text])
    assert 1 == len([event for event in plain if event.text])
    called = await until(session.stream(await agents.submit(session, "look_up A7", stream=True)), ended)
    assert [{"name": "look_up", "arguments": {"order": "A7"}}] == [e.data for e in called if e.type == "tool_call"]
    assert "A7: 42 euros" == text_said(called)
    assert 1 + 2 == agents.steps().count("streamed") - before
