"""What a task was asked and answered before, from its history: it tells a repeated answer from another one."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.service import RPCError, RPCStatusCode

from starter.client import Session
from workflows.contract import Answer, Question, WaitingNotice, task_workflow_id


class Given(NamedTuple):
    """A question, and the answer that its task has got."""

    question: Question
    value: Any


async def given_answer(session: Session, task_id: str, question_id: str) -> Given | None:
    """The answer to a question that is no longer asked; null where there was none, or it cannot be read any more.

    Reads the history of the task's newest run: once an answer is repeated, which is rare. Raises RPCError.
    """
    question: Question | None = None
    try:
        async for event in session.temporal.get_workflow_handle(
            task_workflow_id(session.id, task_id)
        ).fetch_history_events():
            asked = event.signal_external_workflow_execution_initiated_event_attributes
            told = event.workflow_execution_signaled_event_attributes
            if asked.signal_name == "task_waiting":
                notice = WaitingNotice.model_validate(await _decoded(session, asked.input.payloads))
                if notice.question is not None and notice.question.id == question_id:
                    question = notice.question
            elif told.signal_name == "respond" and question is not None:
                answer = Answer.model_validate(await _decoded(session, told.input.payloads))
                if answer.question_id == question_id:
                    return Given(question, answer.value)
    except (ValidationError, ValueError, KeyError, RuntimeError):  # of another writer, or not for us to read
        return None
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:  # beyond retention
            raise
    return None


async def _decoded(session: Session, payloads: Sequence[Payload]) -> Any:
    return (await session.temporal.data_converter.decode(payloads[:1]))[0]
