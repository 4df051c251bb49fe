"""Stores what a kind returns beyond the limit of an output, and puts its reference in its place.

It happens where the kind has run: by a local activity, which is given the output in this worker's memory and leaves
only the reference in the history. The session, and the child's history, never carry the bytes.
"""

import dataclasses
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from workflows.contract import SESSION_TYPE
from workflows.wire.encoding import carried
from workflows.wire.limits import FILE_ATTEMPTS, KEEP_TIMEOUT_SECONDS, OUTPUT_BYTES

PATCH = "large-outputs"
"""Tasks that ended before there was this stay as they are when they are replayed."""


class LargeOutputs(Interceptor):
    """Behind every kind that runs as the task of a session."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002, ARG002 (the SDK's)
        """Stand before every workflow."""
        return _Workflow


class _Workflow(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002 (the SDK's name)
        result = await super().execute_workflow(input)
        output = _output(result)
        if not _is_task(workflow.info()) or not _is_large(output) or not workflow.patched(PATCH):
            return result
        kept = await workflow.execute_local_activity(
            "keep_output",
            output,
            start_to_close_timeout=timedelta(seconds=KEEP_TIMEOUT_SECONDS),
            retry_policy=RetryPolicy(maximum_attempts=FILE_ATTEMPTS),
        )
        return result if kept is None else _with(result, kept)


def _is_task(info: workflow.Info) -> bool:
    parent = info.parent.workflow_id if info.parent else ""
    return info.workflow_type != SESSION_TYPE and bool(parent) and info.workflow_id.startswith(f"{parent}/")


def _output(result: Any) -> Any:
    return result.get("output") if isinstance(result, dict) else getattr(result, "output", None)


def _is_large(output: Any) -> bool:
    try:
        return len(carried(output)) > OUTPUT_BYTES
    except Exception:  # noqa: BLE001 (what has no JSON is told as before)
        return False


def _with(result: Any, kept: Any) -> Any:
    if isinstance(result, dict):
        return {**result, "output": kept}
    if isinstance(result, BaseModel):
        return result.model_copy(update={"output": kept})
    return dataclasses.replace(result, output=kept) if dataclasses.is_dataclass(result) else result  # type: ignore[type-var]
