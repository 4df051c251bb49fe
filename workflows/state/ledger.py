"""What is known of every task and of every refused message. Pure state.

Three memories of different length: the final records of the newest tasks, the ids of many more (as hashes, so that a
repeated submission is recognised for long), and the refused messages.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field, PrivateAttr, field_serializer

from workflows.contract import Counters, ErrorInfo, RejectedEntry, TaskRecord
from workflows.state.pending import PendingTask
from workflows.wire import limits
from workflows.wire.encoding import canonical, clip, json_bytes, model_bytes, preview, short_hash
from workflows.wire.errors import SessionError
from workflows.wire.fields import TaskStatus
from workflows.wire.validation import checked_id

_ID_CHARACTERS = 8
"""48 bits of an id: among 5,000 remembered ids a false match happens once in 10^11 submissions."""
_BODY_CHARACTERS = 4
"""24 bits of a body: enough to tell an honest repetition from another task under the same id."""
_PENDING = "p"
_STATUS_LETTERS: dict[str, TaskStatus] = {
    _PENDING: "pending",
    "c": "completed",
    "f": "failed",
    "x": "cancelled",
    "t": "timed_out",
    "e": "expired",
}


class SeenIds(BaseModel):
    """The newest task ids with a hash of each body and how the task ended, oldest first.

    Carried as one string of `<8 characters of id><4 of body><1 of status>` an entry.
    """

    packed: str = ""
    _seen: dict[str, tuple[str, str]] = PrivateAttr(default_factory=dict)

    def model_post_init(self, _context: Any, /) -> None:
        """Unpack what an earlier run handed over."""
        size = _ID_CHARACTERS + _BODY_CHARACTERS + 1
        entries = [self.packed[start : start + size] for start in range(0, len(self.packed), size)]
        self._seen = {e[:_ID_CHARACTERS]: (e[_ID_CHARACTERS:-1], e[-1]) for e in entries}

    @field_serializer("packed")
    def _pack(self, _packed: str) -> str:
        return "".join(key + body + status for key, (body, status) in self._seen.items())

    def add(self, task: PendingTask) -> None:
        """Remember an accepted task."""
        self._seen[_key(task.task_id)] = (_body(task), _PENDING)
        if len(self._seen) > limits.SEEN_IDS:
            # What has not ended is never forgotten; far fewer may wait than are remembered.
            ended = next((key for key, (_, letter) in self._seen.items() if letter != _PENDING), None)
            self._seen.pop(ended or "", None)

    def finish(self, task_id: str, status: TaskStatus) -> None:
        """Remember how a task ended; those that ended last are remembered longest."""
        body, _ = self._seen.pop(_key(task_id), ("", ""))
        if body:
            self._seen[_key(task_id)] = (body, next(k for k, v in _STATUS_LETTERS.items() if v == status))

    def status(self, task_id: str) -> TaskStatus | None:
        """How the task of that id stands (`pending` while it has not ended), or null if it is not remembered."""
        _, letter = self._seen.get(_key(task_id), ("", ""))
        return _STATUS_LETTERS.get(letter)

    def same(self, task: PendingTask) -> bool:
        """Whether the remembered task of this id had the same body."""
        return self._seen.get(_key(task.task_id), ("", ""))[0] == _body(task)


class Ledger(BaseModel):
    """Final records, oldest first; rejected entries, newest last; counters; seen ids."""

    records: dict[str, TaskRecord] = Field(default_factory=dict)
    rejected: list[RejectedEntry] = Field(default_factory=list)
    counters: Counters = Field(default_factory=Counters)
    seen: SeenIds = Field(default_factory=SeenIds)
    _record_bytes: dict[str, int] = PrivateAttr(default_factory=dict)
    _output_bytes: dict[str, int] = PrivateAttr(default_factory=dict)
    _rejected_bytes: list[int] = PrivateAttr(default_factory=list)
    _report: Callable[[TaskRecord], None] | None = PrivateAttr(default=None)

    def model_post_init(self, _context: Any, /) -> None:
        """Measure what an earlier run handed over."""
        for record in self.records.values():
            self._measure(record)
        self._rejected_bytes = [model_bytes(entry) for entry in self.rejected]

    def report_to(self, report: Callable[[TaskRecord], None]) -> None:
        """Have every task reported that ends from now on."""
        self._report = report

    def accept(self, task: PendingTask) -> None:
        """Count a task and remember its id."""
        self.seen.add(task)
        self.counters.submitted += 1

    def finish(self, record: TaskRecord) -> None:
        """Keep a final record; the oldest ones give way, first their outputs, then their texts, then themselves."""
        if self._report:
            self._report(record)
        self.records[record.task_id] = record
        self._measure(record)
        self.seen.finish(record.task_id, record.status)
        setattr(self.counters, record.status, getattr(self.counters, record.status) + 1)
        self.make_room(0)
        self._shed(self._record_bytes, limits.RECORDS_BYTES, _without_texts)
        while len(self.records) > limits.RECORDS or sum(self._record_bytes.values()) > limits.RECORDS_BYTES:
            oldest = next(iter(self.records))
            del self.records[oldest], self._record_bytes[oldest], self._output_bytes[oldest]

    def make_room(self, taken: int) -> None:
        """Keep outputs within what their share of the state has left beside `taken` bytes of a question."""
        self._shed(self._output_bytes, limits.RECORD_OUTPUT_BYTES - taken, lambda _: {"output": None})

    def refuse(self, entry: RejectedEntry) -> None:
        """Keep a refused message under its reason."""
        self.rejected.append(entry)
        self._rejected_bytes.append(model_bytes(entry))
        self.counters.rejected += 1
        while len(self.rejected) > limits.REJECTED or sum(self._rejected_bytes) > limits.REJECTED_BYTES:
            del self.rejected[0], self._rejected_bytes[0]

    def record(self, task_id: str) -> TaskRecord | None:
        """The final record of a task, or its newest refusal as one, or null if neither is known."""
        if task_id in self.records:
            return self.records[task_id]
        status = self.seen.status(task_id)
        if status is not None:
            return remembered(task_id, status)
        for entry in reversed(self.rejected):
            if entry.task_id == task_id:
                return TaskRecord(
                    task_id=task_id,
                    kind=entry.kind or "",
                    status="rejected",
                    submitted_at=entry.at,
                    finished_at=entry.at,
                    input_preview=entry.preview,
                    error=entry.error,
                )
        return None

    def _measure(self, record: TaskRecord) -> None:
        output = 0 if record.output is None else json_bytes(record.output)
        self._output_bytes[record.task_id] = output
        self._record_bytes[record.task_id] = model_bytes(record) - output

    def _shed(self, sizes: dict[str, int], limit: int, blanks_of: Callable[[TaskRecord], dict[str, Any]]) -> None:
        """Blank fields of the oldest records until the sizes are within `limit`."""
        excess = sum(sizes.values()) - limit
        for task_id in list(self.records) if excess > 0 else []:
            record = self.records[task_id]
            blanks = blanks_of(record)
            if excess > 0 and any(getattr(record, name) != blank for name, blank in blanks.items()):
                excess -= sizes[task_id]
                self.records[task_id] = record.model_copy(update={**blanks, "truncated": True})
                self._measure(self.records[task_id])
                excess += sizes[task_id]


def _without_texts(record: TaskRecord) -> dict[str, Any]:
    error = ErrorInfo(type=record.error.type, message="") if record.error else None
    return {"labels": {}, "input_preview": "", "usage": None, "error": error}


def final_record(
    task: PendingTask, status: TaskStatus, now: datetime, error: SessionError | None = None, **known: Any
) -> TaskRecord:
    """The record a task ends with. `known`: what its execution adds (times, output, versions, usage, run id)."""
    return TaskRecord(
        task_id=task.task_id,
        kind=task.kind,
        status=status,
        labels=task.labels,
        submitted_at=task.submitted_at,
        finished_at=now,
        input_preview=task.input_preview,
        error=error_info(error, limits.ERROR_MESSAGE_BYTES) if error else None,
        **known,
    )


def remembered(task_id: str, status: TaskStatus) -> TaskRecord:
    """The record of a task of which nothing else is at hand."""
    return TaskRecord(task_id=task_id, kind="", status=status, submitted_at=None, input_preview="", truncated=True)


def rejected_entry(message: str, body: Any, error: SessionError, default_kind: str, now: datetime) -> RejectedEntry:
    """A refused message with what of it can be shown, whatever it is."""
    named = body if isinstance(body, dict) else {}
    return RejectedEntry(
        at=now,
        message=preview(message, limits.PREVIEW_BYTES),
        task_id=_id(named.get("task_id")),
        kind=_text(named.get("kind")) or default_kind,
        error=error_info(error, limits.REJECTED_MESSAGE_BYTES),
        preview=_shown(named.get("input", body)),
    )


def _id(value: Any) -> str | None:
    """`value` if it can be an id; nothing near it, which would be another task's."""
    try:
        return checked_id(value)
    except SessionError:
        return None


def _text(value: Any) -> str | None:
    return preview(value, limits.ID_CHARS) if isinstance(value, str) else None


def _shown(value: Any) -> str:
    try:
        return preview(value, limits.PREVIEW_BYTES)
    except ValueError as error:
        return f"({error})"


def error_info(error: SessionError, message_bytes: int) -> ErrorInfo:
    """The error as records and entries show it, cut to size."""
    return ErrorInfo(type=clip(error.type, limits.NAME_CHARS), message=clip(error.message, message_bytes))


def _key(task_id: str) -> str:
    return short_hash(task_id, _ID_CHARACTERS)


def _body(task: PendingTask) -> str:
    # What sessions remember from before there were these has the hash of a body without them.
    left_out = {"task_id", "submitted_at"} | {
        name for name in ("stream", "compacts", "notify", "priority") if getattr(task, name) is None
    }
    body = task.model_dump(mode="json", exclude=left_out)
    return short_hash(canonical(body), _BODY_CHARACTERS)
