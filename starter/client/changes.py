"""What happened between two looks at a session, one `Change` each. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from workflows.contract import Question, RejectedEntry, TaskEvent, TaskRecord
from workflows.wire.fields import Timestamp
from workflows.wire.progress import Progress

if TYPE_CHECKING:
    from starter.client.watching import Look  # imports temporalio, which takes 0.2 s

What = Literal["session", "task", "progress", "rejected", "missed", "unanswered", "answered", "event"]
"""`session`: its status or the length of its pending list. `task`: one started, asks a person, goes on, or ended.
`missed`: more ended than the session has records of. `unanswered`: no worker or server answers; `answered`: again.
`event`: a task said something, or what it had said is void."""


class Change(BaseModel):
    """One thing that happened. `at`: when it was noticed. `status`, `pending`: how the session stands since then.

    `session_id` is null for what concerns all sessions, `pending` where only the server's list has been read.
    """

    at: Timestamp
    session_id: str | None
    change: What
    status: str | None
    pending: int | None = None
    task: TaskRecord | None = None
    progress: Progress | None = None
    rejected: RejectedEntry | None = None
    event: TaskEvent | None = None
    message: str | None = None


def changes(before: "Look | None", now: "Look", at: datetime) -> Iterator[Change]:
    """What happened since `before`, oldest first; where there was none, how the session stands."""
    snapshot, was = now.snapshot, before.snapshot if before else None

    def change(what: What, **details: Any) -> Change:
        return Change(
            at=at,
            session_id=snapshot.session_id,
            change=what,
            status=snapshot.status,
            pending=len(snapshot.pending),
            **details,
        )

    if before and now.unanswered != before.unanswered:
        yield change("unanswered", message=now.unanswered) if now.unanswered else change("answered")
    if now.missed:
        yield change("missed", message=f"{now.missed} more tasks ended meanwhile")
    for record in now.ended:
        yield change("task", task=record)
    for entry in now.rejected:
        yield change("rejected", rejected=entry)
    if was is None or (was.status, len(was.pending)) != (snapshot.status, len(snapshot.pending)):
        yield change("session")
    running, ran = snapshot.running, was.running if was else None
    if running and _doing(running) != _doing(ran):
        yield change("task", task=running)
    if running and now.progress and (_id(ran), before and before.progress) != (running.task_id, now.progress):
        yield change("progress", task=running, progress=now.progress)


def _id(task: TaskRecord | None) -> str | None:
    return task.task_id if task else None


def _doing(task: TaskRecord | None) -> tuple[str, Question | None] | None:
    return (task.task_id, task.waiting_for) if task else None
