"""The agents of `examples/`, each on a real server: tools, a person's yes and no, memory, usage, a killed worker.

pydantic-ai and LangGraph are in our own environment. Each of the others is installed into one that is made for it, as
`examples/README.md` says; those tests bear the mark `environment`.
"""

import ast
import asyncio
import json
import re
import shlex
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.history.v1 import HistoryEvent

from benchmarks.agents import EXAMPLES, Example, attempts, code_lines
from starter.client import Session
from starter.program import ROOT
from tests import command_lines
from tests.conformance.caller import SLOWNESS
from tests.environments import INSTALL_SECONDS, copied_source, ran, run
from tests.harness import WAIT, run_task, snapshot_when
from tests.openai_server import OpenAIServer, Reply, ok
from tests.servers import NO_NEXT_WORKER, Server
from tests.shops import Shop, open_shop
from workflows.contract import ContextPolicy, Question, Snapshot, TaskRecord, task_workflow_id

TRACES_SECONDS = 12.0
"""OpenAI Agents sends its traces every five."""

KEYS = dict.fromkeys(("OPENAI_API_KEY", "GOOGLE_API_KEY", "LANGSMITH_API_KEY", "LOGFIRE_TOKEN"), "sk-opens-nothing")
"""What makes a framework think that it may send something."""

CALLED = {
    "pydantic_ai": (
        "agent__shop__model_request • request model: function:offline",
        "agent__shop__toolset__<agent>__call_tool • call tool: <agent>:look_up",
        "agent__shop__toolset__<agent>__call_tool • call tool: <agent>:refund",
    ),
    "langgraph": ("shop.think • ask the model", "shop.act • look_up", "shop.act • refund"),
    "openai_agents": ("invoke_model_activity • shop", "look_up • What an order cost.", "refund • Refund an order."),
    "google_adk": ("invoke_model • shop", "look_up", "refund"),
}
"""What the Web UI calls a request of the model and each tool. All but LangGraph, whose nodes say it, do so alone."""


def _param(example: Example) -> Any:
    marks = [pytest.mark.environment, pytest.mark.timeout(INSTALL_SECONDS)] if example.alone else []
    return pytest.param(example, id=example.folder, marks=marks)


@pytest.fixture(scope="module", params=[_param(example) for example in EXAMPLES])
def example(request: pytest.FixtureRequest) -> Example:
    found: Example = request.param
    return found


