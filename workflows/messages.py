"""From payloads to values: what a session does with arguments that may be anything."""

from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

with workflow.unsafe.imports_passed_through():
    from workflows.errors import ErrorType, SessionError

NOTHING = RawValue(Payload(metadata={"encoding": b"binary/null"}))
"""Default of an optional argument: what the converter sends for null."""


def decoded(args: Sequence[RawValue]) -> Any:
    """The one value in `args`; nothing at all counts as null. Raises SessionError (InvalidRequest)."""
    if len(args) > 1:
        raise SessionError(ErrorType.INVALID_REQUEST, f"takes one argument, got {len(args)}")
    try:
        return workflow.payload_converter().from_payload(args[0].payload) if args else None
    except Exception as error:  # noqa: BLE001 (whatever the converter stumbles over, the session goes on)
        raise SessionError(ErrorType.INVALID_REQUEST, f"cannot be decoded: {error}") from None
