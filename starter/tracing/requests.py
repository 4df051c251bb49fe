"""The span of a request to the gateway, below the caller's own where that sends a `traceparent`. Plain ASGI."""

from opentelemetry import context as otel_context
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from starter.tracing.session_traces import PROPAGATOR

_METHODS = frozenset({"GET", "POST", "DELETE", "OPTIONS", "HEAD"})
_CARRIED = frozenset({b"traceparent", b"tracestate"})
_UNTRACED = frozenset({"/healthz"})
_FAULT = 500


class TracedRequests:
    """Before the entrance. A span has the method, the route and the status; addresses and bodies are the caller's."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app, self._tracer = app, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or scope["path"] in _UNTRACED:
            return await self._app(scope, receive, send)
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        carrier = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _CARRIED}
        status: list[int] = []

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])
            await send(message)

        with self._tracer.start_as_current_span(
            method,
            PROPAGATOR.extract(carrier, otel_context.Context()),
            SpanKind.SERVER,
            {"http.request.method": method},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                await self._app(scope, receive, noted)
            finally:
                if route := getattr(scope.get("route"), "path", None):
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
                if status:
                    span.set_attribute("http.response.status_code", status[0])
                if not status or status[0] >= _FAULT:
                    span.set_status(Status(StatusCode.ERROR))
