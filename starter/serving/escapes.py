"""Holds back the exits of kinds and activities: `sys.exit()` in one of them ends its task, not the worker.

The SDK catches exceptions in workflow code; an exit passes by and leaves a worker that runs and serves nobody, and what
else is no Exception leaves a task that never ends. A session itself never fails over one: it waits for better code.
"""

from typing import Any

from temporalio import workflow
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from workflows.contract import SESSION_TYPE
from workflows.wire.escapes import contained, escapes, told


class Escapes(Interceptor):
    """What is awaited of a kind or an activity raises nothing that escapes; `activations.py` sees to all else."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 (the SDK's)
        """Stand before every activity."""
        return _Activity(next)

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002, ARG002 (the SDK's)
        """Stand before every workflow."""
        return _Workflow


class _Activity(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 (the SDK's name)
        with contained():
            return await super().execute_activity(input)


class _Workflow(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002 (the SDK's name)
        if workflow.info().workflow_type != SESSION_TYPE:
            with contained():
                return await super().execute_workflow(input)
        try:
            return await super().execute_workflow(input)
        except BaseException as error:
            if not escapes(error):
                raise
            raise RuntimeError(told(error)) from error
