"""The session's decisions, without a clock and without Temporal."""

from datetime import UTC, datetime, timedelta

import pytest

from workflows.contract import (
    CancelRequest,
    CloseRequest,
    Config,
    ConfigureRequest,
    ContextPatch,
    ContextPolicy,
    ErrorInfo,
    PatchRequest,
    RefusalNotice,
    TaskOutput,
    TaskRequest,
)
from workflows.state.session_state import SessionState
from workflows.wire import limits
from workflows.wire.errors import SessionError
from workflows.wire.fields import CloseMode, OnBusy

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


def opened(**config: object) -> SessionState:
    return SessionState(session_id="s", config=Config.model_validate(config), started_at=NOW)


def submit(state: SessionState, task_id: str, on_busy: OnBusy = "enqueue", **options: object) -> None:
    request = {"task_id": task_id, "input": task_id, "on_busy": on_busy, **options}
    state.submit(TaskRequest.model_validate(request), NOW)


def start(state: SessionState, now: datetime = NOW) -> str | None:
    """Start the next task, if one may, and say which."""
    task = state.next_task(now)
    if task:
        state.start(task, now)
    return task.task_id if task else None


def complete(state: SessionState, **patch: object) -> None:
    state.complete(TaskOutput(output="done", patch=ContextPatch(set=patch)), NOW)


def waiting(state: SessionState) -> list[str]:
    return [task.task_id for task in state.pending.tasks]


def ended(state: SessionState) -> dict[str, str]:
    return {task_id: record.status for task_id, record in state.ledger.records.items()}


def status(state: SessionState) -> str:
    return state.status


def test_one_runs_at_a_time_in_order() -> None:
    state = opened()
    for task_id in "abc":
        submit(state, task_id)
    order = []
    while started := start(state):
        assert None is start(state)
        assert "running" == status(state)
        complete(state)
        order.append(started)
    assert ["a", "b", "c"] == order
    assert "idle" == status(state)


@pytest.mark.parametrize(
    ("on_busy", "next_ones", "running_is_to_end", "gone"),
    [
        ("enqueue", ["waits", "new"], False, {}),
        ("interrupt", ["new", "waits"], True, {}),
        ("replace_pending", ["new"], False, {"waits": "cancelled"}),
    ],
)
def test_what_comes_while_one_runs(
    on_busy: OnBusy, next_ones: list[str], running_is_to_end: bool, gone: dict[str, str]
) -> None:
    state = opened()
    submit(state, "runs")
    start(state)
    submit(state, "waits")
    submit(state, "new", on_busy)
    assert (next_ones, gone) == (waiting(state), ended(state))
    assert state.running
    assert running_is_to_end == (state.running.cancel_reason is not None)


def test_reject_is_refused_while_one_runs_or_may_run_and_not_behind_a_delayed_one() -> None:
    state = opened()
    submit(state, "later", not_before=NOW + timedelta(days=1))
    submit(state, "first", "reject")
    for _ in ("waits", "runs"):
        with pytest.raises(SessionError, match="Busy"):
            submit(state, "second", "reject")
        start(state)
    assert ["later"] == waiting(state)


def test_a_full_list_refuses_and_replacing_it_does_not() -> None:
    state = opened(max_pending=2)
    submit(state, "a")
    submit(state, "b")
    for on_busy in ("enqueue", "interrupt"):
        with pytest.raises(SessionError, match="QueueFull"):
            submit(state, "c", on_busy)
    submit(state, "c", "replace_pending")
    assert ["c"] == waiting(state)


def test_a_result_after_a_cancel_keeps_its_output_and_loses_its_patch() -> None:
    state = opened()
    submit(state, "a")
    start(state)
    state.cancel(CancelRequest(task_id="a", reason="enough"), NOW)
    complete(state, tea=1)
    record = state.ledger.records["a"]
    assert record.error
    assert ("cancelled", "done", "enough") == (record.status, record.output, record.error.message)
    assert (0, {}, []) == (state.context.version, state.context.values, state.context.transcript)


@pytest.mark.parametrize("write", [True, False])
def test_a_version_and_a_turn_for_each_writing_task_and_neither_for_a_reading_one(write: bool) -> None:
    state = opened()
    submit(state, "a", context=ContextPolicy(write=write))
    start(state)
    state.complete(TaskOutput(output="done"), NOW)
    versions = state.ledger.records["a"].context_version
    assert (0, int(write), int(write)) == (versions.before, versions.after, len(state.context.transcript))


def test_a_paused_session_starts_nothing_until_it_is_closed_or_resumed() -> None:
    state = opened()
    submit(state, "a")
    state.paused = True
    assert (None, "paused") == (start(state), status(state))
    state.close(CloseRequest(), NOW)
    assert ("a", "draining") == (start(state), status(state))


