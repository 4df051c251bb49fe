"""A question to a person as AG-UI's interrupt, and the entry of `resume` as its answer. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from ag_ui.core import Interrupt

from starter.gateway.asking import NoAnswerError, choice, verdict
from workflows.contract import Question
from workflows.wire.approval import NO, YES, tool_call

_BETWEEN = "/"
"""Between a task and what is of it, in ids; no task's id has one."""


def id_of(task_id: str, part: str) -> str:
    """The id of a part of a task: an interrupt, a message, the call of a tool."""
    return f"{task_id}{_BETWEEN}{part}"


def is_of(task_id: str, found: str) -> bool:
    """Whether that is the id of a part of that task."""
    return found.startswith(id_of(task_id, ""))


def question_in(interrupt_id: str) -> tuple[str, str] | None:
    """The task and its question that an interrupt's id stands for; null for what is none of ours."""
    task_id, between, question_id = interrupt_id.partition(_BETWEEN)
    return (task_id, question_id) if task_id and between and question_id else None


def interrupt(task_id: str, question: Question, call_id: str | None, note: str | None) -> Interrupt:
    """A question as an interrupt; `call_id`: of the call that it is about. `note`: what is said before it.

    Reasons and schemas are those that AG-UI's documentation has for them.
    """
    call, choices = tool_call(question), question.choices
    schema: dict[str, Any]
    if call is not None and _of_yes_and_no(question):
        reason, schema = (
            "tool_call",
            {
                "type": "object",
                "properties": {
                    "approved": {"type": "boolean"},
                    "reason": {"type": "string", "description": "Why not."},
                    "editedArgs": {"type": "object", "description": "All arguments, as they are to be instead."},
                },
                "required": ["approved"],
            },
        )
    elif _of_yes_and_no(question):
        reason, schema = "confirmation", {"type": "boolean"}
    else:
        reason, schema = "input_required", {"type": "string", **({"enum": choices} if choices else {})}
    metadata: dict[str, Any] = {"choices": choices} if choices else {}
    if call is not None:
        metadata |= {"tool": call.tool, "arguments": call.arguments}
    elif question.data is not None:
        metadata["data"] = question.data
    return Interrupt(
        id=id_of(task_id, question.id),
        reason=reason,
        message="\n\n".join(line for line in (note, question.text) if line),
        tool_call_id=call_id,
        response_schema=schema,
        expires_at=question.expires_at.isoformat() if question.expires_at else None,
        metadata=metadata or None,
    )


def answer_in(question: Question, payload: Any) -> Any:
    """What the payload of a resume answers to that question. Raises NoAnswerError.

    To a question with choices: a yes or no, the words of one of them, `{"approved", "reason"?, "editedArgs"?}`, or what
    the contract has, `{"answer", "reason"?, "arguments"?}`. To one without: any JSON, as it is.
    """
    if not question.choices:
        if payload in (None, ""):
            raise NoAnswerError("That has no answer in it.")
        return payload
    match payload:
        case bool():
            return verdict(question, approve=payload, reason=None)
        case str():
            return choice(question, payload)
        case {"approved": bool() as approved, **more}:
            return _verdict(question, approved, more)
        case {"answer": str() as words, **more} if question.data is not None:
            return {**more, "answer": choice(question, words)}
    raise NoAnswerError("That is none of the answers to what was asked.")


def said(value: Any) -> str | None:
    """What is said of a call that a person refused, in the place of its result; null where they did not."""
    answer, reason = (value.get("answer"), value.get("reason")) if isinstance(value, dict) else (value, None)
    if answer != NO:
        return None
    return json.dumps({"approved": False, **({"reason": reason} if reason else {})}, ensure_ascii=False)


def _verdict(question: Question, approved: bool, more: Mapping[Any, Any]) -> Any:  # noqa: FBT001 (its name says it)
    reason, arguments = more.get("reason"), more.get("editedArgs")
    meant = verdict(question, approve=approved, reason=reason if isinstance(reason, str) else None)
    if arguments is None or not approved:
        return meant
    if tool_call(question) is None or not isinstance(arguments, dict):
        raise NoAnswerError("The arguments cannot be taken: they are an object, for a tool that is asked about.")
    return {"answer": meant, "arguments": arguments}


def _of_yes_and_no(question: Question) -> bool:
    return question.choices is not None and {YES, NO} == set(question.choices)
