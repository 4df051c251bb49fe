"""Traces a connection and the workers on it: the SDK's own interceptor, but for sessions.

A span of ours is made for each task when it ends, from its submission to its end. Everything that the task does is
below it, and it is below the call that submitted it: `session_traces.py` knows which that was.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import SpanKind, Status, StatusCode
from temporalio.client import OutboundInterceptor, QueryWorkflowInput
from temporalio.contrib.opentelemetry import TracingInterceptor
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    WorkflowInterceptorClassInput,
)

from activities import spans
from starter.tracing.model_spans import Recording
from starter.tracing.provider import SCOPE, ChosenIds
from starter.tracing.session_traces import HEADER, PROPAGATOR, Externs, Spanned, WorkflowTraces
from workflows.contract import TaskRecord, task_workflow_id

if TYPE_CHECKING:
    from starlette.types import ASGIApp


class Tracing(TracingInterceptor):
    """For `interceptors` of `Client.connect`; the workers on that client have it too. `contents`: of models and tools.

    Not for queries: those who wait for a task, or watch it, ask many.
    """

    def __init__(self, provider: TracerProvider, *, contents: bool = False) -> None:
        super().__init__(provider.get_tracer(SCOPE))
        self.text_map_propagator = PROPAGATOR
        self._sampler = provider.sampler
        self._ids = cast("ChosenIds", provider.id_generator)
        self._recording = Recording(self.tracer, contents=contents)

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 (the SDK's)
        """See base class."""
        return _Calls(next, super().intercept_client(next))

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 (the SDK's)
        """See base class."""
        return _Activity(next, super().intercept_activity(next), self._recording)

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowTraces]:  # noqa: A002 (the SDK's)
        """See base class."""
        super().workflow_interceptor_class(input)
        externs: dict[str, Callable[..., Any]] = {Externs.SAMPLED: self._sampled, Externs.ENDED: self._task_ended}
        input.unsafe_extern_functions.update(externs)
        return WorkflowTraces

    def traced_requests(self, app: "ASGIApp") -> "ASGIApp":
        """The application of a gateway on that client, with a span for each request."""
        from starter.tracing.requests import TracedRequests  # noqa: PLC0415 (only gateways have what it needs)

        return TracedRequests(app, self.tracer)

    def _sampled(self, trace_id: int) -> bool:
        """Whether a trace that begins here is kept, by its id: the same for all that is asked of it."""
        return self._sampler.should_sample(None, trace_id, "task").decision is Decision.RECORD_AND_SAMPLE

    def _task_ended(self, record: TaskRecord, session_id: str, span: Spanned) -> None:
        began = record.submitted_at or record.finished_at
        if began is None or record.finished_at is None:  # never so for a record that is new
            return
        context = PROPAGATOR.extract({"traceparent": span.caller} if span.caller else {})
        with self._ids.chosen(span.trace_id, span.span_id):
            made = self.tracer.start_span(
                f"task {record.kind}", context, SpanKind.CONSUMER, _attributes(record, session_id), None, _ns(began)
            )
        if record.started_at:
            made.add_event("started", timestamp=_ns(record.started_at))
        if record.status in {"failed", "timed_out"}:
            made.set_status(Status(StatusCode.ERROR))
        made.end(_ns(record.finished_at))


class _Calls(OutboundInterceptor):
    def __init__(self, plain: OutboundInterceptor, traced: OutboundInterceptor) -> None:
        super().__init__(traced)
        self._plain = plain

    async def query_workflow(self, input: QueryWorkflowInput) -> Any:  # noqa: A002 (the SDK's)
        return await self._plain.query_workflow(input)


class _Activity(ActivityInboundInterceptor):
    """Spans for activities of what is traced. Those of a session that belong to no task begin no trace of their own."""

    def __init__(
        self, plain: ActivityInboundInterceptor, traced: ActivityInboundInterceptor, recording: Recording
    ) -> None:
        super().__init__(plain)
        self._traced, self._recording = traced, recording

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 (the SDK's)
        if HEADER not in input.headers:
            return await super().execute_activity(input)
        spans.recording.set(self._recording)
        return await self._traced.execute_activity(input)


def _attributes(record: TaskRecord, session_id: str) -> dict[str, Any]:
    """Ids, names and figures; nothing that was said."""
    usage = record.usage or {}
    known = {
        "gen_ai.conversation.id": session_id,
        "temporalWorkflowID": task_workflow_id(session_id, record.task_id),
        "sessions.task.id": record.task_id,
        "sessions.task.kind": record.kind,
        "sessions.task.status": record.status,
        "error.type": record.error.type if record.error else None,
        "gen_ai.usage.input_tokens": usage.get("input_tokens"),
        "gen_ai.usage.output_tokens": usage.get("output_tokens"),
    }
    return {name: value for name, value in known.items() if value is not None}


def _ns(time: datetime) -> int:
    return round(time.timestamp() * 1e6) * 1_000
