"""What waits: in the order of submission, delayed tasks in their place, within the caps."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import EXPANDING, JSON, NOW, accepted, at, handed_over, refused, request
from workflows.contract import Config
from workflows.state.pending import PendingList, PendingTask
from workflows.wire import limits
from workflows.wire.encoding import model_bytes


def listed(*tasks: PendingTask) -> PendingList:
    pending = PendingList()
    for task in tasks:
        pending.add(task)
    return pending


def ids(pending: PendingList) -> list[str]:
    return [task.task_id for task in pending.tasks]


def starts(pending: PendingList, now: datetime) -> list[str]:
    """What starts, one after the other, if nothing else happens and no time passes."""
    started = []
    while task := pending.next_due(now):
        pending.remove(task)
        started.append(task.task_id)
    return started


# --- one task ---------------------------------------------------------------------------------------------------------


def test_an_accepted_task_has_every_default_filled_in_from_the_config() -> None:
    config = Config(default_kind="Count", task_timeout=7, read=["k"], transcript=3)
    task = PendingTask.accepted(request("a"), config, NOW)
    assert (task.kind, task.timeout, task.read, task.transcript, task.write) == ("Count", 7.0, ["k"], 3, True)
    assert (task.on_busy, task.submitted_at, task.input, task.labels) == ("enqueue", NOW, "a", {})


def test_what_a_request_says_overrides_the_config() -> None:
    options: dict[str, Any] = {"kind": "K", "timeout": 5, "on_busy": "reject", "task_queue": "q", "labels": {"l": "1"}}
    context = {"read": "none", "transcript": 0, "write": False}
    config = Config(default_kind="Count", task_timeout=7, read=["k"], transcript=3)
    task = PendingTask.accepted(request("a", context=context, **options), config, NOW)
    assert {**options, **context} == {name: getattr(task, name) for name in {**options, **context}}


def test_a_null_write_is_true() -> None:
    assert accepted(context={"write": None}).write


@pytest.mark.parametrize(
    ("error", "options"),
    [
        ("InvalidRequest", {"input": float("nan")}),
        ("InvalidRequest", {"input": ["\ud800"]}),
        ("InputTooLarge", {"input": "x" * (limits.INPUT_BYTES - 1)}),
        ("InputTooLarge", {"input": '"' * (limits.INPUT_BYTES // 2)}),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_task_is_refused(error: str, options: dict[str, Any]) -> None:
    with refused(error):
        accepted(**options)


def test_an_input_as_large_as_allowed_is_accepted() -> None:
    assert accepted(input="x" * (limits.INPUT_BYTES - 2)).input_preview.endswith("…")


# --- order ------------------------------------------------------------------------------------------------------------


def test_tasks_start_in_the_order_of_their_submission() -> None:
    assert starts(listed(accepted("a"), accepted("b"), accepted("c")), NOW) == ["a", "b", "c"]


def test_a_delayed_task_holds_up_nobody() -> None:
    assert starts(listed(accepted("late", not_before=at(60)), accepted("b")), NOW) == ["b"]


@pytest.mark.parametrize("seconds", [60, 61])
def test_a_delayed_task_takes_the_place_of_its_submission_once_it_is_due(seconds: int) -> None:
    pending = listed(accepted("a"), accepted("late", not_before=at(60)), accepted("b"))
    assert starts(pending, at(seconds)) == ["a", "late", "b"]


def test_what_goes_to_the_front_starts_before_everything_that_waits() -> None:
    pending = listed(accepted("a"), accepted("b"))
    pending.add(accepted("urgent"), front=True)
    assert starts(pending, NOW) == ["urgent", "a", "b"]


def test_what_is_next_stays_in_the_list_until_it_is_removed() -> None:
    pending = listed(accepted("a"))
    assert pending.next_due(NOW) == pending.next_due(NOW) == pending.get("a")
    assert len(pending) == 1


@pytest.mark.parametrize(
    ("expected", "task_id"),
    [(0, "a"), (1, "late"), (1, "b"), (2, "later"), (2, "c"), (3, "d")],
)
def test_a_position_counts_the_earlier_tasks_due_no_later(expected: int, task_id: str) -> None:
    waiting = {"a": None, "late": at(60), "b": None, "later": at(30), "c": None, "d": None}
    pending = listed(*(accepted(name, not_before=moment) for name, moment in waiting.items()))
    assert expected == pending.position(task_id, NOW)


def test_a_position_counts_a_delayed_task_once_it_is_due() -> None:
    pending = listed(accepted("late", not_before=at(60)), accepted("a"))
    assert [pending.position("a", at(59)), pending.position("a", at(60))] == [0, 1]


@given(st.lists(st.none() | st.integers(min_value=-2, max_value=2), min_size=1, max_size=8))
def test_a_due_tasks_position_is_the_number_of_tasks_that_start_before_it(delays: list[int | None]) -> None:
    tasks = [accepted(str(n), not_before=None if d is None else at(d)) for n, d in enumerate(delays)]
    pending = listed(*tasks)
    positions = {task.task_id: pending.position(task.task_id, NOW) for task in tasks if task.due(NOW)}
    assert positions == {task_id: place for place, task_id in enumerate(starts(pending, NOW))}


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("expected", "seconds"), [([], 59), (["a"], 60), (["a", "b"], 61)])
def test_a_task_expires_at_its_moment(expected: list[str], seconds: int) -> None:
    pending = listed(accepted("a", expires_at=at(60)), accepted("stays"), accepted("b", expires_at=at(61)))
    assert expected == [task.task_id for task in pending.expired(at(seconds))]
    assert ids(pending) == ["a", "stays", "b"]


@pytest.mark.parametrize(
    ("expected", "seconds"), [(10, 0), (20, 10), (30, 20), (40, 30), (None, 40), (None, 41)], ids=str
)
def test_the_next_change_is_the_next_moment_a_task_becomes_due_or_expires(expected: int | None, seconds: int) -> None:
    pending = listed(
        accepted("a", not_before=at(20), expires_at=at(30)),
        accepted("b"),
        accepted("c", not_before=at(10), expires_at=at(40)),
    )
    assert (None if expected is None else at(expected)) == pending.next_change(at(seconds))


@given(
    st.lists(st.tuples(*[st.none() | st.integers(min_value=-3, max_value=3)] * 2), max_size=6),
    st.integers(min_value=-3, max_value=3),
)
def test_nothing_becomes_due_or_expires_before_the_next_change(
    moments: list[tuple[int | None, int | None]], seconds: int
) -> None:
    times = [[None if s is None else at(s) for s in pair] for pair in moments]
    pending = listed(*(accepted(str(n), not_before=b, expires_at=e) for n, (b, e) in enumerate(times)))
    change = pending.next_change(at(seconds))
    views = [([t.due(at(s)) for t in pending.tasks], pending.expired(at(s))) for s in range(seconds, 4)]
    different = [at(seconds + ahead) for ahead, view in enumerate(views) if view != views[0]]
    assert change == (different[0] if different else None)


# --- caps and weight --------------------------------------------------------------------------------------------------


def test_a_list_takes_no_more_tasks_than_its_cap() -> None:
    pending = listed(accepted("a"), accepted("b"))
    assert pending.fits(accepted("c"), 3, limits.PENDING_BYTES)
    assert not pending.fits(accepted("c"), 2, limits.PENDING_BYTES)


def test_a_list_takes_no_more_bytes_than_its_cap() -> None:
    pending, task = listed(accepted("a")), accepted("b", input=EXPANDING * 100)
    weight = model_bytes(accepted("a")) + model_bytes(task)
    assert pending.fits(task, 2, weight)
    assert not pending.fits(task, 2, weight - 1)


@given(st.lists(st.tuples(st.sampled_from("+^-o"), st.sampled_from("abcde"), JSON), max_size=20))
def test_the_weight_and_the_index_are_those_of_a_fresh_list_whatever_happened(
    operations: list[tuple[str, str, Any]],
) -> None:
    pending = PendingList()
    expected: list[str] = []
    for operation, task_id, value in operations:
        waiting = pending.get(task_id)
        if operation == "o":
            pending = handed_over(pending)
        elif operation == "-" and waiting:
            pending.remove(waiting)
            expected.remove(task_id)
        elif operation in "+^" and not waiting:
            pending.add(accepted(task_id, input=value), front=operation == "^")
            expected.insert(0 if operation == "^" else len(expected), task_id)
        assert expected == ids(pending)
        assert {name for name in "abcde" if pending.get(name)} == set(expected)
        assert sum(model_bytes(task) for task in pending.tasks) == pending.bytes


@given(JSON)
def test_a_task_survives_a_hand_over_nulls_included(value: Any) -> None:
    times = {"not_before": at(0.123456), "expires_at": at(9)}
    pending = listed(accepted("a", input=value, labels={"l": "1"}, task_queue="q", **times), accepted("b", input=None))
    assert pending == handed_over(pending)