@pytest.fixture(scope="module")
def python(example: Example, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of an environment which has the example's framework."""
    if not example.alone:
        return Path(sys.executable)
    made, source = tmp_path_factory.mktemp("environment"), copied_source(tmp_path_factory.mktemp("source"))
    run(made, sys.executable, "-m", "venv", made)
    extra = example.folder.replace("_", "-")
    pip: list[str | Path] = [made / "bin/python", "-m", "pip", "--quiet"]
    reached = ran(made, *pip, "download", "--no-deps", "--no-cache-dir", "--dest", made / "tried", extra)
    if reached.returncode:
        pytest.skip(f"no package index that has {extra}")
    constraints = ROOT / "examples" / example.folder / "constraints.txt"
    run(source, *pip, "install", "--constraint", constraints, "--editable", f".[{extra}]", "mypy")
    return made / "bin/python"


@pytest.fixture(scope="module")
async def shop(
    example: Example, python: Path, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shop]:
    """Its worker keeps no workflow in memory, so that each step is a replay, and has every key that frameworks take."""
    settings = {"SESSIONS_MAX_CACHED_WORKFLOWS": "0", **KEYS}
    async with open_shop(example, python, server, tmp_path_factory.mktemp("shop"), settings) as shop:
        yield shop


def _usage(requests: int) -> dict[str, int]:
    """What the offline model says to have taken."""
    return {"requests": requests, "input_tokens": requests * 10, "output_tokens": requests * 5}


def _used(record: TaskRecord) -> dict[str, float]:
    """The figures that every framework gives."""
    return {name: (record.usage or {})[name] for name in _usage(0)}


def _waits(seen: Snapshot) -> bool:
    return bool(seen.running and seen.running.waiting_for)


async def _asked(session: Session, task_id: str) -> Question:
    """What the task wants a person to say."""
    snapshot = await snapshot_when(session, lambda seen: bool(seen.recent or _waits(seen)))
    assert snapshot.running, snapshot.recent
    assert snapshot.running.waiting_for
    return snapshot.running.waiting_for


async def test_an_agent_calls_a_tool_and_says_what_it_found(shop: Shop) -> None:
    record = await run_task(await shop.open(), "What does B1 cost?")
    assert ("B1 cost 42 euros.", None, _usage(2)) == (record.output, record.error, _used(record))
    assert ["begin price B1", "end price B1"] == shop.ledger("B1")


async def test_what_a_person_allows_is_done_once_and_usage_is_that_of_all_runs(shop: Shop) -> None:
    session = await shop.open()
    task_id = await session.submit("Please refund C2.")
    question = await _asked(session, task_id)
    assert ["yes", "no"] == question.choices
    assert {"tool": "refund", "arguments": {"order": "C2", "cents": 4200}} == question.data
    assert ["begin price C2", "end price C2"] == shop.ledger("C2")
    await session.respond(task_id, "yes")
    record = await session.result(task_id, WAIT)
    assert ("4200 cents paid back for C2.", None, _usage(3)) == (record.output, record.error, _used(record))
    assert ["begin pay_back C2 4200", "end pay_back C2 4200"] == shop.ledger("C2")[2:]


def _rows(events: Sequence[HistoryEvent]) -> list[str]:
    """How the Timeline of the Web UI calls the activities of a task: their type and, where there is one, a summary."""
    called = [event for event in events if event.HasField("activity_task_scheduled_event_attributes")]
    summaries = [json.loads(event.user_metadata.summary.data or "null") for event in called]
    names = [event.activity_task_scheduled_event_attributes.activity_type.name for event in called]
    return [" • ".join(filter(None, row)) for row in zip(names, summaries, strict=True)]


async def test_each_call_of_the_model_and_of_a_tool_is_there_by_name(shop: Shop) -> None:
    model, look_up, refund = CALLED[shop.example.folder]
    session = await shop.open()
    task_id = await session.submit("Please refund L9.")
    await _asked(session, task_id)
    await session.respond(task_id, "yes")
    await session.result(task_id, WAIT)
    child = session.temporal.get_workflow_handle(task_workflow_id(session.id, task_id))
    rows = _rows((await child.fetch_history()).events)
    assert [model, look_up, model, refund, model] == rows


async def test_what_a_person_refuses_is_not_done_and_the_model_hears_of_it(shop: Shop) -> None:
    session = await shop.open()
    task_id = await session.submit("Please refund D3.")
    await _asked(session, task_id)
    await session.respond(task_id, {"answer": "no", "reason": "It was worn."})
    record = await session.result(task_id, WAIT)
    refused = "This tool call is rejected." if shop.example.folder == "google_adk" else "It was worn."
    assert (refused, None, _usage(3)) == (record.output, record.error, _used(record))
    assert ["begin price D3", "end price D3"] == shop.ledger("D3")


async def test_arguments_that_a_person_changes_are_those_of_the_call(shop: Shop) -> None:
    """Where a framework cannot change those of a call, it is a no: OpenAI's model is told, ADK's only that it is."""
    session = await shop.open()
    task_id = await session.submit("Please refund K8.")
    await _asked(session, task_id)
    await session.respond(task_id, {"answer": "yes", "arguments": {"order": "K8", "cents": 100}})
    record = await session.result(task_id, WAIT)
    output, calls = {
        "openai_agents": ("call it with {'order': 'K8', 'cents': 100}.", []),
        "google_adk": ("This tool call is rejected.", []),
    }.get(shop.example.folder, ("100 cents paid back for K8.", ["begin pay_back K8 100", "end pay_back K8 100"]))
    assert (output, None, calls) == (record.output, record.error, shop.ledger("K8")[2:])


async def test_a_later_task_remembers_what_its_policy_lets_it_see(shop: Shop) -> None:
    session = await shop.open()
    await run_task(session, "What does E4 cost?")
    again = "What did I ask first?"
    assert "You first asked: What does E4 cost?" == (await run_task(session, again)).output
    isolated = ContextPolicy(read="none", transcript=0, write=False)
    assert f"You first asked: {again}" == (await run_task(session, again, context=isolated)).output


async def test_a_later_task_knows_what_the_summary_says_and_does_not_keep_it_again(shop: Shop) -> None:
    session = await shop.open()
    await session.patch_context({"set": {"summary": "What does M1 cost? 42 euros."}})
    for _ in range(2):
        record = await run_task(session, "What did I ask first?")
        assert record.error is None
        assert "What does M1 cost? 42 euros." in record.output
    kept = (await session.context()).values.get("messages", [])
    assert 0 == str([message for message in kept if message["kind"] == "request"]).count("M1")


@pytest.mark.not_on_test_server(NO_NEXT_WORKER)
@pytest.mark.rare
async def test_a_worker_killed_in_a_tool_costs_that_call_and_no_finished_one(
    example: Example, python: Path, server: Server, tmp_path: Path
) -> None:
    async with open_shop(example, python, server, tmp_path, {"SHOP_SECONDS": str(2 * SLOWNESS)}) as shop:
        session = await shop.open()
        task_id = await session.submit("What does F5 cost?")
        async with asyncio.timeout(WAIT):
            while not shop.ledger("F5"):  # noqa: ASYNC110 (a file tells nobody)
                await asyncio.sleep(0.1)
        await shop.worker.kill()
        await shop.worker.start()
        assert "F5 cost 42 euros." == (await session.result(task_id, WAIT)).output
        assert ["begin price F5", "begin price F5", "end price F5"] == shop.ledger("F5")
        child = session.temporal.get_workflow_handle(f"{session.id}/{task_id}")
        counted = attempts(list((await child.fetch_history()).events))
    assert [1, 2] == sorted(counted.values()), counted


async def _heard(shop: Shop) -> list[str]:
    """Whom it called, or tried to, within some seconds after a task."""
    await run_task(await shop.open(), "What does G6 cost?")
    until = time.monotonic() + TRACES_SECONDS
    while not shop.outside.asked and time.monotonic() < until:  # noqa: ASYNC110 (it may be that nobody is called)
        await asyncio.sleep(0.1)
    return shop.outside.asked


@pytest.mark.rare
async def test_a_key_alone_makes_no_framework_send_anything(shop: Shop) -> None:
    assert [] == await _heard(shop)


@pytest.mark.parametrize("example", [_param(e) for e in EXAMPLES if e.folder == "openai_agents"], indirect=True)
async def test_openai_agents_sends_its_traces_where_that_is_asked_for(
    example: Example, python: Path, server: Server, tmp_path: Path
) -> None:
    settings = {**KEYS, "OPENAI_AGENTS_DISABLE_TRACING": "false"}
    async with open_shop(example, python, server, tmp_path, settings) as shop:
        assert "CONNECT api.openai.com:443 HTTP/1.1" in await _heard(shop)


def _calls_look_up() -> Reply:
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": "H7"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    usage = {"prompt_tokens": 30, "completion_tokens": 8, "total_tokens": 38}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    return Reply(body=json.dumps(body))


@pytest.mark.rare
async def test_a_real_model_of_pydantic_ai_is_told_of_the_turns_and_of_what_its_tools_said(
    server: Server, tmp_path: Path
) -> None:
    """Its own client, on loopback; the two variables are all that a reader sets."""
    usage = {"prompt_tokens": 40, "completion_tokens": 4, "total_tokens": 44}
    async with OpenAIServer() as openai:
        openai.script.extend([_calls_look_up(), ok("42 euros.", usage)])
        settings = {"SHOP_MODEL": "openai-chat:gpt-test", "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": openai.url}
        async with open_shop(EXAMPLES[0], Path(sys.executable), server, tmp_path, settings) as shop:
            session = await shop.open()
            record = await run_task(session, "What does H7 cost?")
            await run_task(session, "And the postage?")
    assert ("42 euros.", {"requests": 2, "input_tokens": 70, "output_tokens": 12}) == (record.output, _used(record))
    said = [[(part["role"], part.get("content")) for part in request.body["messages"]] for request in openai.requests]
    assert ("tool", "H7 cost 42 euros") == said[1][-1]
    turn = [*said[1][-3:], ("assistant", "42 euros."), ("user", "And the postage?")]
    assert ("user", "What does H7 cost?") == turn[0]
    assert turn == said[2][-5:]


@pytest.mark.rare
def test_a_real_model_of_pydantic_ai_is_there_before_a_workflow_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name alone it would be looked up in the first task, too slowly for the SDK's two seconds now and then."""
    monkeypatch.setenv("SHOP_MODEL", "openai-chat:gpt-test")
    code = "import sys, examples.pydantic_ai.shop; print('openai' in sys.modules)"
    assert "True\n" == run(ROOT, sys.executable, "-c", code)


@pytest.mark.parametrize("page", ["examples/README.md", "docs/kinds.md"])
def test_the_tables_say_how_long_each_example_is(page: str) -> None:
    text = (ROOT / page).read_text()
    table = text[text.index("| framework |") :].split("\n\n")[0]
    cells = [[cell.strip() for cell in row.split("|")] for row in table.splitlines()[2:]]
    told = [(re.sub(r"\(.*|[\d.]+$", "", name).strip("[] "), int(lines)) for _, name, _, lines, *_ in cells]
    adapted = code_lines((ROOT / "examples/llamaindex/shop.py").read_text())  # tried in test_llamaindex_examples.py
    assert told == [*((example.name, example.lines) for example in EXAMPLES), ("LlamaIndex", adapted)]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.folder)
