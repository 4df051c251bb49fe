"""What a watcher is told, from pairs of looks at the pure state of a session."""

from typing import Any

import pytest

from starter.cli import watched
from starter.client.changes import Change, changes
from starter.client.watching import Look
from tests.samples import DONE, NOW, at, running, session, start
from workflows.contract import Question, WaitingNotice
from workflows.state.session_state import SessionState
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.progress import Progress


def _look(state: SessionState, **found: Any) -> Look:
    return Look(snapshot=state.snapshot(), **found)


def _told(before: Look | None, now: Look) -> list[str]:
    """The lines of change, without the time and the session."""
    return [watched.line(change).split(" ", 2)[2] for change in changes(before, now, NOW)]


def test_the_first_look_tells_how_the_session_stands() -> None:
    state = running("a", "b")
    assert ["is running, 1 pending", "a runs: a"] == _told(None, _look(state))
    assert ["is idle, 0 pending"] == _told(None, _look(session()))


def test_a_look_like_the_one_before_tells_nothing() -> None:
    look = _look(running("a"), progress=Progress(done=1))
    assert [] == _told(look, look)


def test_the_end_of_a_task_and_the_start_of_the_next_come_in_order() -> None:
    state = running("a", "b")
    before = _look(state)
    state.complete(DONE, at(1))
    ended = state.record("a", at(1))
    start(state)
    assert ["a completed: done", "is running, 0 pending", "b runs: b"] == _told(before, _look(state, ended=[ended]))


def test_a_task_that_did_not_complete_is_told_with_its_error() -> None:
    state = running("a")
    before = _look(state)
    state.end("timed_out", SessionError(ErrorType.TASK_TIMED_OUT, "too late"), at(1))
    told = _told(before, _look(state, ended=[state.record("a", at(1))]))
    assert ["a timed out: TaskTimedOut: too late", "is idle, 0 pending"] == told


def test_a_question_to_a_person_is_told_and_that_it_was_answered() -> None:
    state = running("a")
    before = _look(state)
    state.wait(WaitingNotice(task_id="a", question=Question(id="q", text="Really?")))
    asking = _look(state)
    assert ["is waiting, 0 pending", "a asks: Really?"] == _told(before, asking)
    state.wait(WaitingNotice(task_id="a", question=None))
    assert ["is running, 0 pending", "a runs: a"] == _told(asking, _look(state))


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (Progress(done=3, total=4, note="page 3"), "a 3 of 4, 75%: page 3"),
        (Progress(done=1_234_567), "a 1,234,567"),
        (Progress(done=5, total=4), "a 5 of 4, 100%"),
        (Progress(done=0, total=0), "a 0"),
    ],
)
def test_progress_is_told_when_it_changes(progress: Progress, line: str) -> None:
    state = running("a")
    before, now = _look(state, progress=Progress(done=1, total=4)), _look(state, progress=progress)
    assert [line] == _told(before, now)
    assert [] == _told(now, now)


def test_the_same_progress_of_another_task_is_told() -> None:
    state = running("a", "b")
    before = _look(state, progress=Progress(done=1))
    state.complete(DONE, at(1))
    start(state)
    assert "b 1" in _told(before, _look(state, progress=Progress(done=1)))


def test_a_refused_message_is_told_with_its_reason() -> None:
    state = session()
    before = _look(state)
    state.refuse("sumbit", {}, SessionError(ErrorType.INVALID_REQUEST, "there is no signal of that name"), NOW)
    now = _look(state, rejected=state.ledger.rejected)
    assert ["rejected sumbit: InvalidRequest: there is no signal of that name"] == _told(before, now)


def test_silence_and_its_end_are_told_once_each() -> None:
    there, away = _look(session()), _look(session(), unanswered="no worker answers")
    assert ["no worker answers"] == _told(there, away)
    assert [] == _told(away, away)
    assert ["answers again"] == _told(away, there)


def test_tasks_that_ended_unseen_are_counted() -> None:
    there = _look(session())
    assert ["7 more tasks ended meanwhile"] == _told(there, there.model_copy(update={"missed": 7}))


def test_a_text_of_many_lines_is_told_in_one() -> None:
    change = Change(at=NOW, session_id="s", change="unanswered", status=None, message="one\n  two\tthree")
    assert "2026-11-23T09:00:00Z s one two three" == watched.line(change)
