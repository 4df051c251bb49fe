"""Facts of a session's memory, each of the contract's words on context, turns and versions by its name."""

from typing import Any

import pytest

from tests.samples import (
    EXPANDING,
    NOW,
    accepted,
    at,
    carried,
    error_of,
    known,
    refused,
    request,
    running,
    session,
    start,
)
from workflows.contract import CancelRequest, ContextPatch, PatchRequest, RollbackRequest, TaskOutput
from workflows.state.context import SessionContext
from workflows.state.session_state import SessionState
from workflows.wire import limits
from workflows.wire.encoding import canonical
from workflows.wire.errors import SessionError

READ_ONLY = {"write": False}


def patch_from_outside(state: SessionState, **values: Any) -> int:
    return state.patch_context(PatchRequest(patch=ContextPatch(set=values)), NOW)


def complete(state: SessionState, output: Any = "out", **patch: Any) -> None:
    state.complete(TaskOutput(output=output, patch=ContextPatch(**patch) if patch else None), NOW)


def versions(state: SessionState) -> tuple[int | None, int | None]:
    """The context version that the task saw, and the one it left."""
    record = known(state)
    return record.context_version.before, record.context_version.after


def test_a_task_sees_the_context_as_of_its_start_and_not_of_its_submission() -> None:
    state = session("a")
    patch_from_outside(state, tea=1)
    task = state.next_task(NOW)
    assert task
    seen = state.start(task, NOW).context
    patch_from_outside(state, tea=2)
    assert (1, {"tea": 1}) == (seen.version, seen.values)
    assert 1 == known(state).context_version.before


def test_a_completed_task_with_write_makes_one_version_and_one_turn_even_without_a_patch() -> None:
    state = running(options={"input": "in"})
    complete(state)
    assert (0, 1) == versions(state)
    (turn,) = state.context.transcript
    assert ("a", 1, "in", "out", NOW) == (turn.task_id, turn.version, turn.input, turn.output, turn.finished_at)


def test_a_completed_task_without_write_makes_neither_and_leaves_the_version_it_saw() -> None:
    state = running(options={"context": READ_ONLY})
    patch_from_outside(state, tea=1)
    complete(state)
    assert ("completed", (0, 0)) == (known(state).status, versions(state))
    assert (1, []) == (state.context.version, state.context.transcript)


@pytest.mark.parametrize("patch", [{}, {"set": {"tea": 1}}])
def test_a_read_only_task_that_returns_a_patch_fails_and_keeps_its_output(patch: dict[str, Any]) -> None:
    state = running(options={"context": READ_ONLY})
    state.complete(TaskOutput(output="out", patch=ContextPatch(**patch)), NOW)
    assert ("failed", "PatchNotAllowed", "out") == (known(state).status, error_of(known(state)), known(state).output)
    assert ((0, None), 0, {}) == (versions(state), state.context.version, state.context.values)


@pytest.mark.parametrize("end", ["failed", "timed_out", "cancelled", "interrupted"])
def test_a_task_that_did_not_complete_leaves_no_trace(end: Any) -> None:
    state = session()
    patch_from_outside(state, tea=1)
    before = carried(state.context)
    state.submit(request(), NOW)
    start(state)
    if end in {"cancelled", "interrupted"}:
        if end == "cancelled":
            state.cancel(CancelRequest(task_id="a"), NOW)
        else:
            state.submit(request("b", on_busy="interrupt"), NOW)
        complete(state, set={"tea": 2})  # it ends with a result all the same
    else:
        state.end(end, SessionError("KeyError", "'tea'"), NOW)
    assert (1, None) == versions(state)
    assert before == carried(state.context.model_copy(update={"touched": None}))


def test_a_key_changed_meanwhile_fails_the_task_drops_its_whole_patch_and_keeps_its_output() -> None:
    state = running()
    patch_from_outside(state, tea="outside")
    complete(state, set={"tea": "task", "other": 1}, append={"list": [1]})
    assert ("failed", "ContextConflict", "out") == (known(state).status, error_of(known(state)), known(state).output)
    assert ((0, None), 1, {"tea": "outside"}) == (versions(state), state.context.version, state.context.values)
    assert [] == state.context.transcript


def test_another_key_changed_meanwhile_is_no_conflict() -> None:
    state = running()
    patch_from_outside(state, other="outside")
    complete(state, set={"tea": "task"})
    assert ((0, 2), {"tea": "task", "other": "outside"}) == (versions(state), state.context.values)


def test_a_key_rolled_back_meanwhile_is_a_conflict_too() -> None:
    state = session()
    patch_from_outside(state, tea=1)
    state.submit(request(), NOW)
    start(state)
    state.rollback_context(RollbackRequest(version=0), NOW)
    complete(state, set={"tea": 2})
    assert "ContextConflict" == error_of(known(state))


