"""`Answer`: one language-model call with what the task was given of the session."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.answer import AnswerActivities
    from activities.models.protocol import ONCE_MORE, ModelReply, ModelRequest
    from workflows.contract import TaskInput, TaskOutput
    from workflows.wire.asking import Asked, asked_of
    from workflows.wire.encoding import preview
    from workflows.wire.errors import SessionError
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
    """Input: a question, as a string, `{"text": ..., "files": [...]}` or the reference of one that was too long.

    Output: the answer as a string.
    """

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        """Ask the model; its own failures are retried by the activity, within the task's timeout.

        A reply that is no answer is asked for once more. What a model says instead of an answer, when it refuses, is
        the output, with the `finish_reason` "refusal".
        """
        asked = _asked(task)
        files = [file.words() for file in (*asked.files, *([asked.stored] if asked.stored else []))]
        page = f"**Question**\n{block(chr(10).join(filter(None, [asked.text, *files])), DETAILS_CHARS)}"
        workflow.set_current_details(page)
        request = ModelRequest.of(asked.text, task.context, files=asked.files, stored=asked.stored)
        try:
            reply = await _reply(request)
        except ActivityError as error:
            if not isinstance(error.cause, ApplicationError) or error.cause.type not in ONCE_MORE:
                raise
            reply = await _reply(request)
        ended = f", ended by {text(reply.finish_reason, NAME_CHARS)}" if reply.finish_reason else ""
        answer = f"**Answer**, by {text(reply.model, NAME_CHARS)}{ended}\n{block(reply.text, DETAILS_CHARS)}"
        workflow.set_current_details(f"{page}\n\n{answer}")
        return TaskOutput(output=reply.text, patch=reply.patch, usage=reply.usage, finish_reason=reply.finish_reason)


async def _reply(request: ModelRequest) -> ModelReply:
    return await workflow.execute_activity_method(
        AnswerActivities.answer_question,
        request,
        start_to_close_timeout=timedelta(seconds=MODEL_TIMEOUT_SECONDS),
        heartbeat_timeout=timedelta(seconds=MODEL_HEARTBEAT_SECONDS),
        retry_policy=RetryPolicy(initial_interval=timedelta(seconds=MODEL_RETRY_SECONDS)),
        summary=preview(request.question, PREVIEW_BYTES),
    )


def _asked(task: TaskInput) -> Asked:
    """The question in a task's input. Raises ApplicationError (InvalidRequest) where there is none."""
    try:
        return asked_of(task.input, task.session_id)
    except SessionError as error:
        raise ApplicationError(error.message, type=error.type, non_retryable=True) from None
