"""Approvals in a conversation: what a person sees of a call, what they may type, and that nothing else is a yes."""

import json
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from benchmarks.agents import EXAMPLES
from starter.cli import approvals, output
from starter.client import Session
from starter.client.steps import Steps
from starter.dev_server import DevServer
from tests.harness import WAIT, Harness, snapshot_when
from tests.servers import Server
from tests.shops import open_shop
from tests.test_cli import Command, name, on_terminal, run
from workflows.contract import Config, Question
from workflows.wire.approval import ToolCall, call_in

__all__ = ["name", "run"]  # fixtures

CALL = ToolCall(tool="refund", arguments={"order": "A7", "cents": 4200})


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("y", "yes"),
        ("YES", "yes"),
        ("n", "no"),
        ("No", "no"),
        ("n  too dear ", {"answer": "no", "reason": "too dear"}),
        ("no problem", {"answer": "no", "reason": "problem"}),
        ('edit {"cents": 1}', {"answer": "yes", "arguments": {"cents": 1}}),
    ],
)
def test_what_is_typed_becomes_an_answer(typed: str, sent: Any) -> None:
    assert sent == approvals.answer(typed)


@pytest.mark.parametrize("typed", ["", "yes please", "yeah", "ok", "edit", "edit [1]", "edit {", "e"])
def test_nothing_else_is_an_answer(typed: str) -> None:
    with pytest.raises(approvals.UnclearError, match="y, n"):
        approvals.answer(typed)


@pytest.mark.parametrize(
    "question",
    [
        Question(id="q", text="Deploy?", choices=["yes", "no"]),
        Question(id="q", text="Which?", choices=["a", "b"], data=CALL.model_dump()),
        Question(id="q", text="Which?", data=CALL.model_dump()),
        Question(id="q", text="Deploy?", choices=["yes", "no"], data={"arguments": {}}),
    ],
)
def test_a_question_about_something_else_is_no_approval(question: Question) -> None:
    assert call_in(question) is None
    assert 1 == len(list(approvals.shown(question)))


def test_a_call_is_shown_whole_and_steers_no_terminal() -> None:
    call = ToolCall(tool="send\x1b[2J", arguments={"text": "x" * 5_000 + "\x9b1m\u202e", "to": "Zoë"})
    shown = "\n".join(str(part) for part in approvals.shown(_asked(call)))
    assert "x" * 5_000 in shown
    assert "Zoë" in shown
    assert not {"\x9b", "\u202e"} & set(shown + approvals.draft(call))
    assert "\x1b" not in output.clean(shown)
    assert call.arguments == approvals.changed(approvals.draft(call))["arguments"]


def _asked(call: ToolCall) -> Question:
    return Question(id="q", text="Allow it?", choices=["yes", "no"], data=call.model_dump())


async def _asks(harness: Harness) -> Session:
    """A session whose task asks leave for `CALL`."""
    session = await harness.open()
    await session.submit(CALL.model_dump(), kind="Leave a call", task_id="asks")
    await snapshot_when(session, lambda seen: bool(seen.running and seen.running.waiting_for))
    return session


async def _said(session: Session) -> list[Any]:
    output: list[Any] = (await session.result("asks", WAIT)).output
    return output


async def test_into_a_pipe_goes_the_call_and_only_a_clear_line_answers(run: Command, harness: Harness) -> None:
    session = await _asks(harness)
    talked = await run("chat", session.id, stdin='sure\nedit {"cents"\nedit {"order": "A7", "cents": 1}\n')
    assert 0 == talked.code
    assert 'Allow refund? (yes / no)\n\nrefund {\n  "order": "A7",\n  "cents": 4200\n}' in talked.out
    assert [True, {"order": "A7", "cents": 1}, True, None] == await _said(session)


async def test_a_reason_for_a_no_reaches_the_task(run: Command, harness: Harness) -> None:
    session = await _asks(harness)
    assert 0 == (await run("chat", session.id, stdin="n it was worn\n")).code
    assert [False, CALL.arguments, False, "it was worn"] == await _said(session)


async def test_show_tells_what_a_question_is_about(run: Command, harness: Harness) -> None:
    session = await _asks(harness)
    shown = (await run("show", session.id)).out
    assert f"about: {json.dumps(CALL.model_dump())}\n" in shown
    await session.respond("asks", "yes")
    assert [True, CALL.arguments, False, None] == await _said(session)


async def test_on_a_terminal_arguments_are_changed_where_they_stand(server: DevServer, harness: Harness) -> None:
    session = await _asks(harness)
    async with on_terminal(server, harness, "chat", session.id) as terminal:
        await terminal.shows("or edit")
        terminal.type("edit")
        await terminal.shows('{"order": "A7", "cents": 4200}')
        terminal.type("\x7f")  # the last brace goes
        await terminal.shows("that is no JSON")
        terminal.type("edit")
        await terminal.shows('{"order": "A7", "cents": 4200}')
        terminal.type("\x7f\x7f\x7f5}")
        await terminal.shows("true")
        terminal.type("/quit")
        assert 0 == await terminal.ended()
    assert [True, {"order": "A7", "cents": 425}, True, None] == await _said(session)


async def test_what_is_edited_when_its_question_has_gone_is_sent_nowhere(server: DevServer, harness: Harness) -> None:
    session = await _asks(harness)
    async with on_terminal(server, harness, "chat", session.id) as terminal:
        await terminal.shows("or edit")
        terminal.type("edit")
        await terminal.shows('{"order"')
        await session.cancel("asks")
        await terminal.shows("TaskCancelled")
        terminal.type("")
        await terminal.shows("nothing is sent")
        terminal.type("/quit")
        assert 0 == await terminal.ended()
    assert 1 == sum(tuple((await session.snapshot()).counters.model_dump(include={"submitted"}).values()))


@pytest.mark.not_on_test_server("a history is not read from its end there (UNIMPLEMENTED)")
async def test_a_conversation_with_an_agent_names_its_calls_and_asks_on_the_spot(
    server: Server, tmp_path: Path
) -> None:
    assert isinstance(server, DevServer)
    async with open_shop(EXAMPLES[0], Path(sys.executable), server, tmp_path) as shop:
        talk = f"talk-{uuid.uuid4().hex[:8]}"
        await shop.harness.client.open(talk, Config(default_kind=shop.example.kind))
        async with on_terminal(server, shop.harness, "chat", talk) as terminal:
            await terminal.shows("/quit leaves")
            terminal.type("Please refund A7.")
            await terminal.shows("request model:")
            await terminal.shows("call tool: <agent>:look_up")
            await terminal.shows("Allow refund? (yes / no)")
            await terminal.shows('"cents": 4200')
            terminal.type("y")
            await terminal.shows("call tool: <agent>:refund")
            await terminal.shows("4200 cents paid back for A7.")
            terminal.type("/quit")
            assert 0 == await terminal.ended()
        session = shop.harness.client.get(talk)
        steps = Steps(session, (await session.snapshot()).recent[0].task_id)
        assert 2 == sum("call tool" in step for step in await steps.look())
        assert [] == await steps.look()


@pytest.mark.not_on_test_server("a history is not read from its end there (UNIMPLEMENTED)")
async def test_a_task_that_is_not_there_has_no_steps(harness: Harness) -> None:
    assert [] == await Steps(await harness.open(), "never-heard-of").look()