def test_a_rollback_makes_a_new_version_with_the_values_and_the_transcript_of_the_old_one() -> None:
    state = session("a", "b")
    for task_id in "ab":
        start(state)
        complete(state, set={task_id: 1})
    assert 3 == state.rollback_context(RollbackRequest(version=1), at(1))
    view = state.context.view()
    assert ({"a": 1}, ["a"]) == (view.values, [turn.task_id for turn in view.transcript])
    assert [(1, "a", ["a"]), (2, "b", ["b"]), (3, "rollback", ["b"])] == [
        (e.version, e.by, e.changed) for e in view.log
    ]
    assert ["a", "b"] == [turn.task_id for turn in state.context.view(2).transcript]


def test_a_writer_that_expects_another_version_is_refused() -> None:
    state = session()
    patch_from_outside(state, tea=1)
    for expected in (0, 2):
        with refused("ContextConflict"):
            state.context.patch(ContextPatch(set={"tea": 2}), expected, NOW)
    assert 2 == state.context.patch(ContextPatch(set={"tea": 2}), 1, NOW)


def test_a_patch_that_would_make_the_context_too_large_fails_its_task_and_keeps_its_output() -> None:
    state = running()
    complete(state, set={"tea": "x" * limits.CONTEXT_BYTES})
    assert ("ContextTooLarge", "out") == (error_of(known(state)), known(state).output)
    assert ((0, None), {}) == (versions(state), state.context.values)


def test_a_conflict_names_the_keys_changed_from_outside() -> None:
    context = SessionContext.initial({"b": 1, "c": 1})
    context.inject(accepted("a"))
    context.patch(ContextPatch(set={"a": 1, "other": 1}, unset=["c"]), None, NOW)
    with refused("ContextConflict") as caught:
        context.complete(ContextPatch(append={"a": [1]}, unset=["b", "c"]), accepted("a"), 1, NOW)
    assert caught.value.message.endswith(": a, c")


def test_unsetting_a_key_that_is_not_there_is_no_change_to_conflict_with() -> None:
    context = SessionContext.initial({})
    context.inject(accepted("a"))
    context.patch(ContextPatch(unset=["k"]), None, NOW)
    assert context.complete(ContextPatch(set={"k": 1}), accepted("a"), 1, NOW) == 2


@pytest.mark.parametrize(
    ("first", "second"), [(1, True), (1, 1.0), (False, 0), ([1], [True]), ({"k": 0}, {"k": False})]
)
def test_a_rollback_tells_apart_what_only_python_calls_equal(first: Any, second: Any) -> None:
    context = SessionContext.initial({"k": first})
    context.patch(ContextPatch(set={"k": second}), None, NOW)
    context.rollback(0, NOW)
    assert [["k"], ["k"]] == [entry.changed for entry in context.log]
    assert canonical({"k": second}) == canonical(context.view(1).values)


@pytest.mark.parametrize(
    ("error", "patch"),
    [
        ("ContextTooLarge", ContextPatch(set={"k": EXPANDING * (limits.CONTEXT_BYTES // 14)}, unset=["kept"])),
        ("InvalidRequest", ContextPatch(set={"k": 1}, append={"kept": [1]})),
        ("InvalidRequest", ContextPatch(set={"k": float("nan")})),
    ],
    ids=["too large", "no list", "no JSON"],
)
def test_a_refused_change_changes_nothing(error: str, patch: ContextPatch) -> None:
    context = SessionContext.initial({"kept": "as it was"})
    before = carried(context)
    for change in (lambda: context.patch(patch, 0, NOW), lambda: context.check(patch, 0)):
        with refused(error):
            change()
    with refused(error.replace("Request", "Output")):
        context.complete(patch, accepted("a"), 1, NOW)
    assert before == carried(context)


@pytest.mark.parametrize(
    ("read", "given"),
    [
        (["milk", "tea", "none", "lemon", "tea"], {"milk": 0, "tea": 1, "none": None}),
        (["teapot", "milk", "tea"], {"teapot": 2, "milk": 0, "tea": 1}),
        (["te", "tea ", "Tea"], {}),
        (["all"], {"all": 3}),
        (["none"], {"none": None}),
        ([], {}),
    ],
)
@pytest.mark.parametrize("whose", ["the task's", "the session's"])
def test_a_task_is_given_the_keys_that_are_named_and_no_others(
    read: list[str], given: dict[str, Any], whose: str
) -> None:
    """Also where one is called like a policy, begins like another, or has nothing in it."""
    state = session(**({} if whose == "the task's" else {"read": read}))
    state.context = SessionContext.initial({"tea": 1, "teapot": 2, "all": 3, "none": None, "milk": 0})
    state.submit(request("a", **({"context": {"read": read}} if whose == "the task's" else {})), NOW)
    task = state.next_task(NOW)
    assert task
    assert given == state.start(task, NOW).context.values
