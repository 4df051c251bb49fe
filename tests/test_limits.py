"""All limits at once: the state still fits the one payload that a hand-over has."""

import json
from datetime import UTC, datetime

import pytest

from workflows.contract import Config, ContextPatch, TaskOutput, TaskRequest
from workflows.state.session_state import SessionState
from workflows.wire import limits
from workflows.wire.encoding import json_bytes
from workflows.wire.errors import ErrorType, SessionError

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
LABELS = {"label": "\x01" * 160}
"""Control characters weigh six bytes each in JSON."""


def test_the_numbers_are_those_of_the_contract() -> None:
    """Other programs count on them: section "limits"."""
    kib = 1_024
    assert (64 * kib, 128 * kib) == (limits.INPUT_BYTES, limits.OUTPUT_BYTES)
    assert (256 * kib, 200, 256 * kib) == (limits.CONTEXT_BYTES, limits.TRANSCRIPT_TURNS, limits.TRANSCRIPT_BYTES)
    assert (50, 128 * kib) == (limits.LOG_ENTRIES, limits.LOG_BYTES)
    assert (1_000, 384 * kib) == (limits.PENDING_TASKS, limits.PENDING_BYTES)
    assert (200, 128 * kib) == (limits.RECORDS, limits.RECORD_OUTPUT_BYTES)
    assert (100, 5_000) == (limits.REJECTED, limits.SEEN_IDS)
    assert 1.4 * kib * kib > limits.STATE_BYTES


def _id(number: int) -> str:
    return f"{number:05}".ljust(limits.ID_CHARS, "x")


def _run_one(state: SessionState, number: int, task_input: str, output: object, patch: ContextPatch) -> None:
    request = TaskRequest(
        task_id=_id(number), input=task_input, kind="k" * limits.NAME_CHARS, labels=LABELS, timeout=60.0
    )
    state.submit(request, NOW)
    task = state.next_task(NOW)
    assert task
    state.start(task, NOW)
    state.complete(TaskOutput(output=output, patch=patch, usage={"u" * 400: 1.5}), NOW)


def _filled() -> SessionState:
    state = SessionState(session_id="s" * limits.ID_CHARS, config=Config(labels=LABELS), started_at=NOW)
    for number in range(limits.SEEN_IDS):
        many = number > limits.SEEN_IDS - 300
        _run_one(state, number, "\x02" * 300 if many else "", "\x03" * 500 if many else "", ContextPatch())
    for number in range(5):
        patch = ContextPatch(set={f"key-{number}": "\x04" * 8_000})
        _run_one(state, 6_000 + number, '"' * 30_000, "\x05" * 20_000, patch)
    for number in range(limits.REJECTED + 10):
        state.refuse("\x06" * 300, {"task_id": _id(number), "input": "\x07" * 300}, _refusal(), NOW)
    request = TaskRequest(task_id="running", input="\x08" * 10_900)
    state.submit(request, NOW)
    task = state.next_task(NOW)
    assert task
    state.start(task, NOW)
    for number in range(limits.PENDING_TASKS + 1):
        try:
            state.submit(TaskRequest(task_id=f"waiting-{number}", input="\x09" * 60), NOW)
        except SessionError as error:
            assert error.type == ErrorType.QUEUE_FULL  # noqa: PT017 (filling up is the point)
            break
    return state


def _refusal() -> SessionError:
    return SessionError(ErrorType.INVALID_REQUEST, "\x0b" * 300)


@pytest.mark.rare
def test_all_limits_filled_at_once_still_fit_one_payload() -> None:
    state = _filled()
    carried = {"state": state.model_dump(mode="json", exclude_none=True)}
    assert limits.PENDING_BYTES * 0.9 < state.pending.bytes <= limits.PENDING_BYTES or len(state.pending) == 1_000
    assert limits.TRANSCRIPT_BYTES * 0.5 < sum(map(_turn_bytes, state.context.transcript)) <= limits.TRANSCRIPT_BYTES
    assert limits.CONTEXT_BYTES * 0.8 < json_bytes(state.context.values) <= limits.CONTEXT_BYTES
    assert limits.STATE_BYTES > len(json.dumps(carried, ensure_ascii=False, separators=(",", ":")).encode())
    assert carried["state"] == SessionState.model_validate(carried["state"]).model_dump(mode="json", exclude_none=True)


def _turn_bytes(turn: object) -> int:
    return len(turn.model_dump_json(exclude_none=True).encode())  # type: ignore[attr-defined]
