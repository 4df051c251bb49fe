"""Mistakes in the code of a kind's activity: they end the task instead of being repeated until its timeout.

Temporal retries whatever an activity raises, without end unless its policy says otherwise: right for a network that is
away, and a task that "runs" for an hour where an argument is missing.
"""

from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from workflows.contract import NOTIFICATION_TYPE, SCHEDULED_TASK_TYPE, SESSION_TYPE

PROGRAMMING_ERRORS = (
    TypeError,
    AttributeError,
    NameError,
    NotImplementedError,
    AssertionError,
    ImportError,
    SyntaxError,
)
"""What only other code mends. Not LookupError, ValueError or ArithmeticError: an answer from outside may bring them
about, and the next one not."""


class ProgrammingErrors(Interceptor):
    """Makes them non-retryable, under their own names."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 (the SDK's)
        """Stand before every activity."""
        return _Inbound(next)


class _Inbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 (the SDK's name)
        try:
            return await super().execute_activity(input)
        except PROGRAMMING_ERRORS as error:
            # A session's own activities are repeated until the code is mended: a session must not fail over it, nor a
            # schedule lose one of its times, nor a notification its day.
            if activity.info().workflow_type in {SESSION_TYPE, SCHEDULED_TASK_TYPE, NOTIFICATION_TYPE}:
                raise
            raise ApplicationError(str(error), type=type(error).__name__, non_retryable=True) from error
