"""The page to chat on, without a browser and without NiceGUI: who may ask for it, what it draws, what it knows."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from starter.dev_loop import _gateway_environment
from starter.dev_server import DevServer
from starter.gateway.page import shown
from starter.gateway.page.conversation import NEW, Conversation, Conversations
from starter.gateway.page.guard import Guard, refused
from starter.gateway.settings import GatewaySettings, GatewaySettingsError
from tests.harness import WAIT, Harness, run_task
from tests.test_streaming import details, started, telling
from workflows.contract import Config
from workflows.wire.approval import NO, YES
from workflows.wire.errors import SessionError

__all__ = ["telling"]  # a fixture

HERE = {"host": "127.0.0.1:8243"}
BANANA, YELLOW = "What colour is a banana?", "A ripe banana is yellow."


@pytest.mark.parametrize(
    "given",
    [
        HERE,
        {"host": "localhost"},
        {"host": "[::1]:8243"},
        {**HERE, "origin": "http://127.0.0.1:8243", "sec-fetch-site": "same-origin", "sec-fetch-mode": "websocket"},
        {**HERE, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
)
def test_the_page_itself_and_a_link_to_it_may_come(given: dict[str, str]) -> None:
    assert refused(Headers(given), navigates=True) is None


@pytest.mark.parametrize("navigates", [True, False])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example:8243"},
        {"host": "127.0.0.1@evil.example"},
        {"host": "192.168.1.7:8243"},
        {**HERE, "origin": "http://evil.example"},
        {**HERE, "origin": "http://127.0.0.1:8000"},
        {**HERE, "origin": "http://localhost:8243"},
        {**HERE, "origin": "null"},
        {**HERE, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {**HERE, "sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
    ],
)
def test_pages_of_others_and_other_names_may_not(given: dict[str, str], navigates: bool) -> None:
    assert refused(Headers(given), navigates=navigates)


def test_no_page_of_another_site_may_post_by_a_form() -> None:
    assert refused(Headers({**HERE, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}), navigates=False)


async def _answered(kind: str, headers: dict[str, str]) -> list[Message]:
    """What the guard, around a page that says yes, sends."""
    sent: list[Message] = []

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Message:
        return {"type": f"{kind}.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await Guard(page)({"type": kind, "method": "GET", "path": "/", "headers": raw}, receive, send)
    return sent


async def test_the_guard_closes_what_may_not_come_and_keeps_the_page_out_of_frames() -> None:
    [start] = await _answered("http", HERE)
    given = Headers(raw=start["headers"])
    assert "DENY" == given["x-frame-options"]
    assert "frame-ancestors 'none'" in given["content-security-policy"]
    assert "default-src 'none'" in given["content-security-policy"]
    assert 421 == (await _answered("http", {"host": "evil.example"}))[0]["status"]
    assert 403 == (await _answered("http", {**HERE, "origin": "http://evil.example"}))[0]["status"]
    assert ["websocket.close"] == [
        message["type"] for message in await _answered("websocket", {**HERE, "origin": "http://evil.example"})
    ]


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![x](http://evil.example/x.png)",
        "[x](javascript:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "<http://evil.example/?a=b onclick=x>",
        "```\n</code></pre><script>alert(1)</script>\n```",
        '[x](http://a.example "\\" onmouseover=alert(1)")',
        {"html": "<script>alert(1)</script>"},
        {"text": "<iframe src=http://evil.example>"},
    ],
)
def test_nothing_that_somebody_wrote_is_markup_of_the_page(hostile: Any) -> None:
    for drawn in (
        shown.value(hostile),
        shown.asked(hostile),
        shown.growing(json.dumps(hostile)),
        shown.as_block(hostile),
    ):
        for bad in ("<script", "<img", "<iframe", 'href="javascript', 'href="data', "' on", '" on', " onclick=x>"):
            assert bad not in drawn


def test_markdown_is_drawn_and_a_long_text_that_grows_is_not() -> None:
    assert "<p><strong>one</strong></p>\n" == shown.growing("**one**")
    assert "<table>" in shown.value({"text": "| a |\n|---|\n| b |"})
    long = "**one** " * (shown.GROWS_PLAIN_BEYOND // 8 + 1)
    assert "<strong>" not in shown.growing(long)
    assert "<strong>" in shown.value(long)
    assert "<strong>" not in shown.value(long * 4)


def test_leave_is_given_with_the_arguments_as_they_were_typed_or_not_at_all() -> None:
    before = {"cents": 4200}
    assert YES == shown.leave(before, ' {"cents": 4200}\n')
    assert {"answer": YES, "arguments": {"cents": 1}} == shown.leave(before, '{"cents": 1}')
    assert [NO, {"answer": NO, "reason": "worn"}] == [shown.refusal(" "), shown.refusal("worn ")]
    for typed in ("", "{", "[1]", "4200", "yes"):
        with pytest.raises(shown.NoArgumentsError):
            shown.leave(before, typed)


def test_a_gateway_with_keys_has_no_page(tmp_path: Any) -> None:
    with pytest.raises(GatewaySettingsError, match="SESSIONS_GATEWAY_PAGE"):
        GatewaySettings(page=True, keys=tmp_path / "keys.json").check_address()
    with pytest.raises(GatewaySettingsError, match="KeyMissing"):
        GatewaySettings(page=True, host="0.0.0.0").check_address()  # noqa: S104 (it is refused)


def test_the_dev_loop_asks_for_a_page_where_there_is_one_to_have(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("KEYS", "PAGE"):
        monkeypatch.delenv(f"SESSIONS_GATEWAY_{name}", raising=False)
    server = DevServer(tmp_path / "db", 1, 2, 3)
    monkeypatch.setattr("starter.dev_loop.PAGE_NEEDS", ("json",))
    assert "1" == _gateway_environment(server)["SESSIONS_GATEWAY_PAGE"]
    monkeypatch.setenv("SESSIONS_GATEWAY_KEYS", "keys.json")
    assert "" == _gateway_environment(server)["SESSIONS_GATEWAY_PAGE"]
    monkeypatch.delenv("SESSIONS_GATEWAY_KEYS")
    monkeypatch.setattr("starter.dev_loop.PAGE_NEEDS", ("no_such_package",))
    assert "" == _gateway_environment(server)["SESSIONS_GATEWAY_PAGE"]


async def _when(here: Conversation, found: Callable[[], object]) -> None:
    """Wait until the page knows it."""
    async with asyncio.timeout(WAIT):
        while not found():
            await here.changed.wait()


@contextmanager
def _entered(harness: Harness, session_id: str) -> Iterator[Conversation]:
    with Conversations(harness.client).entered(session_id) as here:
        yield here


async def test_a_page_that_is_opened_shows_what_was_said_and_the_first_message_opens_a_session(
    harness: Harness,
) -> None:
    session = await harness.open(Config(on_failure="continue"))
    await run_task(session, {"text": BANANA}, task_id="said")
    await run_task(session, "soon", kind="Countdown", task_id="failed")
    await run_task(session, BANANA, task_id="alone", context={"read": "none", "transcript": 0, "write": False})
    with _entered(harness, session.id) as here:
        await _when(here, lambda: len(here.ended) == 3)
        said, failed, alone = here.ended.values()
        assert ({"text": BANANA}, YELLOW, None) == (said.asked, said.answer, said.problem)
        assert ("soon", "failed", YELLOW) == (failed.asked, failed.status, alone.answer)
        assert failed.problem
    new = f"{session.id}-new"
    with _entered(harness, new) as here:
        await _when(here, lambda: here.status == NEW)
        await here.ask(BANANA, "ada")
        assert [BANANA] == [begins for _, begins in here.queue] or here.running
        await _when(here, lambda: here.ended)
        assert [(BANANA, YELLOW)] == [(said.asked, said.answer) for said in here.ended.values()]
        assert "ada" == (await harness.client.get(new).snapshot()).config.owner
    await harness.client.get(new).close()
    await harness.client.get(new).finished(WAIT)


async def test_a_question_asked_while_nobody_looked_is_there_and_is_answered(harness: Harness) -> None:
    session = await harness.open(Config(default_kind="Leave a call"))
    call = {"tool": "refund", "arguments": {"cents": 4200}}
    task_id = await session.submit(call)
    with _entered(harness, session.id) as here:
        await _when(here, lambda: here.running and here.running.question)
        assert here.running
        question = here.running.question
        assert question
        await here.respond(question, shown.leave(call["arguments"], '{"cents": 1}'))  # type: ignore[arg-type]
        with pytest.raises(SessionError, match="NotWaiting"):
            await here.respond(question, YES)
        await _when(here, lambda: here.ended)
    assert [True, {"cents": 1}, True, None] == (await session.result(task_id, WAIT)).output


async def test_what_waits_and_what_runs_is_cancelled_and_a_refusal_keeps_what_was_typed(harness: Harness) -> None:
    session = await harness.open()
    await session.submit(600, task_id="slow", kind="Countdown")
    with _entered(harness, session.id) as here:
        await _when(here, lambda: here.running)
        await here.ask(BANANA, None)
        await _when(here, lambda: here.pending)
        [(waits, begins)] = here.queue
        assert BANANA == begins
        await here.cancel(waits)
        await here.ask("x" * 70_000, None)
        await _when(here, lambda: len(here.ended) == 2)
        assert {"cancelled", "rejected"} == {said.status for said in here.ended.values()}
        [refused_] = [said for said in here.ended.values() if said.status == "rejected"]
        assert ("x" * 70_000, "InputTooLarge") == (refused_.asked, str(refused_.problem).partition(":")[0])
        await here.cancel("slow")
        await _when(here, lambda: "slow" in here.ended and here.running is None)
        assert [] == here.queue


async def test_a_window_opened_in_mid_stream_has_the_text_so_far_and_both_show_the_same(telling: Harness) -> None:
    conversations = Conversations(telling.client)
    session, steps = await started(telling)
    said: list[Any] = ["One ", "two "]
    with conversations.entered(session.id) as here:
        steps.put_nowait(details(said))
        await _when(here, lambda: here.running and here.running.text == "One two ")
        with conversations.entered(session.id) as other:
            assert here is other
        said.append({"type": "tool_call", "data": {"name": "look", "arguments": {"a": 1}}})
        steps.put_nowait(details(said))
        await _when(here, lambda: here.running and 'look {"a": 1}' in here.running.steps)
    with conversations.entered(session.id) as again:  # reloaded
        assert again is not here
        await _when(again, lambda: again.running and again.running.text == "One two ")
        steps.put_nowait(details(["One ", "three"], attempt=2))
        await _when(again, lambda: again.running and again.running.text == "One three")
        assert again.running
        assert 2 == again.running.begins
        steps.put_nowait(("One three",))
        await _when(again, lambda: again.ended)
        assert ["One three"] == [said.answer for said in again.ended.values()]
        assert again.running is None
