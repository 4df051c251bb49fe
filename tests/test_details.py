"""The page of a session: what users write changes nothing but words on it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from workflows.contract import Config, ContextPatch, Question, TaskOutput, TaskRequest, WaitingNotice
from workflows.details import render
from workflows.errors import SessionError
from workflows.state import SessionState

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
HOSTILE = [
    "**bold** _it_ `code` ~~gone~~",
    "a | b | c",
    "# heading",
    "<script>alert(1)</script><b>x</b>",
    "[link](http://example.org) ![image](http://example.org/x.png) <http://example.org> http://example.org a@b.org",
    "line\n\n# next | line\n- item\n> quote\n```\ncode",
    "\\| \\* &lt;b&gt; &amp; &#42;",
    "| --- | --- |",
    "1. one",
    "---",
]


def _tokens(text: str) -> list[Token]:
    """A page on which `text` stands wherever users can put one, as a Markdown parser reads it."""
    state = SessionState(session_id="s", config=Config(title=text[:255]), started_at=NOW)
    for number in range(3):
        state.submit(TaskRequest(task_id=f"t{number}", input=text, kind=text[:255]), NOW)
    task = state.next_task(NOW)
    assert task
    state.start(task, NOW)
    state.complete(TaskOutput(output=text, patch=ContextPatch(set={text: 1})), NOW)
    running = state.next_task(NOW)
    assert running
    state.start(running, NOW)
    state.refuse(text, {"task_id": text, "input": text}, SessionError(text, text), NOW)
    state.wait(WaitingNotice(task_id=running.task_id, question=Question(id="q", text=text)))
    page = render(state)
    tokens = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable(["table", "strikethrough"]).parse(page)
    return [inner for token in tokens for inner in (token, *(token.children or []))]


def _page(text: str) -> list[tuple[str, str]]:
    """The structure of that page, without its words."""
    return [(token.type, token.tag) for token in _tokens(text) if token.type not in {"text", "text_special"}]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_leaves_the_page_as_it_is(text: str) -> None:
    assert _page("harmless") == _page(text)


@given(st.text(alphabet="a \n|*_#<>[]()`~\\&;!-=+.1:/@\"'", min_size=1, max_size=60).filter(str.strip))
def test_no_text_changes_the_page(text: str) -> None:
    assert _page("harmless") == _page(text)


@pytest.mark.parametrize("text", [*HOSTILE, "<b", "a < b > c", "a - b", "\\", "|", "\\|", "&amp;"])
def test_a_text_is_read_as_it_was_written(text: str) -> None:
    """In twelve places, one of which cuts it to 60 bytes; a zero-width space may follow what could open a tag."""
    line = " ".join(text.split())
    words = ["".join(t.content for t in token.children or []) for token in _tokens(text) if token.type == "inline"]
    assert (12 if len(line) <= 60 else 11) == "\n".join(words).replace("\u200b", "").count(line)
