"""Leave for a tool: what a person may answer, and the kind of `docs/kinds.md` that asks for it."""

import importlib
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from temporalio.client import Client

from activities.models.offline import OfflineModel
from starter.client import Session
from tests.conformance.caller import SLOWNESS
from tests.harness import WAIT, Harness, run_task, snapshot_when
from tests.samples import JSON, error_of
from worker import KINDS, build_worker
from workflows.contract import Question
from workflows.kinds.approval import Approval, approval

ROOT = Path(__file__).resolve().parents[1]
ARGUMENTS: dict[str, Any] = {"order": "A7", "cents": 4200}
OTHER: dict[str, Any] = {"order": "A7", "cents": 100}

ANSWERS: dict[str, tuple[Any, Approval]] = {
    "yes": ("yes", Approval(approved=True, arguments=ARGUMENTS)),
    "no": ("no", Approval(approved=False, arguments=ARGUMENTS)),
    "yes, longer": ({"answer": "yes"}, Approval(approved=True, arguments=ARGUMENTS)),
    "why not": (
        {"answer": "no", "reason": "too much"},
        Approval(approved=False, arguments=ARGUMENTS, reason="too much"),
    ),
    "changed": ({"answer": "yes", "arguments": OTHER}, Approval(approved=True, arguments=OTHER, changed=True)),
    "none": ({"answer": "yes", "arguments": {}}, Approval(approved=True, arguments={}, changed=True)),
    "not changed": ({"answer": "yes", "arguments": {**ARGUMENTS}}, Approval(approved=True, arguments=ARGUMENTS)),
    "another type": (
        {"answer": "yes", "arguments": {"order": "A7", "cents": 4200.0}},
        Approval(approved=True, arguments={"order": "A7", "cents": 4200.0}, changed=True),
    ),
    "no, and arguments": (
        {"answer": "no", "arguments": OTHER, "reason": None},
        Approval(approved=False, arguments=ARGUMENTS),
    ),
}


