"""The pages of a session and of its tasks: what they say, and that what users write is nothing but words there."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pages import HOSTILE, Renderer, WebUi, commonmark
from tests.samples import NOW, at, handed_over, request, running, session, start
from tests.test_full_state import full_session
from workflows.contract import (
    CancelRequest,
    CloseRequest,
    Compact,
    ContextPatch,
    Question,
    TaskOutput,
    TaskRequest,
    WaitingNotice,
)
from workflows.state.details import of_task, render, summary
from workflows.state.session_state import SessionState
from workflows.state.signals import act
from workflows.wire.errors import SessionError

PAGE_BYTES = 13_000
"""Far below the 20,000 that Temporal takes; the URL of an ordinary page, percent-encoded, is below that too."""


def asking(text: str, **question: Any) -> SessionState:
    """A session whose running task asks a person."""
    state = running("deploy", "next")
    act(state, "task_waiting", {"task_id": "deploy", "question": {"id": "q7", "text": text, **question}}, NOW)
    return state


def everywhere(text: str) -> SessionState:
    """A session with `text` wherever users can put one."""
    name = text[:255]
    state = session(owner=name, title=name)
    for number in range(3):
        state.submit(TaskRequest(task_id=f"t{number}", input=text, kind=name), NOW)
    start(state)
    state.complete(TaskOutput(output=text, patch=ContextPatch(set={text: 1}), finish_reason=text), NOW)
    start(state)
    state.end("failed", SessionError(text, text), NOW)
    start(state)
    state.submit(TaskRequest(task_id="t3", input=text, kind=name), NOW)
    state.refuse(text, {"task_id": text, "input": text}, SessionError(text, text), NOW)
    question = Question(id=name, text=text, choices=[text[:100]] * 2, data={text[:100]: text})
    state.wait(WaitingNotice(task_id="t2", question=question))
    state.cancel(CancelRequest(task_id="t2", reason=text[:500]), NOW)
    state.close(CloseRequest(reason=text[:500]), NOW)
    return state


def _check_page(renderer: Renderer, text: str) -> None:
    elements, words = renderer(render(everywhere(text)))
    assert renderer(render(everywhere("harmless")))[0] == elements
    line = " ".join(text.split())
    if len(line) <= 20:  # too short to be cut anywhere
        assert WORDS <= words.count(line)


WORDS = 18
"""Places of the text on that page in which it stands as words; in the others it is part of JSON."""


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("renderer", [commonmark, "web_ui"])
def test_a_hostile_text_changes_nothing_on_the_page(
    request: pytest.FixtureRequest, renderer: Renderer | str, text: str
) -> None:
    _check_page(request.getfixturevalue(renderer) if isinstance(renderer, str) else renderer, text)


@given(text=st.text(alphabet="a \n|*_#<>[]()`~\\&;!-=+.1:/@\"'${}", min_size=1, max_size=60).filter(str.strip))
def test_no_text_changes_the_page(web_ui: WebUi, text: str) -> None:
    _check_page(commonmark, text)
    _check_page(web_ui, text)


def messages(page: str) -> list[tuple[str, Any]]:
    """What the page offers to paste: names of signals and their data."""
    rows = re.findall(r"^\| `(\w+)`\u2003 \| `(.*)` \|$", page, re.MULTILINE)
    return [(name, json.loads(data)) for name, data in rows]


def test_the_page_says_what_runs_since_when_and_what_waits() -> None:
    state = running("sun", "moon", options={"kind": "Countdown"}, owner="ada", title="Space talk")
    state.submit(request("later", not_before=at(60)), NOW)
    page = render(state)
    assert "**Status: running**\nowner ada · title Space talk · 3 submitted" in page
    link = "[`sun`](namespaces/{namespace}/workflows/s%2Fsun)"
    assert f"**Running since 2026-11-23 09:00:00 UTC:** {link} (Countdown)\n**Q** sun" in page
    assert (
        "**Pending: 2**\n• `moon` (Answer) moon\n• `later` (Answer, not before 2026-11-23 09:01:00 UTC) later" in page
    )


def test_the_page_has_the_question_its_choices_and_the_answer_to_paste() -> None:
    about = {"tool": "deploy", "arguments": {"to": "`<b>`"}}
    page = render(asking("Deploy?", choices=["yes", "no | `never`"], expires_at=at(60), data=about))
    assert "**Status: waiting**" in page
    assert (
        '**Waits for an answer to:** Deploy?\nQuestion id: `"q7"`\n'
        'About: `{"tool": "deploy", "arguments": {"to": "\\u0060<b>\\u0060"}}`\n'
        'Choices: `["yes", "no \\u007c \\u0060never\\u0060"]`\nUntil: 2026-11-23 09:01:00 UTC'
    ) in page
    answer = {"task_id": "deploy", "question_id": "q7"}
    assert [
        ("respond", answer | {"value": "yes"}),
        ("respond", answer | {"value": "no | `never`"}),
    ] == messages(page)[:2]


@pytest.mark.parametrize(
    "state",
    [
        session(),
        session("a", "b"),
        running("a", "b"),
        asking("Why?"),
        asking("?" * 2_000),
        asking("Deploy?", choices=["no"], data={"tool": "deploy"}),
    ],
)
def test_every_message_of_the_page_is_taken_as_it_is(state: SessionState) -> None:
    known = state.model_copy(deep=True)
    for name, data in messages(render(state)):
        act(state.model_copy(deep=True), name, data, NOW)
    assert known == state


def test_the_page_of_a_closing_session_offers_no_submit_and_of_a_closed_one_nothing() -> None:
    state = running()
    state.close(CloseRequest(reason="done with it"), NOW)
    page = render(state)
    assert "**Status: draining** (takes no new tasks, ends with those it has): done with it\n" in page
    assert {"cancel_task", "close"} == {name for name, _ in messages(page)}
    state.complete(TaskOutput(output="done"), NOW)
    assert "**Status: closed**" in render(state)
    assert [] == messages(render(state))


def test_the_page_has_the_last_ten_turns_the_context_and_what_went_wrong() -> None:
    state = session()
    for number in range(12):
        state.submit(request(f"t{number}", input={"text": f"Question {number}?"}), NOW)
        start(state)
        state.complete(TaskOutput(output={"n": number}, patch=ContextPatch(set={f"key{number}": 1})), at(number))
    state.submit(request("tea"), NOW)
    start(state)
    state.end("timed_out", SessionError("TaskTimedOut", "took too long"), NOW)
    state.refuse("submit", {"task": "wrong"}, SessionError("InvalidRequest", "task_id: Field required"), NOW)
    page = render(state)
    assert '**Last 10 of 12 turns**\n**Q** Question 2?\n**A** `{"n": 2}`\n' in page
    link = "[`t11`](namespaces/{namespace}/workflows/s%2Ft11)"
    assert f'**Q** Question 11?\n**A** `{{"n": 11}}`\n{link} · version 12 · 2026-11-23 09:00:11 UTC' in page
    assert (
        "**Not completed**\n• [`tea`](namespaces/{namespace}/workflows/s%2Ftea) **timed out**, TaskTimedOut: " in page
    )
    assert "**Context: version 12**\nKeys: key0, key1, " in page
    refused = 'submit: InvalidRequest, task_id: Field required; began with `{"task":"wrong"}`'
    assert f"**Rejected: 1**\n• 2026-11-23 09:00:00 UTC {refused}" in page
    assert page == render(handed_over(state))


def test_a_turn_that_is_not_a_whole_answer_says_so() -> None:
    state = running("a", "b")
    state.complete(TaskOutput(output="so far", finish_reason="length *"), NOW)
    start(state)
    state.complete(TaskOutput(output="all", finish_reason="stop"), NOW)
    first, second = render(state).split("**A** ")[1:3]
    assert "· version 1 · 2026-11-23 09:00:00 UTC · ended by length \\*\n" in first
    assert "ended by" not in second


def test_a_turn_that_a_fork_brought_along_leads_nowhere() -> None:
    state = running("a")
    state.complete(TaskOutput(output="done"), NOW)
    fork = session()
    fork.context = state.context
    assert "workflows/s%2Fa" in render(state)
    assert "`a` · version 1" in render(fork)
    assert "workflows/" not in render(fork)


@pytest.mark.rare
def test_the_page_of_a_full_session_stays_far_below_what_temporal_takes() -> None:
    assert PAGE_BYTES > len(render(full_session()).encode())
    worst = everywhere("<" * 2_000)
    assert PAGE_BYTES > len(render(worst).encode())


def test_a_tasks_page_says_whose_it_is_and_what_it_sees() -> None:
    state = running("sun", options={"context": {"read": ["name", "<b>"], "transcript": 3, "write": False}})
    assert (
        "Task `sun` of session [`s`](namespaces/{namespace}/workflows/s)\n"
        "**Submitted:** 2026-11-23 09:00:00 UTC · **time to end:** 3600 seconds\n"
        "**Sees:** context version 0, values: name, \\<b>, last 3 turns\n"
        "**May change it:** no"
    ) == of_task(state)


@pytest.mark.parametrize(
    ("read", "shown"),
    [
        ("all", "all"),
        ("none", "none"),
        ([f"key{number}" for number in range(30)], ", ".join(f"key{number}" for number in range(30))),
        ([f"key{number}" for number in range(32)], ", ".join(f"key{number}" for number in range(30)) + ", and 2 more"),
    ],
)
def test_a_tasks_page_names_the_values_it_may_see(read: Any, shown: str) -> None:
    assert f", values: {shown}, last " in of_task(running("sun", options={"context": {"read": read}}))


@pytest.mark.parametrize(
    ("task_input", "shown"),
    [
        ("How big?", "How big?"),
        ({"text": "How big?"}, "How big?"),
        (60, "Countdown 60"),
        ({"a": 1}, 'Countdown {"a":1}'),
    ],
)
def test_a_timeline_shows_what_was_asked(task_input: Any, shown: str) -> None:
    state = running("sun", options={"input": task_input, "kind": "Countdown"})
    assert shown == summary(state.running_task().task)


def test_a_page_shows_the_summary_of_a_session_that_is_compacted() -> None:
    for compact, shown in ((None, False), (Compact(kind="Summarise"), True)):
        state = session(compact=compact)
        state.context.patch(ContextPatch(set={"summary": "The name is *Ada*."}), None, NOW)
        assert shown == ("**Summary of the turns before**\nThe name is \\*Ada\\*." in render(state))
