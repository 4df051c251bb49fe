"""What of a watched session is shown: parts to be drawn live, and lines of change."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from starter.cli.output import Facts, Part, Table, readable
from starter.cli.views import bar, counted, elapsed, moment, question
from starter.client.changes import Change
from workflows.contract import Question, RejectedEntry, TaskRecord
from workflows.wire.progress import Progress

if TYPE_CHECKING:  # they import temporalio, which takes 0.2 s
    from starter.client.overview import Overview, Row
    from starter.client.watching import Look

PENDING = 5
"""Waiting tasks that are shown: what comes next; the rest is a number."""


def session(look: "Look", ended: Iterable[TaskRecord], rejected: Iterable[RejectedEntry]) -> Iterator[Part]:
    """A session as it stands, with what ended and was refused of late."""
    snapshot = look.snapshot
    yield Facts(
        {
            "session": snapshot.session_id,
            "status": snapshot.status,
            "title": snapshot.config.title,
            "owner": snapshot.config.owner,
            "pending": len(snapshot.pending),
            "tasks": counted(snapshot.counters),
            "no answer": look.unanswered,
        }
    )
    running = snapshot.running
    if running:
        yield Facts(
            {
                "running": running.task_id,
                "kind": running.kind,
                "input": running.input_preview,
                "since": f"{moment(running.started_at)}, {elapsed(running.started_at)}",
                "progress": bar(look.progress),
                "asks": question(running.waiting_for) if running.waiting_for else None,
            }
        )
    waiting = [(entry.task_id, entry.kind, moment(entry.not_before), entry.input_preview) for entry in snapshot.pending]
    yield Table(("task", "kind", "not before", "input"), waiting[:PENDING], "next")
    yield Table(
        ("task", "status", "input", "output"),
        [(record.task_id, record.status, record.input_preview, _outcome(record)) for record in ended],
        "ended",
    )
    yield Table(
        ("message", "task", "at", "error"),
        [(e.message, e.task_id, moment(e.at), f"{e.error.type}: {e.error.message}") for e in rejected],
        "rejected",
    )


def overview(overview: "Overview", lines: int) -> Iterator[Part]:
    """All open sessions in as many lines: those with a running task first, and of them those that answered.

    Hundreds of tasks that nobody serves would otherwise leave no line to those that get on.
    """
    rows = sorted(overview.rows.values(), key=_rank)
    more = ", the newest" if overview.full else ""
    yield Facts({"open": f"{len(rows)}{more}", "shown": lines if len(rows) > lines else None})
    shown = [_row(row) for row in rows[:lines]]
    yield Table(("session", "owner", "status", "pending", "task", "time", "progress"), shown, cut=True)


def line(change: "Change") -> str:
    """A change in one line: when, where, what."""
    return f"{moment(change.at)} {change.session_id or 'all'} {' '.join(_told(change).split())}"


def _rank(row: "Row") -> tuple[object, ...]:
    answered = row.look is not None and not row.silent
    return row.task is None, not answered, row.status == "idle", row.session_id


def _row(row: "Row") -> tuple[object, ...]:
    look = row.look
    status = look.snapshot.status if look else row.status
    owner = look.snapshot.config.owner if look else row.owner
    pending = len(look.snapshot.pending) if look else ""
    running = look.snapshot.running if look else None
    if running is None:
        task, since = (row.task.id.partition("/")[2], row.task.start_time) if row.task else ("", None)
        return row.session_id, owner, status, pending, task, elapsed(since), "no answer" if row.silent else ""
    doing = question(running.waiting_for) if running.waiting_for else running.input_preview
    progress = bar(look.progress if look else None) or doing
    progress = "no answer" if row.silent else progress
    return row.session_id, owner, status, pending, running.task_id, elapsed(running.started_at), progress


def _told(change: "Change") -> str:
    told = change.message or "answers again"
    match change:
        case Change(change="session"):
            told = f"is {change.status}" + ("" if change.pending is None else f", {change.pending} pending")
        case Change(change="progress", task=TaskRecord() as task, progress=Progress() as progress):
            told = f"{task.task_id} {bar(progress)}"
        case Change(change="task", task=TaskRecord(waiting_for=Question() as asked) as task):
            told = f"{task.task_id} asks: {question(asked)}"
        case Change(change="task", task=TaskRecord(finished_at=None) as task):
            told = f"{task.task_id} runs: {task.input_preview}"
        case Change(change="task", task=TaskRecord() as task):
            told = f"{task.task_id} {task.status.replace('_', ' ')}: {_outcome(task)}"
        case Change(rejected=RejectedEntry() as refused):
            told = f"rejected {refused.message}: {refused.error.type}: {refused.error.message}"
    return told


def _outcome(record: TaskRecord) -> str:
    error = record.error
    ended = f"(ended by {record.finish_reason}) " if record.finish_reason else ""
    return f"{error.type}: {error.message}" if error else f"{ended}{readable(record.output)}"