def test_the_kind_of_an_example_is_no_longer_than_thirty_lines(example: Example) -> None:
    text = (ROOT / "examples" / example.folder / "shop.py").read_text()
    kinds = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    assert all(code_lines(ast.get_source_segment(text, kind) or "") <= 30 for kind in kinds)
    assert kinds


async def test_the_commands_of_the_readme_come_right(server: Server, tmp_path: Path) -> None:
    page = (ROOT / "examples/README.md").read_text()
    commands = re.findall(r"^python -m starter (\w+) demo ?(.*)$", page, re.MULTILINE)
    said = []
    async with open_shop(EXAMPLES[0], Path(sys.executable), server, tmp_path) as shop:
        session = shop.harness.client.get(f"readme-{uuid.uuid4().hex}")
        environment = {"TEMPORAL_ADDRESS": server.address, "SESSIONS_TASK_QUEUE": shop.harness.queue}
        for verb, rest in commands:
            if verb == "respond":  # as a person does, who has seen the question
                await snapshot_when(session, _waits)
            command = await command_lines.run(verb, session.id, *shlex.split(rest), wait=WAIT, **environment)
            said.append((verb, command.out.strip()))
            assert 0 == command.code, verb
    assert ["open", "ask", "submit", "respond", "ask"] == [verb for verb, _ in said]
    assert ["A7 cost 42 euros.", "You first asked: What does A7 cost?"] == [
        text for verb, text in said if verb == "ask"
    ]


@pytest.mark.parametrize("example", [_param(e) for e in EXAMPLES if e.alone], indirect=True)
def test_the_types_of_an_example_are_right_in_its_environment(example: Example, python: Path) -> None:
    """Our own checks leave out what our own environment has no packages for."""
    files = sorted((ROOT / "examples" / example.folder).glob("*.py"))
    run(ROOT, python, "-m", "mypy", *files)
