"""`Answer`: one language-model call with what the task was given of the session."""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.answer import AnswerActivities
    from activities.models.protocol import ModelRequest
    from workflows.contract import TaskInput, TaskOutput
    from workflows.wire.encoding import preview
    from workflows.wire.errors import ErrorType
    from workflows.wire.limits import (
        DETAILS_CHARS,
        MODEL_HEARTBEAT_SECONDS,
        MODEL_RETRY_SECONDS,
        MODEL_TIMEOUT_SECONDS,
        NAME_CHARS,
        PREVIEW_BYTES,
    )
    from workflows.wire.markdown import block, text


@workflow.defn(name="Answer", sandboxed=False, failure_exception_types=[Exception])
class AnswerWorkflow:
    """Input: a question, as a string or `{"text": ...}`. Output: the answer as a string."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        """Ask the model; its own failures are retried by the activity, within the task's timeout."""
        question = question_text(task.input)
        context = task.context
        page = f"**Question**\n{block(question, DETAILS_CHARS)}"
        workflow.set_current_details(page)
        reply = await workflow.execute_activity_method(
            AnswerActivities.answer_question,
            ModelRequest(question=question, transcript=context.transcript, values=context.values, write=context.write),
            start_to_close_timeout=timedelta(seconds=MODEL_TIMEOUT_SECONDS),
            heartbeat_timeout=timedelta(seconds=MODEL_HEARTBEAT_SECONDS),
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=MODEL_RETRY_SECONDS)),
            summary=preview(question, PREVIEW_BYTES),
        )
        answer = f"**Answer**, by {text(reply.model, NAME_CHARS)}\n{block(reply.text, DETAILS_CHARS)}"
        workflow.set_current_details(f"{page}\n\n{answer}")
        return TaskOutput(output=reply.text, patch=reply.patch, usage=reply.usage)


def question_text(value: Any) -> str:
    """The question in a task's input. Raises ApplicationError (InvalidRequest) where there is none."""
    asked = value.get("text") if isinstance(value, dict) else value
    if not isinstance(asked, str) or not asked.strip():
        raise ApplicationError(
            'input must be a question: a string or {"text": ...}', type=ErrorType.INVALID_REQUEST, non_retryable=True
        )
    return asked
