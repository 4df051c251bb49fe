"""From payloads to values, which may be anything: what a session and its clients do with what they cannot read."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter

with workflow.unsafe.imports_passed_through():
    from workflows.wire import limits
    from workflows.wire.errors import ErrorType, SessionError

NOTHING = RawValue(Payload(metadata={"encoding": b"binary/null"}))
"""Default of an optional argument: what the converter sends for null."""


class LenientPayloadConverter(PydanticPayloadConverter):
    """Leaves what it cannot read as the RawValue that came, unless a type is asked for.

    The SDK reads start inputs, memos and the details of failures before our code sees them. Were that to raise, it
    would retry the workflow task for ever.
    """

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """The values in `payloads`. Raises whatever its parent does, if there are `type_hints`."""
        try:
            return super().from_payloads(payloads, type_hints)
        except Exception:
            if type_hints:
                raise
            return [RawValue(payload) for payload in payloads]


DATA_CONVERTER = replace(pydantic_data_converter, payload_converter_class=LenientPayloadConverter)
"""Temporal's pydantic converter, for workers, clients and replays. What it writes is the same."""


def decoded(args: Sequence[RawValue]) -> Any:
    """The one value in `args`; nothing at all counts as null. Raises SessionError: InvalidRequest, InputTooLarge."""
    if len(args) > 1:
        raise SessionError(ErrorType.INVALID_REQUEST, f"takes one argument, got {len(args)}")
    size = sum(len(argument.payload.data) for argument in args)
    if size > limits.MESSAGE_BYTES:
        raise SessionError(ErrorType.INPUT_TOO_LARGE, f"weighs {size} bytes, over {limits.MESSAGE_BYTES}")
    try:
        return workflow.payload_converter().from_payload(args[0].payload, object) if args else None
    except Exception as error:  # noqa: BLE001 (whatever the converter stumbles over, the session goes on)
        raise SessionError(ErrorType.INVALID_REQUEST, f"cannot be decoded: {error}") from None
