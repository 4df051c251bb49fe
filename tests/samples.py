"""Moments, requests, tasks and JSON values that the tests of the pure state share."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_core import from_json, to_json

import tests.hypothesis_profiles  # noqa: F401 (whoever draws from here runs under our profiles)
from workflows.contract import Config, TaskRequest
from workflows.errors import SessionError
from workflows.pending import PendingTask

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)

EXPANDING = '\x01"\\\x1f'
"""Characters that take two or six bytes each as JSON."""

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)

_Model = TypeVar("_Model", bound=BaseModel)


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
