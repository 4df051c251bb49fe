"""The kind's side of asking leave for a tool: a person says yes, no and why, or yes with other arguments."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.contract import TaskInput
    from workflows.kinds.waiting import ask_person
    from workflows.wire.approval import NO, YES, ToolCall, Verdict
    from workflows.wire.encoding import alike, plain, preview
    from workflows.wire.errors import ErrorType
    from workflows.wire.limits import PREVIEW_BYTES
    from workflows.wire.validation import explained


@dataclass(frozen=True)
class Approval:
    """What a person said. `arguments`: what the tool is to be called with, as asked or as the person `changed` them.

    `reason`: why not, in the person's words; null where none was given.
    """

    approved: bool
    arguments: dict[str, Any]
    changed: bool = False
    reason: str | None = None


def approval(value: Any, arguments: Mapping[str, Any]) -> Approval:
    """What the answer `value` means for a tool that is about to be called with `arguments`.

    Raises ValueError, in one line, for what is neither "yes" nor "no" nor a `Verdict`.
    """
    try:
        verdict = Verdict.model_validate(value if isinstance(value, dict) else {"answer": value})
    except ValidationError as error:
        raise ValueError(explained(error)) from None
    asked = dict(arguments)
    if verdict.answer == NO or verdict.arguments is None or alike(asked, verdict.arguments):
        return Approval(approved=verdict.answer == YES, arguments=asked, reason=verdict.reason)
    return Approval(approved=True, arguments=verdict.arguments, changed=True, reason=verdict.reason)


async def ask_approval(
    task: TaskInput,
    tool: str,
    arguments: Mapping[str, Any] | str | None = None,
    *,
    text: str | None = None,
    timeout: timedelta | None = None,  # noqa: ASYNC109 (asyncio's does not wait in Temporal's time)
) -> Approval:
    """Ask whether `tool` may be called with `arguments`, an object or its JSON text as models write it.

    `text`: the words of the question, "Allow <tool>?" where there are none. An answer that cannot be read is no yes:
    the question is put again and says what was wrong. Raises like `ask_person`, and ApplicationError (InvalidRequest)
    for arguments that are no JSON object.
    """
    call = _call(tool, arguments)
    words = text or f"Allow {preview(tool, PREVIEW_BYTES)}?"
    deadline = workflow.now() + timeout if timeout else None
    asked = words
    while True:
        left = max(deadline - workflow.now(), timedelta(0)) if deadline else None
        answer = await ask_person(task, asked, choices=[YES, NO], data=call.model_dump(), timeout=left)
        try:
            return approval(answer, call.arguments)
        except ValueError as error:
            asked = f"{words} (the last answer could not be used: {preview(str(error), PREVIEW_BYTES)})"


def _call(tool: str, arguments: Mapping[str, Any] | str | None) -> ToolCall:
    try:
        given = json.loads(arguments or "{}") if isinstance(arguments, str) else arguments
        return ToolCall.model_validate({"tool": tool, "arguments": plain({} if given is None else given)})
    except ValidationError as error:
        message = explained(error)
    except (ValueError, RecursionError) as error:
        message = f"arguments: {error}"
    raise ApplicationError(message, type=ErrorType.INVALID_REQUEST, non_retryable=True)
