"""Compaction, decided without Temporal: when it is due, what leaves, and that no way it ends in hurts the session."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.samples import DONE, NOW, UnderLimits, at, carried, error_of, handed_over, known, refused, request, session
from workflows.contract import (
    CancelRequest,
    CloseRequest,
    Compact,
    Compaction,
    ConfigureRequest,
    ContextPatch,
    ErrorInfo,
    ForkSource,
    PatchRequest,
    RefusalNotice,
    RollbackRequest,
    TaskOutput,
    TaskRecord,
)
from workflows.state.compaction import due, leaving
from workflows.state.session_state import SessionState
from workflows.wire import limits
from workflows.wire.encoding import model_bytes
from workflows.wire.errors import SessionError

BOUND = Compact(kind="Squeeze", turns=4)
SIZES = st.lists(st.integers(100, 60_000), max_size=30)
BOUNDS = st.builds(
    Compact,
    kind=st.just("Squeeze"),
    turns=st.integers(1, limits.COMPACT_TURNS_MOST),
    bytes=st.integers(limits.COMPACT_BYTES_LEAST, limits.COMPACT_BYTES_MOST),
)


# --- what is to leave, and when ---------------------------------------------------------------------------------------


def within(sizes: list[int], bound: Compact, share: float = 1) -> bool:
    return len(sizes) <= share * bound.turns and sum(sizes) <= share * bound.bytes


@given(SIZES, BOUNDS)
def test_beyond_a_bound_turns_leave_until_half_of_it_is_filled_or_one_turn_is_left(
    sizes: list[int], bound: Compact
) -> None:
    count = leaving(sizes, bound)
    stay = sizes[count:]
    if within(sizes, bound):
        assert 0 == count
        return
    assert stay
    assert len(stay) == 1 or within(stay, bound, 0.5)
    if count:  # no turn leaves that could stay
        assert not within(sizes[count - 1 :], bound, 0.5)
    assert 0 == leaving(stay, bound)  # nor is there anything to do again


@given(SIZES, BOUNDS)
def test_who_waits_is_held_up_only_once_a_bound_is_passed_by_half(sizes: list[int], bound: Compact) -> None:
    pressing = 0 if within(sizes, bound, 1.5) else leaving(sizes, bound)
    assert pressing == due(sizes, bound, waits=True, closing=False) == due(sizes, bound, waits=True, closing=True)
    assert leaving(sizes, bound) == due(sizes, bound, waits=False, closing=False)
    assert 0 == due(sizes, bound, waits=False, closing=True)


def test_the_bounds_passed_by_half_are_within_the_transcripts_own() -> None:
    assert 1.5 * limits.COMPACT_TURNS_MOST <= limits.TRANSCRIPT_TURNS
    assert 1.5 * limits.COMPACT_BYTES_MOST <= limits.TRANSCRIPT_BYTES
    assert 1.5 * limits.COMPACT_TURNS < session().config.transcript


# --- a session that is compacted --------------------------------------------------------------------------------------


def step(state: SessionState, seconds: float = 0) -> str | None:
    """Let time pass and start what is next; its id."""
    state.pass_time(at(seconds))
    task = state.next_task(at(seconds))
    return state.start(task, at(seconds)).task_id if task else None


def talk(state: SessionState, turns: int, start: int = 0) -> None:
    """So many ordinary tasks, one after the other, without a look at what is due in between."""
    for number in range(start, start + turns):
        state.submit(request(f"t{number}"), NOW)
        task = state.pending.get(f"t{number}")
        assert task
        state.start(task, NOW)
        state.complete(DONE, NOW)


def over(turns: int = 5, **config: Any) -> SessionState:
    """A session that is over its bound, and has nothing to do."""
    state = session(**{"compact": BOUND, **config})
    talk(state, turns)
    return state


def compacting(turns: int = 5, **config: Any) -> SessionState:
    """The same, with its compaction running."""
    state = over(turns, **config)
    assert f"compact-{turns}" == step(state)
    return state


def summary(through: int, text: str = "short") -> TaskOutput:
    patch = ContextPatch(set={"summary": text}, compact=Compaction(through=through))
    return TaskOutput(output=text, patch=patch)


def versions(state: SessionState) -> list[int]:
    return [turn.version for turn in state.context.transcript]


def log(state: SessionState) -> list[tuple[int, str, list[str]]]:
    return [(entry.version, entry.by, entry.changed) for entry in state.context.view().log]


def failed(state: SessionState, name: str = "OutOfTea") -> TaskRecord:
    """The record of a compaction after which three turns had to go unsummarised."""
    record = known(state, "compact-5")
    assert ("failed", name) == (record.status, error_of(record))
    assert record.error
    assert record.error.message.startswith("3 turns left without a summary: ")
    assert ([4, 5], {}) == (versions(state), state.context.values)
    assert (6, "compact-5", []) == log(state)[-1]
    return record


def test_over_its_bound_a_session_submits_a_task_of_that_kind_and_gives_it_every_turn() -> None:
    state = over(task_timeout=50, transcript=1, read="none", queues={"Squeeze": "elsewhere"}, stream=True)
    state.patch_context(PatchRequest(patch=ContextPatch(set={"tea": 1})), NOW)
    state.pass_time(NOW)
    task = state.next_task(NOW)
    assert task
    assert ("compact-6", "Squeeze", {"through": 3}) == (task.task_id, task.kind, task.input)
    assert (50, "elsewhere", None) == (task.timeout, task.task_queue, task.stream)
    seen = state.start(task, NOW).context
    assert ({"tea": 1}, [1, 2, 3, 4, 5], True) == (seen.values, [turn.version for turn in seen.transcript], seen.write)
    record = state.snapshot().running
    assert record
    assert ("compact-6", "running", 6) == (record.task_id, record.status, state.snapshot().counters.submitted)


def test_its_timeout_is_never_longer_than_people_wait() -> None:
    state = compacting()
    assert limits.COMPACT_TIMEOUT_SECONDS == state.running_task().task.timeout < state.config.task_timeout


def test_a_compaction_makes_one_version_and_no_turn_and_the_turns_leave() -> None:
    state = compacting()
    state.complete(summary(3), NOW)
    record = known(state, "compact-5")
    assert ("completed", 5, 6) == (record.status, record.context_version.before, record.context_version.after)
    assert ([4, 5], {"summary": "short"}) == (versions(state), state.context.values)
    assert (6, "compact-5", ["summary"]) == log(state)[-1]
    assert not state.context.truncated
    assert step(state) is None


def test_within_its_bound_and_without_one_nothing_is_submitted() -> None:
    assert step(over(4)) is None
    assert step(over(30, compact=None)) is None


def test_a_session_without_compact_carries_nothing_of_it() -> None:
    assert b"compact" not in carried(over(5, compact=None))


def test_what_waits_goes_first_until_the_bound_is_passed_by_half() -> None:
    state = over(5)
    state.submit(request("w0"), NOW)
    assert "w0" == step(state)
    state.complete(DONE, NOW)
    for other in ("w1", "w2"):
        state.submit(request(other), NOW)
    assert "w1" == step(state)  # six turns for a bound of four
    state.complete(DONE, NOW)
    assert ("compact-7", ["w2"]) == (step(state), [task.task_id for task in state.pending.tasks])


def test_a_delayed_task_is_not_held_up() -> None:
    state = over(5)
    state.submit(request("later", not_before=at(60)), NOW)
    assert "compact-5" == step(state)


def test_a_compaction_that_fails_costs_its_turns_their_summary_and_is_not_tried_at_once_again() -> None:
    state = compacting(on_failure="pause")
    state.end("failed", SessionError("OutOfTea", "none left"), NOW)
    assert 5 == failed(state).context_version.before
    assert ("idle", None) == (state.status, step(state))
    talk(state, 2, start=5)
    assert step(state) is None
    talk(state, 1, start=7)
    assert "compact-9" == step(state)


@pytest.mark.parametrize("status", ["failed", "timed_out"])
def test_however_it_fails_the_oldest_turns_leave(status: Any) -> None:
    state = compacting()
    state.end(status, SessionError("TaskTimedOut", "did not end"), NOW)
    assert (status, [4, 5]) == (known(state, "compact-5").status, versions(state))


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (TaskOutput(output=None), "no turn leaves"),
        (TaskOutput(output=1, patch=ContextPatch(set={"summary": "s"})), "no turn leaves"),
        (summary(0), "no turn leaves"),
        (summary(6), "beyond version 5"),
        (summary(3, "x" * (limits.COMPACT_GROWTH_BYTES + 1)), "would grow by"),
        (summary(3, "x" * limits.CONTEXT_BYTES).model_copy(update={"output": 1}), "would weigh"),
        (TaskOutput(output="x" * limits.OUTPUT_BYTES), "weighs"),
        (TaskOutput(output=float("nan")), "NaN"),
        (TaskOutput(output=1, patch=ContextPatch(set={"a": 1}, append={"a": [1]})), "not a list"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_compaction_that_returns_what_is_none_counts_as_failed(output: TaskOutput, why: str) -> None:
    state = compacting()
    state.complete(output, NOW)
    record = known(state, "compact-5")
    assert record.error
    assert why in record.error.message
    failed(state, record.error.type)


def test_a_compaction_may_take_fewer_turns_than_asked_but_not_too_few() -> None:
    state = compacting(7)
    state.complete(summary(3), NOW)
    assert ("completed", [4, 5, 6, 7]) == (known(state, "compact-7").status, versions(state))
    state = compacting(7)
    state.complete(summary(2), NOW)
    assert ("InvalidOutput", [6, 7]) == (error_of(known(state, "compact-7")), versions(state))


def test_a_bound_made_tighter_meanwhile_does_not_make_a_good_compaction_a_failed_one() -> None:
    state = compacting()
    state.configure(ConfigureRequest(compact=Compact(kind="Squeeze", turns=1)), NOW)
    state.complete(summary(3), NOW)
    assert ("completed", [4, 5], "short") == (
        known(state, "compact-5").status,
        versions(state),
        state.context.values["summary"],
    )


def test_a_compaction_switched_off_meanwhile_takes_no_turn_when_it_fails() -> None:
    state = compacting()
    state.configure(ConfigureRequest(compact=None), NOW)
    state.end("failed", SessionError("OutOfTea", "none left"), NOW)
    assert ([1, 2, 3, 4, 5], "OutOfTea") == (versions(state), error_of(known(state, "compact-5")))


@pytest.mark.parametrize("returns", [True, False])
def test_a_cancelled_compaction_takes_nothing_and_comes_again_after_the_next_turn(returns: bool) -> None:
    state = compacting()
    state.cancel(CancelRequest(task_id="compact-5"), NOW)
    state.complete(summary(3), NOW) if returns else state.end("failed", SessionError("KeyError", ""), NOW)
    assert ("cancelled", [1, 2, 3, 4, 5]) == (known(state, "compact-5").status, versions(state))
    assert step(state) is None
    talk(state, 1, start=5)
    assert "compact-6" == step(state)


def test_who_interrupts_it_runs_next_and_it_comes_again_afterwards() -> None:
    state = compacting()
    state.submit(request("now", on_busy="interrupt"), NOW)
    state.end("cancelled", SessionError("TaskCancelled", ""), NOW)
    assert "now" == step(state)
    state.complete(DONE, NOW)
    assert "compact-6" == step(state)


def test_a_summary_changed_from_outside_meanwhile_stands_and_no_turn_is_lost() -> None:
    state = compacting()
    state.patch_context(PatchRequest(patch=ContextPatch(set={"summary": "mine"})), NOW)
    state.complete(summary(3), NOW)
    assert "ContextConflict" == error_of(known(state, "compact-5"))
    assert ([1, 2, 3, 4, 5], {"summary": "mine"}) == (versions(state), state.context.values)
    assert step(state) is None
    talk(state, 1, start=5)
    assert "compact-7" == step(state)


def test_other_values_changed_from_outside_meanwhile_are_no_conflict() -> None:
    state = compacting()
    state.patch_context(PatchRequest(patch=ContextPatch(set={"tea": 1})), NOW)
    state.complete(summary(3), NOW)
    assert ([4, 5], {"tea": 1, "summary": "short"}) == (versions(state), state.context.values)


def test_a_rollback_meanwhile_leaves_no_summary_of_what_it_took_away() -> None:
    state = compacting()
    state.rollback_context(RollbackRequest(version=2), NOW)
    state.complete(summary(3, "says what turn 3 said"), NOW)
    assert "ContextConflict" == error_of(known(state, "compact-5"))
    assert ([1, 2], {}) == (versions(state), state.context.values)


def test_a_rollback_to_before_it_brings_the_turns_back_and_is_not_undone_at_once() -> None:
    state = compacting()
    state.complete(summary(3), NOW)
    before = [turn.model_dump() for turn in state.context.view(5).transcript]
    state.rollback_context(RollbackRequest(version=5), NOW)
    assert before == [turn.model_dump() for turn in state.context.transcript]
    assert ([1, 2, 3, 4, 5], {}) == (versions(state), state.context.values)
    assert step(handed_over(state)) is None
    state.rollback_context(RollbackRequest(version=6), NOW)
    assert ([4, 5], {"summary": "short"}) == (versions(state), state.context.values)
    state.rollback_context(RollbackRequest(version=5), NOW)
    talk(state, 1, start=5)
    assert "compact-10" == step(state)


def test_turns_that_a_failed_compaction_took_come_back_with_a_rollback_too() -> None:
    state = compacting()
    state.end("failed", SessionError("OutOfTea", "none left"), NOW)
    state.rollback_context(RollbackRequest(version=5), NOW)
    assert [1, 2, 3, 4, 5] == versions(state)


@pytest.mark.parametrize("mode", ["drain", "discard", "now"])
def test_a_close_waits_for_it_or_cancels_it_as_for_any_task(mode: Any) -> None:
    state = compacting()
    state.close(CloseRequest(mode=mode), NOW)
    assert ("draining", mode == "now") == (state.status, state.running_task().cancel_reason is not None)
    state.complete(summary(3), NOW)
    assert ("closed", "cancelled" if mode == "now" else "completed") == (
        state.status,
        known(state, "compact-5").status,
    )


def test_a_session_that_closes_is_compacted_only_for_tasks_that_wait() -> None:
    state = over()
    state.close(CloseRequest(), NOW)
    assert (None, "closed") == (step(state), state.status)
    state = over(7)
    state.submit(request("w"), NOW)
    state.close(CloseRequest(), NOW)
    assert "compact-7" == step(state)


def test_a_paused_session_and_one_that_has_to_fork_yet_begin_none() -> None:
    state = over()
    state.paused = True
    assert step(state) is None
    state.paused, state.fork_of = False, ForkSource(session_id="other")
    state.pass_time(NOW)
    assert 0 == len(state.pending)
    state.fork_of = None
    assert "compact-5" == step(state)


def test_one_that_waits_in_a_pause_is_a_task_like_any_other() -> None:
    state = over()
    state.pass_time(NOW)
    state.paused = True
    assert ("pending", 0) == (known(state, "compact-5").status, known(state, "compact-5").position)
    state = handed_over(state)
    state.cancel(CancelRequest(task_id="compact-5"), NOW)
    assert ("cancelled", [1, 2, 3, 4, 5]) == (known(state, "compact-5").status, versions(state))
    state.paused = False
    assert step(state) is None


def test_the_next_run_goes_on_with_it() -> None:
    state = handed_over(compacting())
    assert 3 == state.running_task().task.compacts
    state.complete(summary(3), NOW)
    assert ([4, 5], None) == (versions(state), step(state))


def test_a_start_that_the_server_refuses_is_a_compaction_that_failed() -> None:
    state = over(on_failure="pause")
    notice = RefusalNotice(task_id="compact-5", error=ErrorInfo(type="ChildRefused", message="no such queue"))
    state.refuse_task(notice, NOW)
    assert step(state) is None
    failed(state, "ChildRefused")
    assert "idle" == state.status


def test_an_id_that_somebody_else_has_taken_is_told_and_nothing_stands_still() -> None:
    state = over(4)
    state.submit(request("compact-5"), NOW)
    assert "compact-5" == step(state)
    state.complete(DONE, NOW)
    assert (None, None) == (step(state), step(state))
    (entry,) = state.ledger.rejected
    assert ("compact", "compact-5", "TaskIdConflict") == (entry.message, entry.task_id, entry.error.type)
    talk(state, 1, start=5)
    assert "compact-6" == step(state)


def test_a_task_submitted_later_under_its_id_is_a_conflict() -> None:
    state = compacting()
    with refused("TaskIdConflict"):
        state.submit(request("compact-5"), NOW)


def test_a_compaction_makes_nobody_busy() -> None:
    state = over()
    state.pass_time(NOW)
    state.submit(request("w1", on_busy="reject"), NOW)
    with refused("Busy"):
        state.submit(request("w2", on_busy="reject"), NOW)
    state = compacting()
    state.submit(request("w1", on_busy="reject"), NOW)
    with refused("Busy"):
        state.submit(request("w2", on_busy="reject"), NOW)


def test_a_full_list_takes_it_all_the_same() -> None:
    state = over(7, max_pending=1)
    state.submit(request("w"), NOW)
    assert "compact-7" == step(state)


# --- `compact` in anybody's patch -------------------------------------------------------------------------------------


def test_any_task_that_may_write_may_take_turns_out_and_keeps_its_own() -> None:
    state = over(3, compact=None)
    state.submit(request("mine"), NOW)
    step(state)
    state.complete(summary(3), NOW)
    assert ([4], {"summary": "short"}, 4) == (versions(state), state.context.values, state.context.version)
    state.rollback_context(RollbackRequest(version=3), NOW)
    assert ([1, 2, 3], {}) == (versions(state), state.context.values)


def test_no_task_takes_turns_out_beyond_the_version_it_saw() -> None:
    state = over(3, compact=None)
    state.submit(request("mine"), NOW)
    step(state)
    state.patch_context(PatchRequest(patch=ContextPatch(set={"tea": 1})), NOW)
    state.complete(summary(4), NOW)
    assert ("InvalidOutput", [1, 2, 3]) == (error_of(known(state, "mine")), versions(state))


def test_a_patch_from_outside_may_take_turns_out_up_to_the_present_version() -> None:
    state = over(3, compact=None)
    too_far = PatchRequest(patch=ContextPatch(compact=Compaction(through=4)))
    for refusing in (lambda: state.check_patch(too_far), lambda: state.patch_context(too_far, NOW)):
        with refused("InvalidRequest"):
            refusing()
    state.submit(request("mine"), NOW)
    step(state)
    state.patch_context(PatchRequest(patch=ContextPatch(compact=Compaction(through=2))), NOW)
    assert ([3], (4, "external", [])) == (versions(state), log(state)[-1])
    state.complete(summary(3), NOW)
    assert "ContextConflict" == error_of(known(state, "mine"))


# --- all of it, in any order ------------------------------------------------------------------------------------------


class CompactionMachine(UnderLimits):
    """Talk, compactions that end in every way, and whatever may come in between."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.all: dict[int, str] = {}  # every turn there ever was: the version it made, and its task

    @initialize(turns=st.integers(1, 6), size=st.integers(1_024, 3_000))
    def open(self, turns: int, size: int) -> None:
        self.state = session(compact=Compact(kind="Squeeze", turns=turns, bytes=size), on_failure="pause")

    @property
    def compacts(self) -> bool:
        return self.state.running is not None and self.state.running.task.compacts is not None

    @precondition(lambda self: not self.state.closing)
    @rule(size=st.sampled_from([1, 1, 400, 2_000]), on_busy=st.sampled_from(["enqueue", "enqueue", "interrupt"]))
    def submit(self, size: int, on_busy: str) -> None:
        self.asked += 1
        self.state.submit(request(f"t{self.asked}", input="x" * size, on_busy=on_busy), NOW)

    @rule()
    def start(self) -> None:
        if self.state.running is None:
            step(self.state)

    @precondition(lambda self: self.state.running and not self.compacts)
    @rule(through=st.none() | st.integers(0, 30))
    def complete(self, through: int | None) -> None:
        running = self.state.running_task()
        patch = ContextPatch(compact=None if through is None else Compaction(through=through))
        self.state.complete(TaskOutput(output="done", patch=patch), NOW)
        if known(self.state, running.task.task_id).status == "completed":
            self.all[self.state.context.version] = running.task.task_id

    @precondition(lambda self: self.compacts)
    @rule(
        way=st.sampled_from(["well", "well", "fails", "times out", "nothing", "more", "cancelled"]),
        fewer=st.integers(0, 3),
        grown=st.integers(0, 3_000),
    )
    def compaction_ends(self, way: str, fewer: int, grown: int) -> None:
        task, before, paused = self.state.running_task().task, versions(self.state), self.state.paused
        match way:
            case "well":
                self.state.complete(summary(max((task.compacts or 0) - fewer, 0), "s" * grown), NOW)
            case "fails" | "times out":
                self.state.end("failed" if way == "fails" else "timed_out", SessionError("KeyError", "'tea'"), NOW)
            case "nothing":
                self.state.complete(TaskOutput(output=None), NOW)
            case "more":
                self.state.complete(summary(task.compacts or 0, "x" * limits.CONTEXT_BYTES), NOW)
            case "cancelled":
                self.state.cancel(CancelRequest(task_id=task.task_id), NOW)
                self.state.end("cancelled", SessionError("TaskCancelled", ""), NOW)
        record, bound = known(self.state, task.task_id), self.state.config.compact
        conflict = error_of(record) == "ContextConflict"
        assert bound
        if record.status == "cancelled" or conflict:
            assert before == versions(self.state)
        elif record.status != "completed" or (fewer == 0 and way == "well"):
            assert 0 == leaving(self.state.context.turn_sizes, bound)
        assert paused == self.state.paused

    @rule()
    def pause_or_resume(self) -> None:
        self.state.paused = not self.state.paused

    @precondition(lambda self: self.state.context.log)
    @rule(back=st.integers(0, 6))
    def roll_back(self, back: int) -> None:
        oldest = max(self.state.context.version - back, 0)
        try:
            self.state.rollback_context(RollbackRequest(version=oldest), NOW)
        except SessionError as error:
            assert error.type == "UnknownVersion"  # noqa: PT017 (what an older version may well be)

    @rule(key=st.sampled_from(["summary", "tea"]))
    def patch(self, key: str) -> None:
        self.state.patch_context(PatchRequest(patch=ContextPatch(set={key: "mine"})), NOW)

    @rule()
    def hand_over(self) -> None:
        before = carried(self.state)
        self.state = handed_over(self.state)
        assert before == carried(self.state)

    @precondition(lambda self: self.asked > 5)
    @rule(mode=st.sampled_from(["drain", "discard", "now"]))
    def close(self, mode: Any) -> None:
        self.state.close(CloseRequest(mode=mode), NOW)

    @invariant()
    def a_transcript_is_whole_turns_in_their_order_and_none_of_a_compaction(self) -> None:
        found = {turn.version: turn.task_id for turn in self.state.context.transcript}
        assert found.items() <= self.all.items()
        assert all(one < other for one, other in pairwise(versions(self.state)))
        assert self.state.context.turn_sizes == [model_bytes(turn) for turn in self.state.context.transcript]

    @invariant()
    def no_turn_has_two_compactions_and_all_that_was_submitted_ends_or_waits(self) -> None:
        counters = self.state.ledger.counters
        housekeeping = counters.submitted - self.asked
        assert 0 <= housekeeping <= len(self.all)
        ended = counters.completed + counters.failed + counters.cancelled + counters.timed_out
        assert counters.submitted == ended + len(self.state.pending) + (self.state.running is not None)

    @invariant()
    def after_a_step_nothing_that_may_run_is_left_standing(self) -> None:
        if self.state.running is None and not self.state.paused:
            copy = handed_over(self.state)
            waits = copy.pending.next_due(NOW) is not None
            assert step(copy) is not None or not waits


TestCompaction = CompactionMachine.TestCase
