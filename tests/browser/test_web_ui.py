"""What a person on call does with nothing but the Web UI: the real one, in a real browser."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="no Playwright: pip install playwright")

from playwright.async_api import expect

from benchmarks.agents import EXAMPLES, Example
from starter.client.connection import connect
from starter.dev_server import DevServer
from tests.browser.pages import WebUiPage, browsing, chromium, offered, words_of
from tests.harness import WAIT, Harness, ask, run_task, snapshot_when
from tests.servers import Server
from tests.shops import open_shop
from tests.test_examples import CALLED
from workflows.contract import Config, task_workflow_id

pytestmark = [
    pytest.mark.rare,
    pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine: apt-get install chromium"),
    pytest.mark.not_on_test_server("it has no Web UI"),
]

BANANA, SUN, FIRST = "What colour is a banana?", "How big is the sun?", "What did I ask first?"
HOSTILE = "# Is **this** <b>a</b> | [link](http://example.org)?"


@pytest.fixture(scope="module")
async def worker(server: Server) -> AsyncIterator[Harness]:
    """One worker for all of these tests."""
    harness = Harness(await connect(server.address))
    async with harness.worker():
        yield harness
    await harness.replay_all()


@pytest.fixture(scope="module")
async def ui(server: Server) -> AsyncIterator[WebUiPage]:
    """One window of one browser."""
    assert isinstance(server, DevServer)
    async with browsing(server.ui) as page:
        yield page


async def test_a_session_is_found_by_its_owner_and_opened(worker: Harness, ui: WebUiPage) -> None:
    owner = f"ada-{worker.queue}"  # other tests have sessions of an ada too
    session, other = await worker.open(Config(owner=owner)), await worker.open(Config(owner="grace"))
    await ask(session, BANANA)
    await ask(other, BANANA)
    found = await ui.find_by_owner(owner)
    await expect(found).to_have_count(1, timeout=WAIT * 1_000)
    await expect(found).to_contain_text(session.id)
    await ui.follow(session.id)
    assert "RUNNING" == await ui.status()
    await ui.details("Status: idle", f"owner {owner}")


async def test_a_whole_conversation_is_read(worker: Harness, ui: WebUiPage) -> None:
    session = await worker.open()
    answers = [await ask(session, question) for question in (BANANA, SUN, FIRST)]
    await ui.open(session.id)
    await ui.timeline(BANANA, SUN, FIRST)
    details = await ui.details("Last 3 of 3 turns")
    turns = [line for line in (await words_of(details)).splitlines() if line[:2] in {"Q ", "A "}]
    asked = zip((BANANA, SUN, FIRST), answers, strict=True)
    assert [text for question, answer in asked for text in (f"Q {question}", f"A {answer}")] == turns


async def test_it_shows_which_task_runs_and_what_waits(worker: Harness, ui: WebUiPage) -> None:
    session = await worker.open()
    await session.submit(600, task_id="slow", kind="Countdown")
    await session.submit(BANANA, task_id="banana")
    await session.submit({"text": SUN}, task_id="sun")
    await ui.open(session.id)
    details = await ui.details("Status: running", "Running since", "Pending: 2")
    words = await words_of(details)
    assert "slow (Countdown)" in words
    assert f"Pending: 2\n• banana (Answer) {BANANA}\n• sun (Answer) {SUN}" in words
    await ui.timeline("Countdown 600")
    await session.close("now")


async def test_a_task_is_opened_from_the_page_of_its_session(worker: Harness, ui: WebUiPage) -> None:
    session = await worker.open()
    await ask(session, BANANA, task_id="banana")
    await ui.open(session.id)
    details = await ui.details("Last 1 of 1 turns")
    async with ui.page.expect_popup() as popup:
        await details.get_by_role("link", name="banana").click()
    task = WebUiPage(await popup.value, "")
    await task.page.get_by_role("heading", name=task_workflow_id(session.id, "banana")).wait_for()
    assert "COMPLETED" == await task.status()
    await task.details(f"Question\n\u00a0{BANANA}", "Answer, by offline\n\u00a0A ripe banana is yellow.")
    await task.page.close()


@pytest.mark.parametrize("example", [example for example in EXAMPLES if not example.alone], ids=lambda e: e.folder)
async def test_the_calls_of_an_agent_are_rows_by_the_names_of_model_and_tools(
    server: Server, ui: WebUiPage, tmp_path: Path, example: Example
) -> None:
    async with open_shop(example, Path(sys.executable), server, tmp_path) as shop:
        session = await shop.open()
        task_id = await session.submit("Please refund A7.")
        await snapshot_when(session, lambda snapshot: snapshot.status == "waiting")
        await session.respond(task_id, "yes")
        await session.result(task_id, WAIT)
        await ui.open(task_workflow_id(session.id, task_id))
        model, look_up, refund = CALLED[example.folder]
        rows = await ui.timeline(refund)
        shown = [text for text in await rows.all_inner_texts() if text.startswith(("agent__", "shop."))]
        assert sorted([model, model, model, look_up, refund]) == sorted(shown)


async def test_a_question_is_submitted_and_its_answer_seen(worker: Harness, ui: WebUiPage) -> None:
    session = await worker.open()
    await ui.open(session.id)
    data = json.loads(await offered(await ui.details("To send"), "submit"))
    await ui.send_signal("submit", json.dumps(data | {"input": BANANA}))
    await ui.details(f"Q {BANANA}\nA A ripe banana is yellow.")
    await ui.timeline(BANANA)
    assert "completed" == (await session.result(data["task_id"], WAIT)).status


async def test_a_question_to_a_person_is_answered(worker: Harness, ui: WebUiPage) -> None:
    session = await worker.open()
    task_id = await session.submit("deploy", kind="Approve")
    await ui.open(session.id)
    details = await ui.details("Status: waiting", "Waits for an answer to: deploy?", 'Choices: ["yes", "no"]')
    await ui.send_signal("respond", await offered(details, "respond"))
    details = await ui.details("Waits for an answer to: Why?")
    answer = json.loads(await offered(details, "respond"))
    await ui.send_signal("respond", json.dumps(answer | {"value": "it is Tuesday"}))
    await ui.details("Status: idle", "Q deploy")
    assert {"did": "deploy", "why": "it is Tuesday"} == (await session.result(task_id, WAIT)).output


async def test_a_query_answers_in_json(worker: Harness, ui: WebUiPage) -> None:
    session = await worker.open(Config(title="Space talk"))
    await ask(session, BANANA)
    await ui.open(session.id)
    snapshot = await ui.query("snapshot")
    for line in (f'"session_id": "{session.id}"', '"status": "idle"', '"title": "Space talk"'):
        assert line in snapshot


async def test_a_task_is_asked_for_by_its_id(worker: Harness, ui: WebUiPage) -> None:
    session = await worker.open()
    await ask(session, BANANA, task_id="banana")
    await ui.open(session.id)
    assert '"output": "A ripe banana is yellow."' in await ui.query("task", '"banana"')


async def test_an_update_is_taken_or_refused_with_its_reason_at_once(worker: Harness, ui: WebUiPage) -> None:
    session = await worker.open()
    await ui.open(session.id)
    form = await ui.send_update("submit_task", json.dumps({"task_id": "banana", "input": BANANA}))
    await form.wait_for(state="hidden")
    await ui.details(f"Q {BANANA}")
    form = await ui.send_update("submit_task", json.dumps({"task_id": "banana", "input": SUN}))
    await form.get_by_text("banana is the id of another task").wait_for()


async def test_a_running_task_is_cancelled_and_the_next_one_runs(worker: Harness, ui: WebUiPage) -> None:
    session = await worker.open()
    await session.submit(600, task_id="slow", kind="Countdown")
    await session.submit(BANANA, task_id="banana")
    await ui.open(session.id)
    details = await ui.details("Running since", "Pending: 1")
    await ui.send_signal("cancel_task", await offered(details, "cancel_task"))
    await ui.details("Status: idle", f"Q {BANANA}", "slow cancelled, TaskCancelled: your reason; was asked: 600")
    assert "cancelled" == (await session.result("slow", WAIT)).status


async def test_the_cancel_of_temporal_ends_the_session_with_its_task(worker: Harness, ui: WebUiPage) -> None:
    session = await worker.open()
    await session.submit(600, task_id="slow", kind="Countdown")
    await snapshot_when(session, lambda snapshot: snapshot.running is not None)
    await ui.open(session.id)
    await ui.request_cancellation()
    await ui.details("Status: closed", "slow cancelled")
    assert "closed" == (await session.finished(WAIT)).status


async def test_json_of_the_wrong_shape_is_found_under_rejected(worker: Harness, ui: WebUiPage) -> None:
    session = await worker.open()
    await ui.open(session.id)
    await ui.send_signal("submit", '{"task": "wrong"}')
    details = await ui.details("Rejected: 1")
    words = await words_of(details)
    assert "submit: InvalidRequest, task_id: Field required; input: Field required" in words
    assert 'began with {"task":"wrong"}' in words
    assert (await run_task(session, BANANA)).output


async def test_a_session_is_closed(worker: Harness, ui: WebUiPage) -> None:
    session = await worker.open()
    await ui.open(session.id)
    await ui.send_signal("close", await offered(await ui.details("To send"), "close"))
    await ui.details("Status: closed")
    assert "closed" == (await session.finished(WAIT)).status


async def test_a_hostile_question_changes_nothing_on_any_page(worker: Harness, ui: WebUiPage) -> None:
    session = await worker.open()
    task = await run_task(session, HOSTILE)
    await ui.open(session.id)
    rows = await ui.timeline("this")
    assert [HOSTILE] == [_plain(text) for text in await rows.all_inner_texts() if "this" in text]
    details = await ui.details(f"Q {HOSTILE}")
    assert 0 == await details.locator("h1, b, em, a:not([href^=namespaces])").count()
    await ui.open(task_workflow_id(session.id, task.task_id))
    assert HOSTILE in await words_of(await ui.details("Answer"))
    summary = ui.page.frame_locator("#user-metadata-summary")
    assert HOSTILE == _plain(await words_of(summary))
    assert 0 == await summary.locator("h1, b, em, strong, a").count()


def _plain(label: str) -> str:
    """A label without what keeps Markdown from acting on it, which the eye does not see."""
    return label.replace("\u200b", "").replace("\u2217", "*").strip()
