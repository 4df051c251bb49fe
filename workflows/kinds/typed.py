"""A kind's context as a pydantic model: read from what the task was given, left as a patch of what changed."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from temporalio.exceptions import ApplicationError

from workflows.contract import ContextPatch, TaskInput
from workflows.wire.encoding import alike
from workflows.wire.errors import ErrorType
from workflows.wire.validation import explained

INVALID_CONTEXT = "InvalidContext"
"""A kind's own failure, not one of the session's: what it was given of the context is not what it was written for."""

_Model = TypeVar("_Model", bound=BaseModel)


def context_of(task: TaskInput, model: type[_Model]) -> _Model:
    """The values that `task` was given, as `model`.

    Raises ApplicationError (InvalidContext) naming each key that does not fit, which ends the task as failed.
    """
    return _checked(model, task.context.values, INVALID_CONTEXT)


def patch_of(task: TaskInput, after: BaseModel) -> ContextPatch | None:
    """What `after` changes of the values that `task` was given; null for a task that may not write.

    A list that grew is appended to; a null where null is the default removes its key; all else is set. What equals
    what was given is left alone, so that it cannot conflict. Raises ApplicationError (InvalidOutput) naming each key
    that does not fit the model of `after`, which need not be the one that was read.
    """
    if not task.context.write:
        return None
    given, model = task.context.values, type(after)
    checked = _checked(model, after.model_dump(by_alias=True, warnings=False), ErrorType.INVALID_OUTPUT)
    try:
        before = model.model_validate(given).model_dump(mode="json", by_alias=True)
    except ValidationError:  # what does not fit is what this patch mends
        before = given
    removable = {field.alias or name for name, field in model.model_fields.items() if field.default is None}
    patch = ContextPatch()
    for key, value in checked.model_dump(mode="json", by_alias=True).items():
        old = before.get(key)
        if key in before and alike(old, value):
            continue
        if value is None and key in removable:
            patch.unset += [key] if key in given else []
        elif (more := _growth(old, value)) is not None and (key in given or not old):
            patch.append[key] = more
        else:
            patch.set[key] = value
    return patch


def changes(given: Mapping[str, Any], after: Mapping[str, Any]) -> ContextPatch:
    """What makes `after` of the values `given`, for a kind without a model of its context.

    A list that grew is appended to, what is gone is removed, all else that differs is set.
    """
    patch = ContextPatch(unset=sorted({*given} - {*after}))
    for key, value in after.items():
        old = given.get(key)
        if key in given and alike(old, value):
            continue
        if (more := _growth(old, value)) is not None:
            patch.append[key] = more
        else:
            patch.set[key] = value
    return patch


def _growth(old: Any, value: Any) -> list[Any] | None:
    """What a list has at its end that it had not before; null where it is no such list."""
    grown = isinstance(old, list) and isinstance(value, list) and alike(old, value[: len(old)])
    return value[len(old) :] if grown else None


def _checked(model: type[_Model], values: object, error_type: str) -> _Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        message = f"the context does not fit {model.__name__}: {explained(error)}"
        raise ApplicationError(message, type=error_type, non_retryable=True) from None
