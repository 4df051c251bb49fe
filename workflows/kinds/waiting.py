"""The kind's side of asking a person: put a question to the session of a task, and go on with the answer."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.contract import Answer, Question, TaskInput, WaitingNotice
    from workflows.wire import limits
    from workflows.wire.encoding import preview
    from workflows.wire.errors import ErrorType


class Unanswered(ApplicationError):  # noqa: N818 (an ordinary outcome, which a kind may catch)
    """Nobody answered in time. A task that does not catch it ends as `timed_out`."""

    def __init__(self, question: Question) -> None:
        super().__init__(
            f"nobody answered {question.text!r} in time", type=ErrorType.TASK_TIMED_OUT, non_retryable=True
        )


async def ask_person(
    task: TaskInput,
    text: str,
    *,
    choices: Sequence[str] | None = None,
    timeout: timedelta | None = None,  # noqa: ASYNC109 (asyncio's does not wait in Temporal's time)
) -> Any:
    """Ask, wait and return the answer: one of `choices` where there are any, else whatever JSON was sent.

    The question shows in the session's snapshot and details until it is answered (`respond`). One question at a time
    may be open in a task. Raises Unanswered after `timeout`; without one, the task's own timeout ends the wait.
    """
    question = Question(
        id=workflow.uuid4().hex[:8],
        text=text,
        choices=list(choices) if choices else None,
        expires_at=workflow.now() + timeout if timeout else None,
    )
    answers: list[Answer] = []

    def take(body: Any = None) -> None:
        try:
            answer = Answer.model_validate(body)
        except ValidationError:
            return  # not from the session, which sends nothing else
        if answer.question_id == question.id:  # one to an earlier question came too late
            answers.append(answer)

    workflow.set_signal_handler("respond", take)
    await _tell(task, question)
    shown = preview(text, limits.PREVIEW_BYTES)
    try:
        await workflow.wait_condition(lambda: bool(answers), timeout=timeout, timeout_summary=f"answer to: {shown}")
    except TimeoutError:
        if not answers:  # one may come with the very workflow task that the timer ends
            await _tell(task, None)
            raise Unanswered(question) from None
    return answers[0].value


async def _tell(task: TaskInput, question: Question | None) -> None:
    session = workflow.get_external_workflow_handle(task.session_id)
    run_id = workflow.info().first_execution_run_id
    await session.signal("task_waiting", WaitingNotice(task_id=task.task_id, question=question, run_id=run_id))
