"""Checking what callers and kinds send, and saying in one line what is wrong with it. Pure."""

from typing import Any, TypeVar, get_args

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from workflows.wire import limits
from workflows.wire.encoding import carried, json_bytes, plain, preview
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.fields import Id, Request
from workflows.wire.requests import ForkSource
from workflows.wire.tasks import Question, TaskOutput

_SHOWN = 3  # problems named; the rest are counted
_FIELD_BYTES = 80  # of a field's path, which the sender may have made up
_ID: TypeAdapter[str] = TypeAdapter(Id)
_Request = TypeVar("_Request", bound=Request)


def parsed(model: type[_Request], body: Any) -> _Request:
    """`body` as a request. Raises SessionError (InvalidRequest) naming the fields that do not fit."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise SessionError(ErrorType.INVALID_REQUEST, explained(error)) from None


def checked_id(value: Any) -> str:
    """`value`, if it can be a session or task id. Raises SessionError (InvalidRequest)."""
    try:
        return _ID.validate_python(value)
    except ValidationError:
        shown = preview(str(value), limits.PREVIEW_BYTES)
        message = f"{shown!r} is no id: letters, digits, dots, underscores and hyphens, 128 at most, no sign first"
        raise SessionError(ErrorType.INVALID_REQUEST, message) from None


def check_fork(source: ForkSource | None, session_id: str) -> None:
    """Raise SessionError (InvalidRequest) for a session that is to begin with its own context."""
    if source is not None and source.session_id == session_id:
        raise SessionError(ErrorType.INVALID_REQUEST, f"fork_of: {session_id!r} cannot begin with its own context")


def explained(error: ValidationError) -> str:
    """The first problems as `field: what is wrong`; the offending values stay out, they are in the preview."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    named = [f"{_field(problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}" for problem in problems]
    more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    return "; ".join(named[:_SHOWN]) + more


def _field(path: tuple[int | str, ...]) -> str:
    return preview(".".join(map(str, path)) or "body", _FIELD_BYTES)


def known_fields_of(model: type[Request]) -> BeforeValidator:
    """Requests refuse fields they do not know; carried by newer code, such fields are ignored, here and further in."""
    return BeforeValidator(lambda value: _known(model, value))


def _known(model: type[Request], value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    found = {name: value[name] for name in model.model_fields.keys() & value.keys()}
    for name, given in found.items():
        for inner in get_args(model.model_fields[name].annotation):
            if isinstance(inner, type) and issubclass(inner, Request):
                found[name] = _known(inner, given)
    return found


def sendable(body: Any) -> Any:
    """`body` as JSON has it, before it is sent.

    Raises SessionError: InvalidRequest for what JSON does not know, InputTooLarge for more than any session reads.
    """
    try:
        found = plain(body)
        size = len(carried(found))
    except ValueError as error:
        raise SessionError(ErrorType.INVALID_REQUEST, f"what would be sent is {error}") from None
    if size > limits.MESSAGE_BYTES:
        raise SessionError(ErrorType.INPUT_TOO_LARGE, f"weighs {size} bytes, over {limits.MESSAGE_BYTES}")
    return found


def check_input(value: Any, name: str = "input") -> None:
    """Raise what the contract forbids of what goes into a task: SessionError (InvalidRequest, InputTooLarge)."""
    _check(value, name, limits.INPUT_BYTES, ErrorType.INVALID_REQUEST, ErrorType.INPUT_TOO_LARGE)


def check_output(output: TaskOutput) -> None:
    """Raise what the contract forbids of a result: SessionError (InvalidOutput, OutputTooLarge)."""
    _check(output.output, "output", limits.OUTPUT_BYTES, ErrorType.INVALID_OUTPUT, ErrorType.OUTPUT_TOO_LARGE)


def check_question(question: Question) -> None:
    """Raise what the contract forbids of what a question carries: SessionError (InvalidRequest, InputTooLarge)."""
    _check(question.data, "data", limits.QUESTION_DATA_BYTES, ErrorType.INVALID_REQUEST, ErrorType.INPUT_TOO_LARGE)


def _check(value: Any, name: str, limit: int, invalid: ErrorType, too_large: ErrorType) -> None:
    try:
        size = json_bytes(value)
    except ValueError as error:
        raise SessionError(invalid, f"{name} is {error}") from None
    if size > limit:
        raise SessionError(too_large, f"{name} weighs {size} bytes, over {limit}")
