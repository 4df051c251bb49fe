"""From payloads to requests: the one place where what callers send is decoded and checked."""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ValidationError
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

with workflow.unsafe.imports_passed_through():
    from workflows.contract import Request
    from workflows.errors import ErrorType, SessionError
    from workflows.invalid import explained

NOTHING = RawValue(Payload(metadata={"encoding": b"binary/null"}))
"""Default of an optional argument: what the converter sends for null."""

_Request = TypeVar("_Request", bound=Request)


def decoded(args: Sequence[RawValue]) -> Any:
    """The one value in `args`; nothing at all counts as null. Raises SessionError (InvalidRequest)."""
    if len(args) > 1:
        raise SessionError(ErrorType.INVALID_REQUEST, f"takes one argument, got {len(args)}")
    try:
        return workflow.payload_converter().from_payload(args[0].payload) if args else None
    except Exception as error:  # noqa: BLE001 (whatever the converter stumbles over, the session goes on)
        raise SessionError(ErrorType.INVALID_REQUEST, f"cannot be decoded: {error}") from None


def parsed(model: type[_Request], body: Any) -> _Request:
    """`body` as a request. Raises SessionError (InvalidRequest) naming the fields that do not fit."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise SessionError(ErrorType.INVALID_REQUEST, explained(error)) from None
