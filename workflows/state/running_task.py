"""The one task under way, as the session knows it: since when, asked to end or not, what it asks. Pure state."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from workflows.contract import Answer, ContextVersions, ErrorInfo, Question, RespondRequest, TaskRecord
from workflows.state.ledger import final_record
from workflows.state.pending import PendingTask
from workflows.wire import limits
from workflows.wire.encoding import canonical, preview
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.fields import TaskStatus, Timestamp
from workflows.wire.validation import check_input


class RunningTask(BaseModel):
    """`version`: of the context it saw. `cancel_reason`, `cancelled_at`: set once it was asked to end.

    `answers`: accepted from people, not yet on their way to the task. `refused`: why the server keeps it from going on.
    """

    task: PendingTask
    started_at: Timestamp
    version: int
    run_id: str | None = None
    cancel_reason: str | None = None
    cancelled_at: Timestamp | None = None
    waiting_for: Question | None = None
    answers: list[Answer] = Field(default_factory=list)
    refused: ErrorInfo | None = None

    def may_be(self, run_id: str | None) -> bool:
        """Whether what names that run, or none, may come from this task; its own is known once its start is."""
        return run_id is None or self.run_id is None or run_id == self.run_id

    def cancel(self, reason: str, now: datetime) -> None:
        """Note that the task is to end, for the first reason given; the run carries it out."""
        if self.cancel_reason is None:
            self.cancel_reason, self.cancelled_at = reason, now

    def answer(self, request: RespondRequest, now: datetime) -> None:
        """Accept an answer to what the task asks, to be passed on to it.

        Raises SessionError and changes nothing: NotWaiting when the task asks nothing, or something else than
        `question_id`, or asked for an answer before now; InvalidRequest for none of the choices; InputTooLarge.
        """
        question = self.waiting_for
        if question is None:
            raise SessionError(ErrorType.NOT_WAITING, f"{self.task.task_id} waits for no answer")
        if request.question_id not in (None, question.id):
            raise SessionError(ErrorType.NOT_WAITING, f"{self.task.task_id} waits for an answer to {question.id!r} now")
        if question.expires_at is not None and question.expires_at <= now:
            raise SessionError(ErrorType.NOT_WAITING, f"{question.id!r} had to be answered by {question.expires_at}")
        if question.choices and _chosen(question, request.value) not in question.choices:
            choices = preview(canonical(question.choices), limits.PREVIEW_BYTES)
            raise SessionError(ErrorType.INVALID_REQUEST, f"value must be one of {choices}")
        check_input(request.value, "value")
        self.waiting_for = None
        self.answers.append(Answer(question_id=question.id, value=request.value))

    def final_record(
        self, status: TaskStatus, now: datetime, error: SessionError | None, *, after: int | None, **known: Any
    ) -> TaskRecord:
        """How the task ended; `after`: the version of the context that it left."""
        return final_record(
            self.task,
            status,
            now,
            error,
            started_at=self.started_at,
            run_id=self.run_id,
            context_version=ContextVersions(before=self.version, after=after),
            **known,
        )

    def record(self) -> TaskRecord:
        """The task as it stands."""
        return TaskRecord(
            task_id=self.task.task_id,
            kind=self.task.kind,
            status="running",
            labels=self.task.labels,
            submitted_at=self.task.submitted_at,
            started_at=self.started_at,
            input_preview=self.task.input_preview,
            context_version=ContextVersions(before=self.version),
            waiting_for=self.waiting_for,
            run_id=self.run_id,
        )


def _chosen(question: Question, value: Any) -> Any:
    """What an answer chooses: itself, or the `answer` in an object that may say more about the question's data."""
    return value.get("answer") if question.data is not None and isinstance(value, dict) else value
