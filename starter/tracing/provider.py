"""Where spans are made and how they leave: with ids that may be chosen, by OTLP, and without what users wrote."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Status

SCOPE = "durable_sessions"
"""The instrumentation scope of all spans of ours, those of the SDK's interceptor included."""

_EXCEPTION_KEPT = frozenset({"exception.type", "exception.escaped"})


class ChosenIds(RandomIdGenerator):
    """Chance, but for a span whose ids are chosen: those of a task's, whichever worker makes it, and however often."""

    def __init__(self) -> None:
        self._chosen: ContextVar[tuple[int, int] | None] = ContextVar("chosen", default=None)

    @contextmanager
    def chosen(self, trace_id: int, span_id: int) -> Iterator[None]:
        """Around the making of one span; the trace's id counts where that has no parent."""
        token = self._chosen.set((trace_id, span_id))
        try:
            yield
        finally:
            self._chosen.reset(token)

    def generate_trace_id(self) -> int:
        """See base class."""
        chosen = self._chosen.get()
        return chosen[0] if chosen else super().generate_trace_id()

    def generate_span_id(self) -> int:
        """See base class."""
        chosen = self._chosen.get()
        return chosen[1] if chosen else super().generate_span_id()


class Discreet(SpanExporter):
    """Keeps back what an exception says: kinds and models put into it what users wrote. Its type stays."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See base class."""
        return self._exporter.export([_discreet(span) for span in spans])

    def shutdown(self) -> None:
        """See base class."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See base class."""
        return self._exporter.force_flush(timeout_millis)


@cache
def otlp_provider() -> TracerProvider:
    """The one of this process: to the endpoint, and with the sampler and resource, of OpenTelemetry's variables."""
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return provider_to(OTLPSpanExporter(), Resource.create({} if named else {SERVICE_NAME: "durable-sessions"}))


def provider_to(exporter: SpanExporter, resource: Resource | None = None) -> TracerProvider:
    """One that sends by `exporter`, in batches, from a thread of its own."""
    provider = TracerProvider(resource=resource, id_generator=ChosenIds())
    provider.add_span_processor(BatchSpanProcessor(Discreet(exporter)))
    return provider


def _discreet(span: ReadableSpan) -> ReadableSpan:
    ours = span.instrumentation_scope is not None and span.instrumentation_scope.name == SCOPE
    if not ours or not (span.events or span.status.description):
        return span
    name = (span.status.description or "").partition(":")[0]
    return ReadableSpan(
        name=span.name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes,
        events=[_without_words(event) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code, name or None),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _without_words(event: Event) -> Event:
    if event.name != "exception":
        return event
    kept = {name: value for name, value in (event.attributes or {}).items() if name in _EXCEPTION_KEPT}
    return Event(event.name, kept, event.timestamp)
