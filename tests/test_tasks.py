"""The tasks of a session, from submission to record; random walks through all of it are in test_state_machine.py."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import (
    DONE,
    JSON,
    NOW,
    accepted,
    at,
    carried,
    error_of,
    handed_over,
    known,
    refused,
    request,
    running,
    session,
    start,
    waiting,
)
from workflows.contract import (
    CancelRequest,
    CloseRequest,
    ContextPatch,
    PatchRequest,
    RollbackRequest,
    TaskOutput,
    TaskRecord,
)
from workflows.state.session_state import SessionState
from workflows.wire import limits
from workflows.wire.errors import ErrorType, SessionError

REMEMBER = TaskOutput(output="kept", patch=ContextPatch(set={"k": 1}))


# --- once -------------------------------------------------------------------------------------------------------------


def test_the_same_task_submitted_again_is_one_task_and_answers_how_it_stands() -> None:
    state = session("b", "a")
    answers = [state.submit(request(), NOW)]
    assert start(state) == "b"
    answers.append(state.submit(request(), NOW))
    state.complete(DONE, NOW)
    start(state)
    answers.append(state.submit(request(), NOW))
    state.complete(DONE, NOW)
    state = handed_over(state)
    state.close(CloseRequest(), NOW)
    answers.append(state.submit(request(), NOW))
    assert [(a.status, a.position) for a in answers] == [
        ("pending", 1),
        ("pending", 0),
        ("running", None),
        ("completed", None),
    ]
    assert state.ledger.counters.submitted == 2


def test_another_body_under_a_known_id_is_a_conflict_and_the_first_stays() -> None:
    state = running("a")
    with refused("TaskIdConflict"):
        state.submit(request("a", input="other"), NOW)
    assert known(state).input_preview == "a"


def test_a_refused_task_may_be_submitted_again() -> None:
    state = running("a")
    with refused("Busy"):
        state.submit(request("b", on_busy="reject"), NOW)
    state.complete(DONE, NOW)
    assert state.submit(request("b", on_busy="reject"), NOW).status == "pending"


# --- busy -------------------------------------------------------------------------------------------------------------


def test_a_task_that_would_rather_be_rejected_is_refused_only_while_the_session_is_busy() -> None:
    delayed = request("delayed", not_before=at(60))
    for busy in (running("a"), session("a")):
        with refused("Busy"):
            busy.submit(request("b", on_busy="reject"), NOW)
    state = session()
    state.submit(delayed, NOW)
    assert state.submit(request("b", on_busy="reject"), NOW).status == "pending"


def test_an_interrupt_cancels_the_running_task_and_goes_to_the_front() -> None:
    state = running("a", "b")
    assert state.submit(request("urgent", on_busy="interrupt"), NOW).position == 0
    state.complete(DONE, NOW)
    assert [known(state).status, start(state)] == ["cancelled", "urgent"]


def test_a_task_that_replaces_what_waits_ends_it_and_leaves_the_running_one() -> None:
    state = running("a", "b", "c", max_pending=2)
    state.submit(request("new", on_busy="replace_pending"), NOW)
    assert waiting(state) == ["new"]
    assert [known(state, name).status for name in "abc"] == ["running", "cancelled", "cancelled"]
    assert error_of(known(state, "b")) == "TaskCancelled"


@pytest.mark.parametrize("on_busy", ["enqueue", "interrupt"])
def test_a_full_list_takes_no_more_and_nothing_is_cancelled_for_it(on_busy: str) -> None:
    state = running("a", "b", "c", max_pending=2)
    with refused("QueueFull"):
        state.submit(request("d", on_busy=on_busy), NOW)
    assert [waiting(state), known(state).status, state.record("d", NOW)] == [["b", "c"], "running", None]
    assert state.running
    assert state.running.cancel_reason is None


def test_a_list_is_full_by_weight_too() -> None:
    state = session()
    with refused("QueueFull"):
        for number in range(10):
            state.submit(request(str(number), input="x" * 60_000), NOW)
    assert len(state.pending) == 6


# --- the end of a task ------------------------------------------------------------------------------------------------


def ended(output: TaskOutput, **options: Any) -> tuple[SessionState, TaskRecord]:
    state = running("a", options=options)
    state.complete(output, NOW)
    return state, known(state)


def test_a_completed_task_makes_one_version_and_one_turn() -> None:
    state, record = ended(REMEMBER)
    assert (record.status, record.output, record.error) == ("completed", "kept", None)
    assert record.context_version.model_dump() == {"before": 0, "after": 1}
    assert ({"k": 1}, 1, ["a"]) == (
        state.context.values,
        state.context.version,
        [t.task_id for t in state.context.transcript],
    )


def test_a_task_without_write_leaves_the_context_as_it_was() -> None:
    state, record = ended(DONE, context={"write": False})
    assert (record.status, record.context_version.after) == ("completed", 0)
    assert (state.context.version, state.context.transcript) == (0, [])


@pytest.mark.parametrize(
    ("expected", "kept", "output", "options"),
    [
        ("PatchNotAllowed", "kept", REMEMBER, {"context": {"write": False}}),
        ("PatchNotAllowed", "done", TaskOutput(output="done", patch=ContextPatch()), {"context": {"write": False}}),
        ("ContextTooLarge", 1, TaskOutput(output=1, patch=ContextPatch(set={"k": "x" * limits.CONTEXT_BYTES})), {}),
        ("InvalidOutput", 1, TaskOutput(output=1, patch=ContextPatch(set={"k": 1}, append={"k": [2]})), {}),
        ("InvalidOutput", None, TaskOutput(output=float("nan")), {}),
        ("OutputTooLarge", None, TaskOutput(output="x" * (limits.OUTPUT_BYTES - 1)), {}),
    ],
    ids=["patch", "empty patch", "context", "append", "NaN", "output"],
)
def test_a_result_that_is_not_allowed_fails_its_task_and_leaves_no_trace(
    expected: str, kept: Any, output: TaskOutput, options: dict[str, Any]
) -> None:
    state, record = ended(output, **options)
    assert (record.status, error_of(record), record.output) == ("failed", expected, kept)
    assert (record.context_version.before, record.context_version.after) == (0, None)
    assert (state.context.version, state.context.values, state.context.transcript) == (0, {}, [])


def test_why_an_answer_ended_is_in_the_record_and_the_turn_for_good() -> None:
    state, record = ended(TaskOutput(output="so far", finish_reason="length"))
    assert ("completed", "length") == (record.status, record.finish_reason)
    assert ["length"] == [turn.finish_reason for turn in state.context.transcript]
    state.rollback_context(RollbackRequest(version=0), NOW)
    state.rollback_context(RollbackRequest(version=1), NOW)
    again = handed_over(state)
    assert ["length"] == [turn.finish_reason for turn in again.context.transcript]
    assert ["length"] == [turn.finish_reason for turn in again.context.inject(accepted("b")).transcript]
    assert record == known(again)


@pytest.mark.parametrize("reason", [None, "stop"])
def test_an_answer_that_ended_by_itself_carries_no_word_of_it(reason: str | None) -> None:
    state, _ = ended(TaskOutput(output="all", finish_reason=reason))
    assert b"finish_reason" not in carried(state)


def test_a_conflict_keeps_the_output_and_drops_the_whole_patch() -> None:
    state = running("a")
    state.patch_context(PatchRequest(patch=ContextPatch(set={"k": 2})), NOW)
    patch = ContextPatch(set={"k": 1, "l": 1})
    state.complete(TaskOutput(output="kept", patch=patch, usage={"t": 1}, finish_reason="length"), NOW)
    record = known(state)
    assert (record.status, error_of(record), record.output, record.usage, record.finish_reason) == (
        "failed",
        "ContextConflict",
        "kept",
        {"t": 1},
        "length",
    )
    assert state.context.values == {"k": 2}


@pytest.mark.parametrize("output", [REMEMBER, TaskOutput(output="x" * limits.OUTPUT_BYTES), None])
def test_a_task_asked_to_cancel_is_cancelled_whatever_comes(output: TaskOutput | None) -> None:
    state = running("a", on_failure="pause")
    state.cancel(CancelRequest(task_id="a", reason="enough"), NOW)
    state.cancel(CancelRequest(task_id="a", reason="again"), NOW)
    if output:
        state.complete(output, NOW)
    else:
        state.end("timed_out", SessionError(ErrorType.TASK_TIMED_OUT, "late"), NOW)
    record = known(state)
    assert record.error is not None
    assert (record.status, record.error.type, record.error.message) == ("cancelled", "TaskCancelled", "enough")
    assert record.output == ("kept" if output is REMEMBER else None)
    assert (state.context.version, state.context.values, state.paused, state.running) == (0, {}, False, None)


def test_only_what_waits_or_runs_can_be_cancelled() -> None:
    state = running("a", "b")
    state.cancel(CancelRequest(task_id="b"), NOW)
    assert (known(state, "b").status, waiting(state)) == ("cancelled", [])
    for task_id in ("b", "never"):
        with refused("UnknownTask"):
            state.cancel(CancelRequest(task_id=task_id), NOW)


# --- refused messages -------------------------------------------------------------------------------------------------


@given(JSON | st.just(float("nan")), st.text())
def test_whatever_was_refused_is_kept_and_survives_a_hand_over(body: Any, name: str) -> None:
    state = session()
    for refused_body in (body, {"task_id": body, "kind": body, "input": body}):
        state.refuse(name, refused_body, SessionError("InvalidRequest", "why"), NOW)
    assert carried(state) == carried(handed_over(state))
    assert state.snapshot().counters.rejected == 2


def test_a_refusal_says_what_it_was_for() -> None:
    state = session()
    state.refuse("submit", {"task_id": "a", "kind": "K", "input": "asked"}, SessionError("Busy", "why"), NOW)
    (entry,) = state.snapshot().rejected
    assert (entry.at, entry.message, entry.task_id, entry.preview) == (NOW, "submit", "a", "asked")
    assert (entry.error.type, entry.error.message) == ("Busy", "why")
    assert (known(state).status, known(state).kind, error_of(known(state))) == ("rejected", "K", "Busy")


@pytest.mark.parametrize("task_id", [" a", "a\n", "a" * 128 + "b", 5, None])
def test_a_refused_id_is_not_taken_for_another_tasks(task_id: Any) -> None:
    state = session()
    state.refuse("submit", {"task_id": task_id, "input": 1}, SessionError("InvalidRequest", "why"), NOW)
    assert [state.record("a", NOW), state.record("a" * 128, NOW)] == [None, None]


# --- what a reader sees -----------------------------------------------------------------------------------------------


def test_a_snapshot_shows_the_session_at_a_glance() -> None:
    state = running("a", title="T")
    state.complete(DONE, NOW)
    for task_id in ("b", "c"):
        state.submit(request(task_id, not_before=NOW, labels={"l": "1"}), NOW)
    start(state)
    shown = state.snapshot().model_dump(mode="json", exclude_none=True)
    moment = "2026-11-23T09:00:00Z"
    assert {"session_id": "s", "status": "running", "started_at": moment, "contract": 1}.items() <= shown.items()
    assert (shown["config"]["title"], shown["context_version"], shown["rejected"]) == ("T", 1, [])
    assert shown["pending"] == [{"task_id": "c", "kind": "Answer", "not_before": moment, "input_preview": "c"}]
    assert {"task_id": "b", "status": "running", "started_at": moment}.items() <= shown["running"].items()
    assert (shown["running"]["labels"], shown["running"]["context_version"]) == ({"l": "1"}, {"before": 1})
    assert [(record["task_id"], record["status"], "output" in record) for record in shown["recent"]] == [
        ("a", "completed", False)
    ]
    assert (shown["counters"]["submitted"], shown["counters"]["completed"]) == (3, 1)
    assert known(state).output == "done"


def test_a_waiting_tasks_record_has_its_place() -> None:
    record = known(session("b", "a"))
    assert (record.status, record.position, record.submitted_at, record.input_preview) == ("pending", 1, NOW, "a")
