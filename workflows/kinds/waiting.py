"""The kind's side of asking a person: put a question to the session of a task, and go on with the answer."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError
from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.contract import Answer, Question, TaskInput, WaitingNotice
    from workflows.wire import limits
    from workflows.wire.encoding import plain, preview
    from workflows.wire.errors import ErrorType, SessionError
    from workflows.wire.validation import check_question, explained


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
    data: Any = None,
    timeout: timedelta | None = None,  # noqa: ASYNC109 (asyncio's does not wait in Temporal's time)
) -> Any:
    """Ask, wait and return the answer: one of `choices` where there are any, else whatever JSON was sent.

    The question shows in the session's snapshot and details until it is answered (`respond`). One question at a time
    may be open in a task. `data`: any JSON that it is about, 16 KiB at most; to a question that has some, the answer
    may also be an object whose `answer` is one of `choices`. `ask_approval` in `approval.py` asks so for a tool.

    Raises Unanswered after `timeout`; without one, the task's own timeout ends the wait. Raises ApplicationError before
    anybody is asked: InputTooLarge for the data, InvalidRequest for what is no JSON or otherwise no question.
    """
    question = _question(text, choices, data, workflow.now() + timeout if timeout else None)
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


def _question(text: str, choices: Sequence[str] | None, data: Any, expires_at: datetime | None) -> Question:
    name, given = workflow.uuid4().hex[:8], list(choices) if choices else None
    kind: str = ErrorType.INVALID_REQUEST
    try:
        question = Question(id=name, text=text, choices=given, expires_at=expires_at, data=plain(data))
        check_question(question)
    except ValidationError as error:
        message = f"question: {explained(error)}"
    except SessionError as error:
        kind, message = error.type, f"question: {error.message}"
    except ValueError as error:
        message = f"question: data is {error}"
    else:
        return question
    raise ApplicationError(message, type=kind, non_retryable=True)


async def _tell(task: TaskInput, question: Question | None) -> None:
    session = workflow.get_external_workflow_handle(task.session_id)
    run_id = workflow.info().first_execution_run_id
    await session.signal("task_waiting", WaitingNotice(task_id=task.task_id, question=question, run_id=run_id))
