"""What a session tells those who run its worker: metrics, and a log line for each task that ended; not in a replay."""

from collections.abc import Callable
from contextvars import ContextVar
from datetime import timedelta

from temporalio import workflow

from workflows.contract import TaskRecord
from workflows.wire import limits
from workflows.wire.errors import ErrorType, SessionError

TASKS, REFUSED = "sessions_tasks", "sessions_refused_messages"
PENDING_TIME, RUN_TIME = "sessions_task_pending", "sessions_task_run"
TOKENS = "sessions_tokens"
OTHER = "other"
_TIMES = {PENDING_TIME: "Time in the pending list", RUN_TIME: "Time from start to end"}

# A kind's name comes from whoever submits the task: it becomes a label only once a kind of that name is known to exist,
# and there is an end to labels. The set lives as long as the process; nothing that a session does depends on it.
_kinds = {"Answer", "Countdown"}
_MOST_TOKENS = 2**53  # of one task: a number that fits what counts them
_TOKENS = {"input_tokens": "input", "output_tokens": "output"}  # what `usage` calls them, and their label
_ENDED_WITHOUT_A_KIND = {
    ErrorType.UNKNOWN_KIND,
    ErrorType.CHILD_REFUSED,
    ErrorType.TASK_TERMINATED,
    ErrorType.TASK_TIMED_OUT,
    ErrorType.TASK_CANCELLED,
    ErrorType.TASK_EXPIRED,
}

listener: ContextVar[Callable[[TaskRecord], None] | None] = ContextVar("listener", default=None)
"""Who else is told of each task that ends, also in a replay: a worker that is traced sets it for each session."""


def task_ended(record: TaskRecord) -> None:
    """Count a task by kind and status, note how long it waited and ran, and log it."""
    kind, meter, times = _label(record), workflow.metric_meter(), _times(record)
    meter.create_counter(TASKS, "Tasks that ended").add(1, {"kind": kind, "status": record.status})
    for name, time in times.items():
        meter.create_histogram_timedelta(name, _TIMES[name]).record(time, {"kind": kind})
    for name, label in _TOKENS.items():
        count = (record.usage or {}).get(name, 0)
        if isinstance(count, int) and 0 < count < _MOST_TOKENS:
            meter.create_counter(TOKENS, "Tokens that tasks used").add(count, {"kind": kind, "type": label})
    error = record.error.type if record.error else None
    seconds = {f"{name.removeprefix('sessions_task_')}_seconds": time.total_seconds() for name, time in times.items()}
    extra = {"task_id": record.task_id, "kind": record.kind, "error": error, **seconds}
    workflow.logger.info("task %s", record.status, extra=extra)
    if listens := listener.get():
        listens(record)


def message_refused(error: SessionError) -> None:
    """Count a refused message by its error and log it, without its texts: the session keeps them under `rejected`."""
    workflow.metric_meter().create_counter(REFUSED, "Signals that were refused").add(1, {"error": error.type})
    workflow.logger.warning("refused a message: %s", error.type)


def _label(record: TaskRecord) -> str:
    exists = record.error is None or record.error.type not in _ENDED_WITHOUT_A_KIND
    if record.kind not in _kinds and not (exists and len(_kinds) < limits.KIND_LABELS):
        return OTHER
    _kinds.add(record.kind)
    return record.kind


def _times(record: TaskRecord) -> dict[str, timedelta]:
    """How long a task waited, and how long it ran if it did."""
    submitted, started, ended = record.submitted_at, record.started_at, record.finished_at
    if submitted is None or ended is None:  # never so for a record that is new
        return {}
    ran = {RUN_TIME: ended - started} if started else {}
    return {PENDING_TIME: (started or ended) - submitted, **ran}
