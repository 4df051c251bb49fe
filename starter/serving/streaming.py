"""Lets activities know whether the caller of their task asked to see what they say while they say it.

A kind's argument says so (`TaskInput.stream`). It goes along with each of its activities as a header, so that neither
the kind nor a framework in between has to pass it on.
"""

from typing import Any

from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    Interceptor,
    StartActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from activities import stream
from workflows.contract import SESSION_TYPE
from workflows.wire.streaming import MARK

HEADER = "sessions-stream"
_YES = Payload(metadata={"encoding": b"json/plain"}, data=b"true")


class Streaming(Interceptor):
    """Before every kind and every activity."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 (the SDK's)
        """Stand before every activity."""
        return _Activity(next)

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002, ARG002 (the SDK's)
        """Stand before every workflow."""
        return _Workflow


class _Activity(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 (the SDK's name)
        if HEADER not in input.headers:
            return await super().execute_activity(input)
        told: list[stream.Emitter] = []
        stream.asked.set(True)
        stream.opened.set(told)
        result = await super().execute_activity(input)
        return _marked(result, told[0]) if told else result


def _marked(result: Any, told: stream.Emitter) -> Any:
    """The result with a note of what was told, for who goes on with the stream when it is over: it costs no event."""
    mark = told.mark()
    if mark is None:
        return result
    try:
        payload = activity.payload_converter().to_payloads([result])[0]
    except Exception:  # noqa: BLE001 (the SDK tells the activity)
        return result
    payload.metadata[MARK] = mark.model_dump_json().encode()
    return RawValue(payload)


class _Workflow(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        self._outbound = _Outbound(outbound)
        super().init(self._outbound)

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002 (the SDK's name)
        if workflow.info().workflow_type != SESSION_TYPE:
            task = input.args[0] if input.args else None
            told = task.get("stream") if isinstance(task, dict) else getattr(task, "stream", None)
            self._outbound.asked = told is True
        return await super().execute_workflow(input)


class _Outbound(WorkflowOutboundInterceptor):
    asked = False

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002 (the SDK's name)
        if self.asked:
            input.headers = {**input.headers, HEADER: _YES}
        return super().start_activity(input)
