"""`Summarise`: puts the oldest turns of a session into the context value `summary`, which every kind of ours reads."""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.models.protocol import Exchange, SummaryRequest
    from activities.summarise import SummaryActivities
    from workflows.contract import Compaction, ContextPatch, TaskInput, TaskOutput
    from workflows.kinds.typed import INVALID_CONTEXT
    from workflows.wire.conversation import SUMMARY
    from workflows.wire.errors import ErrorType
    from workflows.wire.limits import (
        COMPACT_TIMEOUT_SECONDS,
        DETAILS_CHARS,
        MODEL_HEARTBEAT_SECONDS,
        MODEL_RETRY_SECONDS,
        SUMMARY_BYTES,
    )
    from workflows.wire.markdown import block


@workflow.defn(name="Summarise", sandboxed=False, failure_exception_types=[Exception])
class SummariseWorkflow:
    """Input: `{"through": version}`. Output: the new summary, of the old one and the turns up to that version.

    These turns leave the transcript. It has to be given all of them, as a session does for a compaction of its own.
    """

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        """Have the model sum the turns up.

        Raises ApplicationError: InvalidRequest without a version, PatchNotAllowed for a task that must leave nothing,
        InvalidContext where `summary` is something else than a text; ActivityError over what the model raised.
        """
        through, old = _version(task.input), task.context.values.get(SUMMARY)
        if not task.context.write:
            raise _wrong(ErrorType.PATCH_NOT_ALLOWED, "a summary is no use without write access")
        if not isinstance(old, str | None):
            raise _wrong(INVALID_CONTEXT, f"{SUMMARY!r} is no text")
        old_turns = (turn for turn in task.context.transcript if turn.version <= through)
        turns = [Exchange(input=turn.input, output=turn.output) for turn in old_turns]
        reply = await workflow.execute_activity_method(
            SummaryActivities.summarise,
            SummaryRequest(turns=turns, summary=old, limit=SUMMARY_BYTES),
            start_to_close_timeout=timedelta(seconds=COMPACT_TIMEOUT_SECONDS),
            heartbeat_timeout=timedelta(seconds=MODEL_HEARTBEAT_SECONDS),
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=MODEL_RETRY_SECONDS)),
            summary=f"{len(turns)} turns, up to version {through}",
        )
        workflow.set_current_details(f"**Summary**\n{block(reply.text, DETAILS_CHARS)}")
        patch = ContextPatch(set={SUMMARY: reply.text}, compact=Compaction(through=through))
        return TaskOutput(output=reply.text, patch=patch, usage=reply.usage, finish_reason=reply.finish_reason)


def _version(asked: Any) -> int:
    found = asked.get("through") if isinstance(asked, dict) else None
    if type(found) is not int:
        raise _wrong(ErrorType.INVALID_REQUEST, 'input must be {"through": version}')
    return found


def _wrong(name: str, message: str) -> ApplicationError:
    return ApplicationError(message, type=name, non_retryable=True)