@pytest.mark.parametrize(("value", "said"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_yes_no_with_a_reason_or_other_arguments(value: Any, said: Approval) -> None:
    assert said == approval(value, ARGUMENTS)


NO_ANSWERS = [
    *["", "Yes", "y", True, None, [], ["yes"], {}],
    *[{"answer": True}, {"answer": "yes", "argument": OTHER}],
    *[{"answer": "yes", "arguments": [1]}, {"answer": "no", "reason": 5}],
]


@pytest.mark.parametrize("value", NO_ANSWERS, ids=str)
def test_whatever_else_is_no_answer_and_says_so_in_a_line(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        approval(value, ARGUMENTS)


@given(value=JSON)
def test_nothing_but_a_yes_is_taken_for_one(value: Any) -> None:
    try:
        said = approval(value, ARGUMENTS)
    except ValueError:
        return
    assert said.approved == (value == "yes" or (isinstance(value, dict) and value["answer"] == "yes"))


async def asked(session: Session, text: str) -> Question:
    """The question with these words in it, once the session shows it."""
    snapshot = await snapshot_when(
        session, lambda s: bool(s.running and s.running.waiting_for and text in s.running.waiting_for.text)
    )
    assert snapshot.running
    assert snapshot.running.waiting_for
    return snapshot.running.waiting_for


@pytest.fixture
async def page_session(temporal: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Session]:
    """A session, and a worker with the kind of the page, word for word, as a module of its own."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/kinds.md").read_text(), flags=re.DOTALL)
    (tmp_path / "page_refund.py").write_text(next(block for block in blocks if "RefundWorkflow" in block))
    monkeypatch.syspath_prepend(tmp_path)
    kind = importlib.import_module("page_refund").RefundWorkflow
    harness = Harness(temporal)
    async with build_worker(temporal, OfflineModel(), queue=harness.queue, kinds=[*KINDS, kind]):
        yield await harness.open()
    del sys.modules["page_refund"]


@pytest.mark.parametrize(
    ("value", "output"),
    [
        ("yes", "refunded 4200 cents for A7"),
        ("no", "refused: no reason given"),
        ({"answer": "no", "reason": "too much"}, "refused: too much"),
        ({"answer": "yes", "arguments": OTHER}, "refunded 100 cents for A7"),
    ],
    ids=str,
)
async def test_the_kind_of_the_page_does_what_a_person_said(page_session: Session, value: Any, output: str) -> None:
    task_id = await page_session.submit("A7", kind="Refund")
    question = await asked(page_session, "Allow refund?")
    assert ({"tool": "refund", "arguments": ARGUMENTS}, ["yes", "no"]) == (question.data, question.choices)
    await page_session.respond(task_id, value, question.id)
    assert output == (await page_session.result(task_id, WAIT)).output


async def test_an_answer_that_cannot_be_read_is_no_yes_and_the_question_comes_again(harness: Harness) -> None:
    session = await harness.open()
    task_id = await session.submit({"tool": "refund", "arguments": '{"order": "A7"}'}, kind="Leave a call")
    first = await asked(session, "Allow refund?")
    assert {"tool": "refund", "arguments": {"order": "A7"}} == first.data
    await session.respond(task_id, {"answer": "perhaps"})
    await session.respond(task_id, {"answer": "yes", "arguments": "none"})
    again = await asked(session, "(the last answer could not be used: arguments: ")
    assert (first.data, True) == (again.data, again.id != first.id)
    await session.respond(task_id, {"answer": "no", "reason": "no \ud83d"})
    assert [False, {"order": "A7"}, False, "no \ufffd"] == (await session.result(task_id, WAIT)).output
    assert ["InvalidRequest"] == [entry.error.type for entry in (await session.snapshot()).rejected]


async def test_leave_that_nobody_gives_in_time_ends_the_task_also_after_a_useless_answer(harness: Harness) -> None:
    session = await harness.open()
    task_id = await session.submit({"tool": "refund", "arguments": {}, "wait": 2 * SLOWNESS}, kind="Leave a call")
    first = await asked(session, "Allow refund?")
    await session.respond(task_id, {"answer": "yes", "arguments": 1})
    assert first.expires_at == (await asked(session, "could not be used")).expires_at
    record = await session.result(task_id, WAIT)
    assert ("timed_out", "TaskTimedOut") == (record.status, error_of(record))


HALF, WHOLE = "half \ud83d", "half \ufffd"


async def test_half_a_character_in_a_call_is_mended(harness: Harness) -> None:
    session = await harness.open()
    escaped = '{"half \\ud83d": ["half \\ud83d"]}'
    task_id = await session.submit({"tool": HALF, "arguments": escaped}, kind="Leave a call")
    assert {"tool": WHOLE, "arguments": {WHOLE: [WHOLE]}} == (await asked(session, "Allow")).data
    await session.respond(task_id, "yes")
    assert [True, {WHOLE: [WHOLE]}, False, None] == (await session.result(task_id, WAIT)).output


IMPOSSIBLE: dict[str, tuple[Any, str, str]] = {
    "large": ({"tool": "t", "arguments": {"text": "x" * 16_384}}, "InputTooLarge", "question: data weighs"),
    "a list": ({"tool": "t", "arguments": "[1]"}, "InvalidRequest", "arguments: Input should be a valid dictionary"),
    "cut off": ({"tool": "t", "arguments": "{"}, "InvalidRequest", "arguments: "),
    "deep": ({"tool": "t", "arguments": "[" * 9_000}, "InvalidRequest", "arguments: "),
    "no number": ({"tool": "t", "arguments": '{"n": NaN}'}, "InvalidRequest", "arguments: not JSON"),
    "no tool": ({"tool": "", "arguments": {}}, "InvalidRequest", "tool: "),
    "a set": ("a set", "InvalidRequest", "question: data is not JSON: a set"),
    "a long text": ("a long text", "InvalidRequest", "question: text: the words weigh more than 2048 bytes"),
}


@pytest.mark.parametrize(("body", "error", "message"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
async def test_what_nobody_can_be_asked_ends_the_task_by_name(
    harness: Harness, body: Any, error: str, message: str
) -> None:
    record = await run_task(await harness.open(), body, kind="Leave a call")
    assert record.error
    assert ("failed", error) == (record.status, record.error.type)
    assert record.error.message.startswith(message)
