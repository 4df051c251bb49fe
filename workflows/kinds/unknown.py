"""What runs for a kind that this worker does not have: a named failure instead of a task that hangs for ever."""

from collections.abc import Sequence
from typing import NoReturn

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.wire.errors import ErrorType


@workflow.defn(dynamic=True, sandboxed=False)
class UnknownKindWorkflow:
    """Takes every workflow type without a workflow of its own, and any input."""

    @workflow.run
    async def run(self, _args: Sequence[RawValue]) -> NoReturn:
        """Fail as `UnknownKind`."""
        kind = workflow.info().workflow_type
        raise ApplicationError(f"no kind {kind!r} on this worker", type=ErrorType.UNKNOWN_KIND, non_retryable=True)
