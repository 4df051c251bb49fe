"""What others are to be told of a session, until the run has handed it to what tells them. Pure state."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from workflows.contract import CloseRequest, Counters, Question, TaskRecord
from workflows.wire import limits
from workflows.wire.encoding import json_bytes
from workflows.wire.fields import NotifyEvent
from workflows.wire.notifications import Notice


@dataclass
class Outbox:
    """The events that nobody has been told of yet, in their order."""

    _events: deque[tuple[int, NotifyEvent, str, dict[str, Any]]] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self._events)

    def add(self, number: int, event: NotifyEvent, url: str, data: dict[str, Any]) -> None:
        """One more."""
        self._events.append((number, event, url, data))

    def batch(self, now: datetime) -> list[Notice]:
        """Take out the oldest, bounded by number and by bytes; at least one where there is any."""
        taken: list[Notice] = []
        weight = 0
        while self._events and len(taken) < limits.NOTICES_AT_ONCE:
            number, event, url, data = self._events[0]
            weight += json_bytes(data)
            if taken and weight > limits.NOTICES_BYTES:
                break
            self._events.popleft()
            taken.append(Notice(number=number, type=event, url=url, at=now, data=data))
        return taken


def task_ended(record: TaskRecord) -> dict[str, Any]:
    """The record of a task that ended; an output over its limit is left out, which `truncated` says."""
    if record.output is not None and json_bytes(record.output) > limits.NOTICE_OUTPUT_BYTES:
        record = record.model_copy(update={"output": None, "truncated": True})
    return {"task": record.model_dump(mode="json")}


def question_asked(task_id: str, question: Question) -> dict[str, Any]:
    """What a task asks a person."""
    return {"task_id": task_id, "question": question.model_dump(mode="json")}


def budget_reached(reached: Mapping[str, tuple[int | float, int | float]]) -> dict[str, Any]:
    """The figures that have been reached: what has been used of each, and what the budget has."""
    return {"reached": {name: {"used": used, "budget": number} for name, (used, number) in reached.items()}}


def session_closed(closing: CloseRequest, counters: Counters) -> dict[str, Any]:
    """How the session was closed, and how its tasks ended."""
    return {"mode": closing.mode, "reason": closing.reason, "counters": counters.model_dump(mode="json")}
