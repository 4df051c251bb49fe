"""`Notification`: tells the receivers of a session's events, for a day at most, apart from the session."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    # Not `from workflows import limits`: Python would then load it past the sandbox's importer, again for each run.
    import workflows.wire.limits as limits  # noqa: PLR0402
    from activities.notify import GIVEN_UP, Delivery, NotifyActivities
    from workflows.contract import NOTIFICATION_TYPE
    from workflows.wire.errors import SessionError
    from workflows.wire.messages import decoded
    from workflows.wire.notifications import Notice, NotificationStart, body_of
    from workflows.wire.validation import parsed


@workflow.defn(name=NOTIFICATION_TYPE, sandboxed=False)
class NotificationWorkflow:
    """Neither a session nor a kind: a child of the session that nothing waits for.

    No failure types, as with sessions: a bug in here stalls it until the code is mended, and nothing is lost.
    """

    @workflow.run
    async def run(self, given: RawValue) -> dict[str, str]:
        """Deliver every event, each by itself; what became of each, by its number.

        Fails under the name of what went wrong where one could not be delivered, after all others have been tried.
        """
        try:
            start = parsed(NotificationStart, decoded([given]))
        except SessionError as error:
            raise ApplicationError(error.message, type=error.type, non_retryable=True) from None
        ends = await asyncio.gather(*(self._deliver(start.session_id, notice) for notice in start.notices))
        told = {
            str(notice.number): "delivered" if end is None else end.type
            for notice, end in zip(start.notices, ends, strict=True)
        }
        failed = next((end for end in ends if end is not None), None)
        if failed is not None:
            raise ApplicationError(failed.message, told, type=failed.type, non_retryable=True)
        return told

    async def _deliver(self, session_id: str, notice: Notice) -> SessionError | None:
        """Post one event until it is taken; the error where it is given up."""
        info = workflow.info()
        # The run's id keeps two sessions apart that had the same name; the standard wants no dots in it.
        delivery = Delivery(
            id=f"msg_{info.first_execution_run_id.replace('-', '')}_{notice.number}",
            url=notice.url,
            body=body_of(session_id, notice),
        )
        try:
            await workflow.execute_activity_method(
                NotifyActivities.deliver,
                delivery,
                start_to_close_timeout=timedelta(seconds=limits.NOTIFY_ATTEMPT_SECONDS * 2),
                schedule_to_close_timeout=timedelta(seconds=limits.NOTIFY_SECONDS),
                heartbeat_timeout=timedelta(seconds=limits.NOTIFY_HEARTBEAT_SECONDS),
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(seconds=limits.NOTIFY_RETRY_SECONDS),
                    maximum_interval=timedelta(seconds=limits.NOTIFY_LONGEST_PAUSE_SECONDS),
                ),
                summary=f"{notice.type}, number {notice.number}",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            cause = error.cause
            end = SessionError(GIVEN_UP, "tried for a day")
            if isinstance(cause, ApplicationError) and cause.type is not None:
                end = SessionError(cause.type, cause.message)
            extra = {"session_id": session_id, "number": notice.number, "error": end.type}
            workflow.logger.error("a notification is given up: %s", end.type, extra=extra)
            return end
        return None
