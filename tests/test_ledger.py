"""What is known of every task and of every refused message, and how much of it is kept."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import EXPANDING, NOW, accepted, at, carried, handed_over
from workflows.contract import ContextVersions, Counters, ErrorInfo, RejectedEntry
from workflows.state.ledger import Ledger, SeenIds, error_info, final_record
from workflows.wire import limits
from workflows.wire.encoding import json_bytes, model_bytes
from workflows.wire.errors import SessionError
from workflows.wire.fields import TaskStatus

ENDS: list[TaskStatus] = ["completed", "failed", "cancelled", "timed_out", "expired"]
OTHER_BODIES: list[dict[str, Any]] = [
    {"input": "other"},
    {"kind": "Other"},
    {"timeout": 1},
    {"on_busy": "interrupt"},
    {"not_before": at(1)},
    {"expires_at": at(1)},
    {"task_queue": "other"},
    {"labels": {"l": ""}},
    {"context": {"read": "none"}},
    {"context": {"transcript": 0}},
    {"context": {"write": False}},
]


def seen(*task_ids: str) -> SeenIds:
    known = SeenIds()
    for task_id in task_ids:
        known.add(accepted(task_id))
    return known


def test_a_body_has_the_hash_by_which_sessions_of_before_know_it() -> None:
    """Fields that a request may have since then are left out where they are empty."""
    assert "ypeBEsob2SmNp" == seen("a").model_dump()["packed"]


def finish(ledger: Ledger, task_id: str, status: TaskStatus = "completed", error: str = "", **known: Any) -> None:
    """One task from its acceptance to its record, as a session does it."""
    options = known.pop("options", {})
    task = accepted(task_id, **options)
    ledger.accept(task)
    ledger.finish(final_record(task, status, NOW, SessionError("TaskFailed", error) if error else None, **known))


def entry(task_id: str | None = "a", message: str = "another task waits", preview: str = "a") -> RejectedEntry:
    error = ErrorInfo(type="Busy", message=message)
    return RejectedEntry(at=NOW, message="submit", task_id=task_id, kind="Answer", error=error, preview=preview)


def record_bytes(ledger: Ledger) -> int:
    return sum(model_bytes(record.model_copy(update={"output": None})) for record in ledger.records.values())


# --- seen ids ---------------------------------------------------------------------------------------------------------


def test_an_id_never_seen_has_no_status() -> None:
    assert seen("a").status("b") is None


@pytest.mark.parametrize("status", ENDS)
def test_a_seen_task_is_pending_until_it_ends_and_then_remembered_as_it_ended(status: TaskStatus) -> None:
    known = seen("a", "b")
    known.finish("a", status)
    assert [status, "pending"] == [known.status("a"), known.status("b")]
    assert [status, "pending"] == [handed_over(known).status("a"), handed_over(known).status("b")]


def test_the_end_of_an_unknown_task_is_not_remembered() -> None:
    known = seen("a")
    known.finish("b", "failed")
    assert known.status("b") is None


@pytest.mark.parametrize("other", OTHER_BODIES, ids=str)
def test_another_body_is_told_apart(other: dict[str, Any]) -> None:
    assert not seen("a").same(accepted(**{"input": "a", **other}))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"kind": "Answer", "on_busy": "enqueue", "timeout": 3600, "labels": None, "task_queue": None}),
        ({}, {"context": {"read": "all", "transcript": 20, "write": True}}),
        ({"input": {"a": 1, "b": 2}}, {"input": {"b": 2, "a": 1}}),
        ({"timeout": 5}, {"timeout": 5.0}),
        ({"not_before": "2026-11-23T09:00:00Z"}, {"not_before": "2026-11-23T10:00:00+01:00"}),
    ],
)
def test_the_same_body_is_recognised_however_it_is_written(first: dict[str, Any], second: dict[str, Any]) -> None:
    known = SeenIds()
    known.add(accepted(**first))
    assert known.same(accepted(**second))
    assert handed_over(known).same(accepted(**second))


def test_the_moment_of_submission_is_no_part_of_the_body() -> None:
    assert seen("a").same(accepted("a").model_copy(update={"submitted_at": at(99)}))


def test_the_newest_5000_ids_are_remembered() -> None:
    known = seen(*map(str, range(limits.SEEN_IDS)))
    for number in range(limits.SEEN_IDS):
        known.finish(str(number), "completed")
    known = handed_over(known)
    known.add(accepted("newest"))
    assert [known.status("0"), known.status("1"), known.status("newest")] == [None, "completed", "pending"]
    assert len(carried(known)) < 14 * limits.SEEN_IDS


def test_a_task_that_waits_is_not_forgotten_for_newer_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEEN_IDS", 2)
    ledger = Ledger()
    ledger.accept(accepted("delayed"))
    for task_id in "bcd":
        finish(ledger, task_id)
    assert ledger.seen.status("delayed") == "pending"


def test_the_ids_of_the_tasks_that_ended_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEEN_IDS", 3)
    ledger = Ledger()
    ledger.accept(accepted("delayed"))
    finish(ledger, "b")
    finish(ledger, "c")
    ledger.finish(final_record(accepted("delayed"), "completed", NOW))
    finish(ledger, "d")
    remembered = [task_id for task_id in ("delayed", "b", "c", "d") if ledger.seen.status(task_id)]
    assert remembered == ["delayed", "c", "d"]


# --- records ----------------------------------------------------------------------------------------------------------


def test_a_record_has_all_that_is_known_of_its_task() -> None:
    ledger = Ledger()
    versions = ContextVersions(before=1, after=2)
    finish(ledger, "a", "failed", "why", options={"labels": {"l": "1"}}, run_id="r", context_version=versions, output=1)
    record = ledger.record("a")
    assert record is not None
    assert (record.status, record.kind, record.input_preview, record.labels) == ("failed", "Answer", "a", {"l": "1"})
    assert (ErrorInfo(type="TaskFailed", message="why"), versions) == (record.error, record.context_version)
    assert (record.submitted_at, record.finished_at) == (NOW, NOW)
    assert (record.run_id, record.output, record.truncated) == ("r", 1, False)


def test_nothing_is_known_of_an_unknown_task() -> None:
    assert Ledger().record("a") is None


def test_the_newest_200_records_are_kept_and_older_tasks_answer_by_status() -> None:
    ledger = Ledger()
    for number in range(limits.RECORDS + 1):
        finish(ledger, str(number), "failed" if number == 0 else "completed", output=number)
    assert [str(number) for number in range(1, limits.RECORDS + 1)] == list(ledger.records)
    old = ledger.record("0")
    assert old is not None
    assert (old.status, old.truncated, old.submitted_at) == ("failed", True, None)


def test_the_newest_outputs_are_kept_and_a_shortened_record_says_so() -> None:
    ledger = Ledger()
    for task_id in "abcd":
        finish(ledger, task_id, output="x" * 50_000, usage={"tokens": 1})
    kept = [(record.output is not None, record.truncated) for record in ledger.records.values()]
    assert kept == [(False, True), (False, True), (True, False), (True, False)]
    assert all(record.usage == {"tokens": 1} for record in ledger.records.values())


def test_the_largest_output_is_kept() -> None:
    ledger = Ledger()
    finish(ledger, "a", output="small")
    finish(ledger, "b", output="x" * (limits.OUTPUT_BYTES - 2))
    assert [record.output is not None for record in ledger.records.values()] == [False, True]


@pytest.mark.parametrize(
    "heavy",
    [
        {"options": {"labels": {"l": "x" * 900}}},
        {"options": {"input": "x" * 900, "labels": {"l": "x" * 300}}},
        {"status": "failed", "error": "x" * 900},
    ],
    ids=["labels", "previews", "errors"],
)
def test_200_heavy_records_keep_their_status_and_the_newest_their_texts(heavy: dict[str, Any]) -> None:
    ledger = Ledger()
    for number in range(limits.RECORDS):
        finish(ledger, str(number), **heavy)
    assert record_bytes(ledger) <= limits.RECORDS_BYTES
    assert len(ledger.records) == limits.RECORDS
    oldest, *_, newest = ledger.records.values()
    assert [oldest.truncated, newest.truncated] == [True, False]
    assert oldest.status == newest.status
    assert (oldest.error is None) == (newest.error is None)
    assert model_bytes(newest) > 2 * model_bytes(oldest)


def test_records_too_heavy_even_without_their_texts_leave_oldest_first() -> None:
    ledger = Ledger()
    for number in range(limits.RECORDS):
        finish(ledger, str(number), options={"kind": "\x01" * (limits.SERVER_NAME_BYTES // 6 - 1)})  # six bytes each
    assert record_bytes(ledger) <= limits.RECORDS_BYTES
    assert [str(number) for number in range(limits.RECORDS)][-len(ledger.records) :] == list(ledger.records)
    assert ledger.record("0") is not None


@given(st.lists(st.integers(min_value=0, max_value=60_000) | st.none(), max_size=12))
def test_records_are_measured_alike_before_and_after_a_hand_over(sizes: list[int | None]) -> None:
    ledger, fresh = Ledger(), Ledger()
    for number, size in enumerate(sizes):
        fresh = handed_over(fresh)
        for each in (ledger, fresh):
            finish(each, str(number), output=None if size is None else EXPANDING[0] * (size // 6))
    assert carried(ledger) == carried(fresh)
    assert sum(json_bytes(r.output) for r in ledger.records.values() if r.output) <= limits.RECORD_OUTPUT_BYTES


def test_an_error_is_cut_to_size() -> None:
    error = error_info(SessionError("E" * 900, "\x01" * 900), limits.ERROR_MESSAGE_BYTES)
    assert 400 < json_bytes(error.message) <= limits.ERROR_MESSAGE_BYTES + 2
    assert 200 < json_bytes(error.type) <= limits.NAME_CHARS + 2


# --- refused messages -------------------------------------------------------------------------------------------------


def test_the_oldest_outputs_make_room_for_what_a_task_asks_and_the_next_ones_take_it_again() -> None:
    ledger, part = Ledger(), "x" * (limits.RECORD_OUTPUT_BYTES // 4 - 2)
    for task_id in "abcd":
        finish(ledger, task_id, output=part)
    ledger.make_room(1)
    kept = {task_id: (record.output is not None, record.truncated) for task_id, record in ledger.records.items()}
    assert {"a": (False, True), **dict.fromkeys("bcd", (True, False))} == kept
    finish(ledger, "e", output=part)
    assert [part] * 4 == [record.output for record in ledger.records.values() if record.output is not None]


def test_a_refused_task_is_rejected_under_its_newest_reason() -> None:
    ledger = Ledger()
    ledger.refuse(entry("a", "first"))
    ledger.refuse(entry("a", "second", preview="asked"))
    ledger.refuse(entry("b", "of another"))
    record = handed_over(ledger).record("a")
    assert record is not None
    assert (record.status, record.input_preview, record.kind) == ("rejected", "asked", "Answer")
    assert record.error == ErrorInfo(type="Busy", message="second")
    assert ledger.seen.status("a") is None


@pytest.mark.parametrize("refused_first", [True, False])
def test_a_task_that_was_accepted_is_shown_before_any_refusal(refused_first: bool) -> None:
    ledger = Ledger()
    for refusing in (refused_first, not refused_first):
        if refusing:
            ledger.refuse(entry("a"))
        else:
            finish(ledger, "a")
    record = ledger.record("a")
    assert record is not None
    assert record.status == "completed"


def test_the_newest_100_refusals_are_kept() -> None:
    ledger = Ledger()
    for number in range(limits.REJECTED + 1):
        ledger.refuse(entry(str(number)))
    assert [str(number) for number in range(1, limits.REJECTED + 1)] == [e.task_id for e in ledger.rejected]


def test_refusals_stay_within_their_weight_and_the_newest_stay() -> None:
    ledger = Ledger()
    for number in range(300):
        ledger = handed_over(ledger) if number % 50 == 0 else ledger
        ledger.refuse(entry(str(number), "x" * limits.REJECTED_MESSAGE_BYTES, "x" * limits.PREVIEW_BYTES))
    weight = sum(map(model_bytes, ledger.rejected))
    assert limits.REJECTED_BYTES - 1_000 < weight <= limits.REJECTED_BYTES
    assert ledger.rejected[-1].task_id == "299"


# --- counters ---------------------------------------------------------------------------------------------------------


def test_every_end_and_every_refusal_is_counted() -> None:
    ledger = Ledger()
    for times, status in enumerate(ENDS, 1):
        for number in range(times):
            finish(ledger, f"{status}{number}", status)
    ledger.accept(accepted("waits"))
    ledger.refuse(entry())
    counters = Counters(submitted=16, completed=1, failed=2, cancelled=3, timed_out=4, expired=5, rejected=1)
    assert counters == handed_over(ledger).counters


def test_what_left_the_records_stays_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RECORDS", 1)
    monkeypatch.setattr(limits, "REJECTED", 1)
    ledger = Ledger()
    for task_id in "abc":
        finish(ledger, task_id)
        ledger.refuse(entry(task_id))
    assert Counters(submitted=3, completed=3, rejected=3) == ledger.counters


def test_every_status_a_task_can_end_with_is_known_here() -> None:
    assert set(ENDS) == set(get_args(TaskStatus)) - {"pending", "running", "rejected"}
