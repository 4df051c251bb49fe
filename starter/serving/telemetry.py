"""What a worker tells those who run it: log lines in one format, and Prometheus metrics where an address is given."""

import logging

from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from activities.first_text import FIRST_TEXT
from starter.serving import logs
from starter.serving.settings import Settings, SettingsError
from workflows.temporal.metrics import PENDING_TIME, RUN_TIME

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 3_600, 14_400, 86_400)
"""Seconds, from an answer of the offline model to a task that waits a day for a person."""


def set_up(settings: Settings) -> None:
    """Start logging and the metrics endpoint; to be called once in a process, before any connection.

    Raises SettingsError where the endpoint's address cannot be used.
    """
    logs.set_up(settings.log_format, settings.log_level)
    forwarding = LogForwardingConfig(
        logging.getLogger(logs.CORE), append_target_to_name=False, prepend_target_on_message=False
    )
    telemetry = TelemetryConfig(
        logging=LoggingConfig(TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding),
        metrics=_prometheus(settings.metrics_address) if settings.metrics_address else None,
        attach_service_name=False,  # it would name the SDK
    )
    try:
        Runtime.set_default(Runtime(telemetry=telemetry))
    except ValueError as error:
        raise SettingsError(f"SESSIONS_METRICS_ADDRESS {settings.metrics_address} cannot be used: {error}") from None


def _prometheus(address: str) -> PrometheusConfig:
    return PrometheusConfig(
        address,
        counters_total_suffix=True,
        unit_suffix=True,
        durations_as_seconds=True,
        histogram_bucket_overrides=dict.fromkeys((PENDING_TIME, RUN_TIME, FIRST_TEXT), BUCKETS),
    )
