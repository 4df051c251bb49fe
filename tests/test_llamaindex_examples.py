"""The examples of `examples/llamaindex`, as a customer of theirs sees them, and what is said of them."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from starter.client import Session
from starter.program import ROOT
from tests.environments import INSTALL_SECONDS
from tests.harness import Harness, ask
from tests.llamaindex_host import LONG, Host, asked, hosting
from tests.servers import Server
from workflows.contract import Config

EXAMPLES = ROOT / "examples/llamaindex"
PAGE = ROOT / "docs/llamaindex.md"
KIND_LINES = 30

pytestmark = [pytest.mark.rare, pytest.mark.timeout(INSTALL_SECONDS)]


@pytest.fixture(scope="module")
async def shop(llamaindex: Path, server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    host = Host(llamaindex, tmp_path_factory.mktemp("shop"), server.address, "shop:KINDS", EXAMPLES)
    async with hosting(host):
        yield host


@pytest.fixture(scope="module")
async def facts(llamaindex: Path, server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    host = Host(llamaindex, tmp_path_factory.mktemp("facts"), server.address, "colours:KINDS", EXAMPLES)
    async with hosting(host):
        yield host


async def is_as_documented(harness: Harness, session: Session, task_id: str, turn: str) -> None:
    """Events and KB of a task's history are what the page says in the row of that turn."""
    described = await harness.temporal.get_workflow_handle(f"{session.id}/{task_id}").describe()
    info = described.raw_description.workflow_execution_info
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| {turn} |"))
    events, size = row.split("|")[2:4]
    assert pytest.approx(int(events), rel=0.1) == info.history_length
    assert pytest.approx(float(size), rel=0.1) == info.history_size_bytes / 1000


@pytest.mark.not_on_test_server("it does not say what a history weighs")
async def test_the_shop_looks_up_asks_before_it_refunds_and_remembers(harness: Harness, shop: Host) -> None:
    session = await harness.open(Config(default_kind="Shop", queues={"Shop": shop.queue}))
    assert "A7 costs 65 euros" == await ask(session, "What does A7 cost?", task_id="look-up")
    task_id = await session.submit("Refund A7!", task_id="refund")
    question = await asked(session)
    assert ("Allow refund?", {"order": "A7", "euros": 65}) == (question.text, question.data["arguments"])
    await session.respond(task_id, "yes")
    record = await session.result(task_id, LONG)
    assert ("65 euros are paid back for A7", 3) == (record.output, (record.usage or {})["output_tokens"])
    assert "You first asked: What does A7 cost?" == await ask(session, "What did I ask first?")
    await is_as_documented(harness, session, "look-up", "agent, one tool")
    await is_as_documented(harness, session, "refund", "agent, two tools, one approved")


@pytest.mark.not_on_test_server("it does not say what a history weighs")
async def test_the_sun_is_not_yellow(harness: Harness, facts: Host) -> None:
    session = await harness.open(Config(default_kind="Facts", queues={"Facts": facts.queue}))
    assert "yellow" == await ask(session, "What colour is a banana?", task_id="banana")
    assert "1,400,000 kilometres across" == await ask(session, "How big is the sun?")
    await is_as_documented(harness, session, "banana", "flow")


def test_a_kind_takes_few_lines() -> None:
    lines = [line for line in (EXAMPLES / "shop.py").read_text().splitlines() if line]
    assert KIND_LINES >= len(lines)


def test_the_page_shows_what_the_examples_are() -> None:
    files = "".join(file.read_text() for file in EXAMPLES.glob("*.py"))
    shown = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert ([], 2) == ([text for text in shown if text.strip() not in files], len(shown))
