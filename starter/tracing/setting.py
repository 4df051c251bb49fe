"""Whether this program is traced: OpenTelemetry's own variables say so. Off, nothing of it is imported.

Extra `otel`.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp
    from temporalio.client import Client

    from starter.tracing.interceptor import Tracing

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Where spans go, by OTLP over HTTP; the SDK of OpenTelemetry reads them, and all its other variables, itself."""

CONTENTS = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
HINT = "pip install 'durable-sessions[otel]'"

FLUSH_SECONDS = 3.0
"""For the last spans of a program that ends: a collector that is there needs a fraction of it."""

_YES = frozenset({"true", "1", "span_only", "span_and_event"})
_flushes: set[Callable[[], object]] = set()

logger = logging.getLogger("sessions")


def asked_for(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether an endpoint is named, and nothing turns it off again."""
    off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    none = environment.get("OTEL_TRACES_EXPORTER", "").lower() == "none"
    return any(environment.get(name) for name in ENDPOINTS) and not off and not none


def contents_asked_for(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether spans may have what was asked and answered."""
    return environment.get(CONTENTS, "").lower() in _YES


def tracing() -> "Tracing | None":
    """What traces a connection and the workers on it; null where nobody asked.

    What lacks for it is a warning: no task waits because nobody can watch it.
    """
    if not asked_for():
        return None
    try:
        from starter.tracing.provider import otlp_provider  # noqa: PLC0415 (an extra: its absence gets a hint)
    except ImportError as error:
        logger.warning("%s is set, but traces need %s: %s", ENDPOINTS[1], error.name, HINT)
        return None
    from starter.tracing.interceptor import Tracing  # noqa: PLC0415 (imports OpenTelemetry)

    provider = otlp_provider()
    _flushes.add(provider.force_flush)  # one for all connections of a process
    return Tracing(provider, contents=contents_asked_for())


def traced_requests(app: "ASGIApp", temporal: "Client") -> "ASGIApp":
    """The application with a span for each request, where its connection is traced."""
    for interceptor in temporal.config()["interceptors"]:
        if hasattr(interceptor, "traced_requests"):
            traced: ASGIApp = interceptor.traced_requests(app)
            return traced
    return app


def flush() -> None:
    """Send what is still here, as far as `FLUSH_SECONDS` go: to be called before a program ends."""

    def all_of_them() -> None:
        for send in _flushes:
            send()

    if _flushes:
        sending = threading.Thread(target=all_of_them, daemon=True)
        sending.start()
        sending.join(FLUSH_SECONDS)
