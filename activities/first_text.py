"""How long a task takes to its first word, where somebody watches: a metric of the worker's."""

from datetime import UTC, datetime, timedelta

from temporalio import activity

from workflows.wire.limits import KIND_LABELS

FIRST_TEXT = "sessions_first_text"
_OTHER = "other"

# The kind whose activity this is exists; there is an end to labels all the same, as in `workflows/temporal/metrics.py`.
_kinds: set[str] = set()


def note() -> None:
    """The activity at hand has said its first word: the time since it was first scheduled, failed attempts included."""
    info = activity.info()
    waited = max(datetime.now(UTC) - info.scheduled_time, timedelta(0))  # by two clocks
    meter = activity.metric_meter()
    meter.create_histogram_timedelta(FIRST_TEXT, "Time to the first text").record(
        waited, {"kind": _label(info.workflow_type or _OTHER)}
    )


def _label(kind: str) -> str:
    if kind not in _kinds and len(_kinds) >= KIND_LABELS:
        return _OTHER
    _kinds.add(kind)
    return kind
