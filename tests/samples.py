"""Moments, requests, tasks and JSON values that the tests of the pure state share."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine
from pydantic import BaseModel
from pydantic_core import from_json, to_json

import tests.hypothesis_profiles  # noqa: F401 (whoever draws from here runs under our profiles)
from workflows.contract import Config, TaskOutput, TaskRecord, TaskRequest
from workflows.state.pending import PendingTask
from workflows.state.session_state import SessionState
from workflows.wire import limits
from workflows.wire.errors import SessionError

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)

EXPANDING = '\x01"\\\x1f'
"""Characters that take two or six bytes each as JSON."""

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)

DONE = TaskOutput(output="done")

_Model = TypeVar("_Model", bound=BaseModel)


class UnderLimits(RuleBasedStateMachine):
    """A machine that a subclass may run under other limits, by their names."""

    limits: dict[str, int] = {}  # noqa: RUF012 (set once by a subclass)

    def __init__(self) -> None:
        super().__init__()
        self.monkeypatch = pytest.MonkeyPatch()
        for name, value in self.limits.items():
            self.monkeypatch.setattr(limits, name, value)

    def teardown(self) -> None:
        self.monkeypatch.undo()


def at(seconds: float) -> datetime:
    """The moment that many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def request(task_id: str = "a", **options: Any) -> TaskRequest:
    """A request, as a caller would send it; its input is its id unless given."""
    return TaskRequest.model_validate({"task_id": task_id, "input": task_id, **options})


def accepted(task_id: str = "a", **options: Any) -> PendingTask:
    """A request accepted now by a session without configuration."""
    return PendingTask.accepted(request(task_id, **options), Config(), NOW)


def carried(model: BaseModel) -> bytes:
    """What continue-as-new puts into its payload."""
    return to_json({"state": model.model_dump(mode="json", exclude_none=True)})


def handed_over(model: _Model) -> _Model:
    """The model as the next run finds it."""
    return type(model).model_validate(from_json(carried(model))["state"])


@contextmanager
def refused(name: str) -> Iterator[pytest.ExceptionInfo[SessionError]]:
    """Asserts that the block is refused under the contract's `name`."""
    with pytest.raises(SessionError) as caught:
        yield caught
    assert name == caught.value.type


def session(*task_ids: str, **config: Any) -> SessionState:
    """A session in which these tasks wait."""
    state = SessionState(session_id="s", config=Config(**config), started_at=NOW)
    for task_id in task_ids:
        state.submit(request(task_id), NOW)
    return state


def running(task_id: str = "a", *others: str, options: dict[str, Any] | None = None, **config: Any) -> SessionState:
    """A session in which one task runs and others wait."""
    state = session(**config)
    state.submit(request(task_id, **options or {}), NOW)
    start(state)
    for other in others:
        state.submit(request(other), NOW)
    return state


def start(state: SessionState) -> str | None:
    """Start what is next, and say what that was."""
    task = state.next_task(NOW)
    return state.start(task, NOW).task_id if task else None


def waiting(state: SessionState) -> list[str]:
    """What waits, in its order."""
    return [task.task_id for task in state.pending.tasks]


def known(state: SessionState, task_id: str = "a") -> TaskRecord:
    """What the session says of a task that it knows."""
    record = state.record(task_id, NOW)
    assert record is not None
    return record


def error_of(record: TaskRecord) -> str | None:
    """The name under which a task ended."""
    return record.error.type if record.error else None
