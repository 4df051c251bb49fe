"""From open to close: pausing, closing, what time brings, settings, forks, the state of other versions of the code."""

from typing import Any

import pytest
from pydantic_core import from_json

from tests.samples import (
    DONE,
    NOW,
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
    Config,
    ConfigureRequest,
    ContextPatch,
    ContextView,
    PatchRequest,
    RollbackRequest,
    Turn,
)
from workflows.state.session_state import SessionState
from workflows.wire import limits
from workflows.wire.errors import SessionError
from workflows.wire.fields import CloseMode

# --- close, pause -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "modes"),
    [
        (("running", "pending", False), ["drain"]),
        (("running", "cancelled", False), ["discard"]),
        (("running", "cancelled", True), ["now"]),
        (("running", "cancelled", False), ["drain", "discard"]),
        (("running", "cancelled", True), ["discard", "now"]),
        (("running", "cancelled", True), ["now", "drain"]),
        (("running", "cancelled", False), ["discard", "drain"]),
    ],
)
def test_a_close_may_be_escalated_and_never_weakened(expected: tuple[str, str, bool], modes: list[CloseMode]) -> None:
    state = running("a", "b")
    for mode in modes:
        state.close(CloseRequest(mode=mode, reason=mode), NOW)
    assert state.running is not None
    assert expected == (known(state).status, known(state, "b").status, state.running.cancel_reason is not None)
    strongest = max(modes, key=["drain", "discard", "now"].index)
    assert CloseRequest(mode=strongest, reason=strongest) == state.closing


def test_a_draining_session_takes_nothing_new_finishes_its_list_even_when_paused_and_is_over() -> None:
    state = running("a", "b")
    state.paused = True
    state.close(CloseRequest(), NOW)
    with refused("SessionClosed"):
        state.submit(request("c"), NOW)
    state.complete(DONE, NOW)
    assert [start(state), state.over, state.status] == ["b", False, "draining"]
    state.complete(DONE, NOW)
    assert [state.over, state.status] == [True, "closed"]


def test_a_paused_session_accepts_but_starts_nothing() -> None:
    state = session("a")
    state.paused = True
    state.submit(request("b"), NOW)
    assert [start(state), waiting(state)] == [None, ["a", "b"]]
    state.paused = False
    assert start(state) == "a"


def test_the_status_is_the_first_that_applies() -> None:
    state = session("a")
    seen = [session().status, state.status]
    start(state)
    seen.append(state.status)
    state.paused = True
    seen.append(state.status)
    state.close(CloseRequest(mode="now"), NOW)
    seen.append(state.status)
    state.complete(DONE, NOW)
    assert [*seen, state.status] == ["idle", "idle", "running", "paused", "draining", "closed"]


@pytest.mark.parametrize(("paused", "status"), [(True, "failed"), (True, "timed_out"), (False, "cancelled")])
def test_a_session_that_pauses_on_failure_does_so_for_failures_only(paused: bool, status: Any) -> None:
    for on_failure in ("pause", "continue"):
        state = running("a", on_failure=on_failure)
        state.end(status, SessionError("KeyError", "'tea'"), NOW)
        assert [known(state).status, error_of(known(state))] == [status, "KeyError"]
        assert state.paused == (paused and on_failure == "pause")


# --- time -------------------------------------------------------------------------------------------------------------


def test_what_waits_beyond_its_expiry_ends_as_expired() -> None:
    state = session("a")
    state.submit(request("b", expires_at=at(60)), NOW)
    assert state.next_change(NOW) == at(60)
    state.pass_time(at(59))
    assert waiting(state) == ["a", "b"]
    state.pass_time(at(60))
    assert [waiting(state), known(state, "b").status, error_of(known(state, "b"))] == [["a"], "expired", "TaskExpired"]


def test_a_running_task_does_not_expire() -> None:
    state = running("a", options={"expires_at": at(60)})
    state.pass_time(at(61))
    assert known(state).status == "running"


def test_an_idle_session_closes_after_its_idle_timeout() -> None:
    state = session(idle_timeout=60)
    assert state.next_change(NOW) == at(60)
    state.pass_time(at(59))
    early = state.status
    state.pass_time(at(60))
    assert [early, state.status] == ["idle", "closed"]


def test_a_session_without_an_idle_timeout_never_closes_by_itself() -> None:
    assert session().next_change(NOW) is None


@pytest.mark.parametrize("busy", [running("a", idle_timeout=60), session("a", idle_timeout=60)])
def test_a_session_with_a_task_is_not_idle(busy: SessionState) -> None:
    busy.pass_time(at(9_999))
    assert busy.closing is None


def test_a_session_is_idle_from_the_end_of_its_last_task() -> None:
    state = running("a", idle_timeout=60)
    state.complete(DONE, at(1_000))
    state = handed_over(state)
    assert state.next_change(at(1_000)) == at(1_060)


