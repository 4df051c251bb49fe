"""A receiver of OTLP over HTTP on loopback: keeps the spans that programs send it."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from starter.tracing.provider import otlp_provider
from tests.harness import WAIT


class Span(NamedTuple):
    """One span as it arrived."""

    name: str
    trace: str
    id: str
    parent: str
    began: int
    ended: int
    failed: str | None
    attributes: dict[str, Any]
    whole: str
    service: str

    @classmethod
    def of(cls, span: WireSpan, service: str) -> "Span":
        failed = (span.status.message or "error") if span.status.code == span.status.STATUS_CODE_ERROR else None
        return cls(
            span.name,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            failed,
            {attribute.key: _value(attribute.value) for attribute in span.attributes},
            str(span),
            service,
        )


class Receiver:
    """What a collector is to a program; `url` is for OTEL_EXPORTER_OTLP_ENDPOINT."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
                for sent in request.resource_spans:
                    named = {attribute.key: _value(attribute.value) for attribute in sent.resource.attributes}
                    for scope in sent.scope_spans:
                        receiver.spans += [Span.of(span, str(named["service.name"])) for span in scope.spans]
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    async def span(self, name: str, **attributes: Any) -> Span:
        """The first of that name and those attributes (`__` for a dot), once it is here."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        async with asyncio.timeout(WAIT):
            while True:
                for span in self.named(name):
                    if wanted.items() <= span.attributes.items():
                        return span
                await asyncio.sleep(0.05)

    def path(self, span: Span) -> list[str]:
        """The names of the spans that it is below, from the uppermost, and its own."""
        above = {other.id: other for other in self.spans}
        names = [span.name]
        while span.parent in above:
            span = above[span.parent]
            names.insert(0, span.name)
        return names

    def repeated(self) -> list[str]:
        """The names of spans that arrived more than once."""
        counts = Counter(span.id for span in self.spans)
        return [span.name for span in self.spans if counts[span.id] > 1]

    def trace(self, span: Span) -> Counter[str]:
        """The names of all spans of its trace."""
        return Counter(other.name for other in self.spans if other.trace == span.trace)

    @contextmanager
    def running(self) -> Iterator["Receiver"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


@contextmanager
def receiving(**settings: str) -> Iterator[Receiver]:
    """A collector to which all that connects meanwhile sends its spans, after a tenth of a second."""
    receiver = Receiver()
    with pytest.MonkeyPatch.context() as patch, receiver.running():
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        for name, value in (endpoint | settings).items():
            patch.setenv(name, value)
        otlp_provider.cache_clear()
        yield receiver
        otlp_provider().shutdown()
        otlp_provider.cache_clear()


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None
