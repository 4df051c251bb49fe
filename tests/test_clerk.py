"""The agent of `docs/kinds.md`, word for word but for its model: leave for a tool, memory, usage of all runs."""

import importlib
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessagesTypeAdapter

from activities.models.offline import OfflineModel
from starter.client import Session
from starter.client.connection import connect
from tests.harness import WAIT, Harness
from tests.servers import Server
from tests.test_approval import asked
from worker import KINDS, build_worker
from workflows.contract import TaskRecord
from workflows.wire import limits
from workflows.wire.encoding import json_bytes

PAGE = Path(__file__).resolve().parents[1] / "docs/kinds.md"


@pytest.fixture
async def session(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Session]:
    """A session and a worker with the kind of the page, as a module of its own, in the SDK's sandbox."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    code = next(block for block in blocks if "ClerkWorkflow" in block)
    assert 1 == code.count('"openai:gpt-5"')
    code = code.replace('"openai:gpt-5"', 'MODEL, system_prompt="be brief"')
    last = "    from workflows.kinds.usage import UsageSum\n"
    code = code.replace(last, f"{last}    from tests.framework_kinds.clerk_model import MODEL\n")
    (tmp_path / "page_clerk.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    client = await connect(server.address, plugins=importlib.import_module("page_clerk").PLUGINS)
    harness = Harness(client)
    async with build_worker(client, OfflineModel(), queue=harness.queue, kinds=KINDS):
        yield await harness.open()
    del sys.modules["page_clerk"]


async def answered(session: Session, text: str, value: Any) -> TaskRecord:
    """The record of a task that asks leave, which is given or not."""
    task_id = await session.submit(text, kind="Clerk")
    question = await asked(session, "Allow refund?")
    order, cents = text.split()[1:]
    assert {"tool": "refund", "arguments": {"order": order, "cents": int(cents)}} == question.data
    await session.respond(task_id, value, question.id)
    return await session.result(task_id, WAIT)


async def test_the_agent_of_the_page_asks_leave_remembers_its_calls_and_counts_all_runs(session: Session) -> None:
    record = await answered(session, "refund A7 4200", "yes")
    assert ("done: paid back 4200 cents for A7", 2) == (record.output, (record.usage or {})["requests"])
    assert 1 == (record.usage or {})["tool_calls"]
    record = await answered(session, "refund B8 100", {"answer": "no", "reason": "too late"})
    assert ("done: too late", 2) == (record.output, (record.usage or {})["requests"])
    changed = {"answer": "yes", "arguments": {"order": "C9", "cents": 5}}
    assert "done: paid back 5 cents for C9" == (await answered(session, "refund C9 1000", changed)).output
    said = await session.result(await session.submit("what did you do?", kind="Clerk"), WAIT)
    assert ("4 asked, ['A7', 'B8', 'C9'] called, ['be brief']", 1) == (said.output, (said.usage or {})["requests"])
    messages = (await session.context()).values["messages"]
    assert len(messages) == len(ModelMessagesTypeAdapter.validate_python(messages)) == 14


@pytest.mark.rare
async def test_an_agent_whose_messages_fill_the_bound_goes_on_with_its_newest_turns_and_its_system_prompt(
    session: Session,
) -> None:
    await answered(session, "refund A7 4200", "yes")
    for letter in "bcd":
        await session.result(await session.submit(letter * 24_000, kind="Clerk"), WAIT)
    kept = (await session.context()).values["messages"]
    assert json_bytes(kept) <= limits.HISTORY_BYTES // 2
    said = await session.result(await session.submit("what did you do?", kind="Clerk"), WAIT)
    assert "2 asked, [] called, ['be brief']" == said.output
    await answered(session, "refund E1 7", "yes")
    said = await session.result(await session.submit("and now?", kind="Clerk"), WAIT)
    assert "4 asked, ['E1'] called, ['be brief']" == said.output
