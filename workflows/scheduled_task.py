"""`ScheduledTask`: what a Temporal Schedule starts at each of its times, to submit one task to a session."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RawValue, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    # Not `from workflows import limits`: Python would then load it past the sandbox's importer, again for each run.
    import workflows.wire.limits as limits  # noqa: PLR0402
    from activities.scheduled_tasks import Submission, remove_schedule, submit_scheduled
    from workflows.contract import (
        SCHEDULED_TASK_TYPE,
        ScheduledTaskStart,
        SubmitResult,
        schedule_id,
    )
    from workflows.wire.errors import ErrorType, SessionError
    from workflows.wire.messages import decoded
    from workflows.wire.scheduling import scheduled_request
    from workflows.wire.validation import parsed

NOMINAL_TIME = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")
"""The time that the server starts a workflow for, in whole seconds, be it the schedule's own, of a backfill or of a
trigger. It stays the same when the workflow is reset; when it really starts is told by nothing else."""

_OVER = {ErrorType.SESSION_CLOSED, ErrorType.SESSION_NOT_FOUND}


@workflow.defn(name=SCHEDULED_TASK_TYPE, sandboxed=False)
class ScheduledTaskWorkflow:
    """Neither a session nor a kind: ends as soon as the session has the task.

    No failure types, as with sessions: a bug in here stalls it until the code is mended, and the time is not lost.
    """

    @workflow.run
    async def run(self, given: RawValue) -> SubmitResult:
        """Submit the task of the nominal time. Fails under the name of the refusal.

        Where the session is over, or was never there and is not to be opened, its schedule goes as well: no later time
        could be better.
        """
        try:
            start = parsed(ScheduledTaskStart, decoded([given]))
            request = scheduled_request(start, workflow.info().typed_search_attributes.get(NOMINAL_TIME))
        except SessionError as error:
            raise ApplicationError(error.message, type=error.type, non_retryable=True) from None
        submission = Submission(
            session_id=start.session_id,
            request=request.model_dump(mode="json", exclude_none=True, exclude={"input"}) | {"input": request.input},
            open=None if start.open is None else start.open.model_dump(mode="json", exclude_none=True),
        )
        try:
            return await workflow.execute_activity(
                submit_scheduled,
                submission,
                start_to_close_timeout=timedelta(seconds=limits.SCHEDULED_SUBMIT_SECONDS),
                heartbeat_timeout=timedelta(seconds=limits.SCHEDULED_HEARTBEAT_SECONDS),
                summary=request.task_id,
            )
        except ActivityError as error:
            refusal = error.cause
            if not isinstance(refusal, ApplicationError):
                raise
            if refusal.type in _OVER:
                await self._remove_schedule(start)
            raise refusal from None

    async def _remove_schedule(self, start: ScheduledTaskStart) -> None:
        await workflow.execute_activity(
            remove_schedule,
            schedule_id(start.session_id, start.schedule),
            start_to_close_timeout=timedelta(seconds=limits.CONTROL_TIMEOUT_SECONDS),
            summary=f"schedule {start.schedule}",
        )
