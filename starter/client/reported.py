"""What a task's activities last reported, as the server keeps it: the details of their heartbeats."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowExecutionDescription
from temporalio.service import RPCError

from workflows.wire.errors import KeyMissingError
from workflows.wire.progress import Progress
from workflows.wire.streaming import MARK, StreamDetails, StreamMark

READ_TIMEOUT = timedelta(seconds=5)
"""One read of what the server knows: normally milliseconds."""


async def reports(temporal: Client, task: WorkflowExecutionDescription) -> list[Any]:
    """The details of a task's pending activities, of the one that started last first; null where they cannot be read.

    Not of the one that beat last: workers beat for their activities, and repeat what one reported long ago.
    """
    started = sorted(task.raw_description.pending_activities, key=lambda a: a.last_started_time.ToNanoseconds())
    return [await _decoded(temporal, activity.heartbeat_details.payloads) for activity in reversed(started)]


def progress_in(found: Sequence[Any]) -> Progress | None:
    """The first progress among reports; whatever else a kind puts there is none."""
    for report in found:
        try:
            return Progress.model_validate(report)
        except ValidationError:
            continue
    return None


def stream_in(found: Sequence[Any]) -> StreamDetails | None:
    """The newest attempt that streams, of all reports."""
    told: list[StreamDetails] = []
    for report in found:
        if isinstance(report, dict) and "stream" in report:
            try:
                told.append(StreamDetails.model_validate(report["stream"]))
            except ValidationError:
                continue
    return max(told, key=lambda details: details.attempt, default=None)


async def stream_mark(temporal: Client, workflow_id: str) -> StreamMark | None:
    """What the last activity of a task that streamed and completed left of that in the task's history."""
    found: list[Payload] = []
    try:
        async for event in temporal.get_workflow_handle(workflow_id).fetch_history_events():
            found += event.activity_task_completed_event_attributes.result.payloads[:1]
        codec = temporal.data_converter.payload_codec
        for payload in reversed(found):
            [plain] = await codec.decode([payload]) if codec else [payload]
            if MARK in plain.metadata:
                return StreamMark.model_validate_json(plain.metadata[MARK])
    except (RPCError, KeyMissingError, ValueError, KeyError, RuntimeError):  # beyond retention, or not for us to read
        pass
    return None


async def _decoded(temporal: Client, details: Sequence[Payload]) -> Any:
    try:
        values = await temporal.data_converter.decode(details[:1])
    except (KeyMissingError, ValueError, KeyError, RuntimeError):  # not for us to read
        return None
    return values[0] if values else None
