"""From payloads to values, which may be anything: what a session and its clients do with what they cannot read."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.common import RawValue
from temporalio.contrib.pydantic import (
    PydanticJSONPlainPayloadConverter,
    PydanticPayloadConverter,
    pydantic_data_converter,
)
from temporalio.converter import DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from workflows.wire import limits
    from workflows.wire.errors import ErrorType, KeyMissingError, SessionError
    from workflows.wire.mending import mended, mended_json, mended_value, texts_of
    from workflows.wire.sealing import Guard, conceal

NOTHING = RawValue(Payload(metadata={"encoding": b"binary/null"}))
"""Default of an optional argument: what the converter sends for null."""


class MendingJsonConverter(PydanticJSONPlainPayloadConverter):
    """Reads and writes U+FFFD for a lone surrogate; others send them, and pydantic neither reads nor writes one."""

    def to_payload(self, value: Any) -> Payload | None:
        """`value` as JSON. Raises ValueError for what has no such form."""
        try:
            return super().to_payload(value)
        except ValueError:
            return super().to_payload(mended_value(value))

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        """The value in `payload`. Raises ValueError for what does not parse, or not as `type_hint`."""
        try:
            return super().from_payload(payload, type_hint)
        except ValueError:
            data = mended_json(payload.data)
            if data == payload.data:
                raise
            return super().from_payload(Payload(metadata=payload.metadata, data=data), type_hint)


class LenientPayloadConverter(PydanticPayloadConverter):
    """Leaves what it cannot read as the RawValue that came, unless a type is asked for.

    The SDK reads start inputs, memos and the details of failures before our code sees them. Were that to raise, it
    would retry the workflow task for ever.
    """

    def __init__(self) -> None:
        super().__init__()
        json = MendingJsonConverter()
        self._set_converters(*(json if c.encoding == json.encoding else c for c in self.converters.values()))

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """The values in `payloads`. Raises whatever its parent does, if there are `type_hints`."""
        try:
            return super().from_payloads(payloads, type_hints)
        except Exception:
            if type_hints:
                raise
            return [RawValue(payload) for payload in payloads]


class MendingFailureConverter(DefaultFailureConverter):
    """Writes U+FFFD for a lone surrogate in the text of a failure, which could not be reported otherwise.

    A missing key is told by its name, and is never the end: the next attempt may have it.
    """

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """Put `exception` and its causes into `failure`."""
        if isinstance(exception, KeyMissingError):
            exception = ApplicationError(str(exception), type=exception.type)
        try:
            super().to_failure(exception, payload_converter, failure)
        except UnicodeEncodeError:
            failure.Clear()
            super().to_failure(_legible(exception), payload_converter, failure)
        final = failure.HasField("application_failure_info") and failure.application_failure_info.non_retryable
        if final and isinstance(
            exception.__cause__, KeyMissingError
        ):  # so the SDK ends an activity over its heartbeats
            failure.application_failure_info.non_retryable = False


class ConcealingFailureConverter(MendingFailureConverter):
    """Keeps what failures say for a codec to encrypt; their types stay clear, and what names a missing key does.

    So do the refusals of a query: the name at their start is all that its caller has of them.
    """

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """Put `exception` and its causes into `failure`."""
        super().to_failure(exception, payload_converter, failure)
        of_a_query = isinstance(exception, SessionError) and workflow.in_workflow()
        if not of_a_query and not isinstance(exception, KeyMissingError):
            conceal(failure, payload_converter)


def _legible(exception: BaseException) -> ApplicationError:
    name = exception.type if isinstance(exception, ApplicationError) else type(exception).__name__
    final = isinstance(exception, ApplicationError) and exception.non_retryable
    message = exception.message if isinstance(exception, FailureError) else str(exception)
    error = ApplicationError(mended(message), type=mended(name or ""), non_retryable=final)
    return error.with_traceback(exception.__traceback__)


DATA_CONVERTER = replace(
    pydantic_data_converter,
    payload_converter_class=LenientPayloadConverter,
    failure_converter_class=MendingFailureConverter,
    payload_codec=Guard(),
)
"""Temporal's pydantic converter, for workers, clients and replays. What it writes is the same, where that is UTF-8.

Without keys: `starter/encryption/setting.py` makes the one that encrypts.
"""


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


def remains(args: Sequence[RawValue]) -> dict[str, str] | None:
    """What can be told of arguments that `decoded` refuses: whose they are, so that the refusal has its id."""
    return texts_of(("task_id", "kind"), args[0].payload.data) or None if args else None