def test_a_session_is_idle_from_the_moment_its_last_waiting_task_expired_or_was_cancelled() -> None:
    expiring = session(idle_timeout=60)
    expiring.submit(request("a", not_before=at(9_999), expires_at=at(1_000)), NOW)
    expiring.pass_time(at(1_000))
    cancelled = session(idle_timeout=60)
    cancelled.submit(request("a", not_before=at(9_999)), NOW)
    cancelled.cancel(CancelRequest(task_id="a"), at(1_000))
    assert [state.next_change(at(1_000)) for state in (expiring, cancelled)] == [at(1_060), at(1_060)]


# --- settings and repeated updates ------------------------------------------------------------------------------------


def test_settings_that_are_not_named_stay() -> None:
    state = session("a", title="T", task_timeout=5)
    config = state.configure(ConfigureRequest(default_kind="Other", title=None), NOW)
    assert Config(default_kind="Other", task_timeout=5) == config == handed_over(state).config
    state.submit(request("b"), NOW)
    assert [task.kind for task in state.pending.tasks] == ["Answer", "Other"]


def test_a_repeated_update_takes_effect_once() -> None:
    state = session()
    patch = PatchRequest(patch=ContextPatch(append={"k": [1]}), expected_version=0, request_id="p")
    rollback = RollbackRequest(version=0, request_id="r")
    assert [state.patch_context(patch, NOW), state.rollback_context(rollback, NOW)] == [1, 2]
    state = handed_over(state)
    state.check_patch(patch)
    state.check_rollback(rollback)
    assert [state.patch_context(patch, NOW), state.rollback_context(rollback, NOW)] == [1, 2]
    assert [state.context.version, state.context.values] == [2, {}]


def test_a_repeated_configure_does_not_undo_a_later_one() -> None:
    state = session()
    first = ConfigureRequest(title="first", request_id="1")
    state.configure(first, NOW)
    state.configure(ConfigureRequest(title="second", request_id="2"), NOW)
    state.configure(first, NOW)
    assert state.config.title == "second"


def test_an_update_without_a_request_id_is_never_a_repetition() -> None:
    state = session()
    patch = PatchRequest(patch=ContextPatch(append={"k": [1]}))
    assert [state.patch_context(patch, NOW), state.patch_context(patch, NOW)] == [1, 2]


def test_the_newest_100_request_ids_are_remembered() -> None:
    state = session()
    patches = [PatchRequest(patch=ContextPatch(), request_id=str(n)) for n in range(limits.REQUEST_IDS + 1)]
    for patch in patches:
        state.patch_context(patch, NOW)
    assert [state.patch_context(patches[1], NOW), state.patch_context(patches[0], NOW)] == [2, 102]


def test_a_refused_update_changes_nothing_and_may_be_repeated() -> None:
    state = session()
    early = PatchRequest(patch=ContextPatch(), expected_version=1, request_id="p")
    for attempt in (lambda: state.check_patch(early), lambda: state.patch_context(early, NOW)):
        with refused("ContextConflict"):
            attempt()
    with refused("UnknownVersion"):
        state.check_rollback(RollbackRequest(version=1))
    state.patch_context(PatchRequest(patch=ContextPatch()), NOW)
    assert state.patch_context(early, NOW) == 2


# --- a fork -----------------------------------------------------------------------------------------------------------


def test_a_fork_begins_with_the_others_context_under_its_own_values() -> None:
    turn = Turn(task_id="t", version=7, finished_at=NOW)
    state = SessionState.model_validate(session().model_dump() | {"context": {"values": {"own": 1, "both": 1}}})
    theirs = {"both": 0, "theirs": 0}
    state.context.take(ContextView(version=7, values=theirs, transcript=[turn], log=[], truncated=True))
    view = handed_over(state).context.view()
    assert (view.version, view.values, view.transcript) == (7, {"own": 1, "both": 1, "theirs": 0}, [turn])
    assert view.truncated


def test_a_change_made_before_the_fork_arrived_keeps_its_value_and_no_version_reads_wrong() -> None:
    state = session()
    state.patch_context(PatchRequest(patch=ContextPatch(set={"k": "early"})), NOW)
    state.context.take(ContextView(version=7, values={"k": "theirs"}, transcript=[], log=[]))
    assert state.context.view().values == {"k": "early"}
    with refused("UnknownVersion"):
        state.context.view(0)


# --- hand-over --------------------------------------------------------------------------------------------------------


def test_carried_state_from_newer_code_is_read_without_what_is_unknown() -> None:
    state = running("a", "b", compact={"kind": "Summarise"})
    state.patch_context(PatchRequest(patch=ContextPatch(set={"k": {"user": "data"}})), NOW)
    state.refuse("submit", {}, SessionError("Busy", ""), NOW)
    state.close(CloseRequest(), NOW)
    body = from_json(carried(state))["state"]
    models = [body, *(body[name] for name in ("config", "context", "pending", "ledger", "running", "closing"))]
    models += [body["running"]["task"], body["pending"]["tasks"][0], body["context"]["log"][0]]
    models.append(body["config"]["compact"])
    for model in models:
        model["from_the_future"] = {"x": 1}
    assert carried(state) == carried(SessionState.model_validate(body))