def test_a_failure_pauses_a_session_that_asks_for_it() -> None:
    state = opened(on_failure="pause")
    submit(state, "a")
    start(state)
    state.end("failed", SessionError("KeyError", "tea"), NOW)
    assert "paused" == status(state)


@pytest.mark.parametrize(("first", "second", "mode"), [("drain", "now", "now"), ("now", "drain", "now")])
def test_a_close_is_escalated_and_never_weakened(first: CloseMode, second: CloseMode, mode: CloseMode) -> None:
    state = opened()
    submit(state, "runs")
    start(state)
    submit(state, "waits")
    for asked in (first, second):
        state.close(CloseRequest(mode=asked), NOW)
    assert state.closing
    assert (mode, {"waits": "cancelled"}) == (state.closing.mode, ended(state))
    assert "draining" == status(state)
    complete(state)
    assert "closed" == status(state)


def test_a_repetition_of_what_was_accepted_is_no_late_submission() -> None:
    state = opened()
    submit(state, "a")
    state.close(CloseRequest(), NOW)
    submit(state, "a")
    with pytest.raises(SessionError, match="SessionClosed"):
        submit(state, "b")


def test_idle_means_that_nothing_waits_runs_or_happened() -> None:
    state = opened(idle_timeout=60.0)
    assert NOW + timedelta(seconds=60) == state.next_change(NOW)
    submit(state, "a")
    assert None is state.next_change(NOW)
    later = NOW + timedelta(seconds=50)
    start(state, later)
    state.complete(TaskOutput(output=1), later)
    state.pass_time(NOW + timedelta(seconds=61))
    assert "idle" == status(state)
    state.pass_time(later + timedelta(seconds=60))
    assert "closed" == status(state)


def test_settings_change_what_is_named_and_a_repeated_patch_counts_once() -> None:
    state = opened(title="kept")
    state.configure(ConfigureRequest(task_timeout=5.0), NOW)
    assert ("kept", 5.0) == (state.config.title, state.config.task_timeout)
    patch = PatchRequest(patch=ContextPatch(append={"n": [1]}), request_id="r")
    assert [1, 1] == [state.patch_context(patch, NOW) for _ in range(2)]
    assert {"n": [1]} == state.context.values


def refusal(task_id: str, run_id: str | None = None) -> RefusalNotice:
    return RefusalNotice(task_id=task_id, run_id=run_id, error=ErrorInfo(type="ChildRefused", message="no"))


def test_a_refused_start_ends_the_task_whether_it_was_accepted_before_or_after() -> None:
    state = opened()
    submit(state, "before")
    for task_id in ("before", "after"):
        state.refuse_task(refusal(task_id), NOW)
    submit(state, "after")
    submit(state, "other")
    assert {"before": "failed", "after": "failed"} == ended(state)
    assert {"ChildRefused"} == {record.error.type for record in state.ledger.records.values() if record.error}
    assert ["other"] == waiting(state)
    assert {} == state.refused


def test_a_refusal_that_comes_late_or_is_about_another_run_changes_nothing() -> None:
    state = opened()
    submit(state, "a")
    start(state)
    state.running_task().run_id = "mine"
    for notice in (refusal("a"), refusal("a", "another")):
        state.refuse_task(notice, NOW)
    assert None is state.running_task().refused
    complete(state)
    state.refuse_task(refusal("a", "mine"), NOW)
    assert {"a": "completed"} == ended(state)
    assert {} == state.refused


def test_a_task_that_the_server_keeps_from_going_on_ends_by_that_name_once_its_child_is_gone() -> None:
    state = opened()
    submit(state, "a")
    start(state)
    state.running_task().run_id = "mine"
    state.refuse_task(refusal("a", "mine"), NOW)
    state.end("failed", SessionError("TaskTerminated", "terminated"), NOW)
    record = state.record("a", NOW)
    assert record
    assert record.error
    assert ("failed", "ChildRefused", "no") == (record.status, record.error.type, record.error.message)


def test_no_more_refusals_of_unknown_tasks_are_kept_than_there_may_be() -> None:
    state = opened()
    for number in range(2 * limits.REFUSED_STARTS):
        state.refuse_task(refusal(f"t{number}"), NOW)
    assert limits.REFUSED_STARTS == len(state.refused)
    assert "t9" in state.refused


def test_idle_is_where_nothing_runs_and_nothing_that_waits_may_run() -> None:
    state, later = opened(), NOW + timedelta(hours=1)
    assert NOW == state.idle_since(later)
    submit(state, "delayed", not_before=later)
    assert NOW == state.idle_since(NOW + timedelta(minutes=59))
    assert None is state.idle_since(later)
    state.paused = True
    assert NOW == state.idle_since(later)
    state.paused = False
    assert "delayed" == start(state, later)
    assert None is state.idle_since(later)
    state.complete(TaskOutput(output="done"), later)
    assert later == state.idle_since(later)
    state.close(CloseRequest(mode="drain"), later)
    assert None is state.idle_since(later)
