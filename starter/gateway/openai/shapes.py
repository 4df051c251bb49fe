"""Tasks, turns and questions as OpenAI's objects. Pure.

What has no counterpart here has the value that says so: no tools, temperature 1.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from starter.gateway.openai.ids import APPROVAL, COMPLETION, FILE, MESSAGE, RESPONSE, Ref
from starter.gateway.shown import failure, words
from workflows.contract import Question, TaskRecord, Turn
from workflows.wire.approval import tool_call
from workflows.wire.errors import SessionError
from workflows.wire.files import StoredFile, file_of, references_in

ASKER = "sessions"
"""Whom an approval request is from, in the place of an MCP server's label."""

ASK = "ask_person"
"""What a question that is about no tool is said to call."""

_STATUS = {
    "pending": "queued",
    "running": "in_progress",
    "completed": "completed",
    "cancelled": "cancelled",
    "failed": "failed",
    "timed_out": "failed",
    "expired": "failed",
    "rejected": "failed",
}
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_QUESTION_OF = "user"


def response(
    ref: Ref,
    record: TaskRecord,
    *,
    note: str | None = None,
    background: bool = False,
    previous: str | None = None,
    instructions: str | None = None,
) -> dict[str, Any]:
    """A task as a response. One that asks a person is `completed`, as OpenAI has it: its output is the question.

    `note`: what is said before the question. `previous`, `instructions`: of the request, which the session does not
    keep; `background` neither.
    """
    asks = record.waiting_for
    status = "completed" if asks else _STATUS[record.status]
    cut = _INCOMPLETE.get(record.finish_reason or "") if record.status == "completed" else None
    output = question_items(ref, asks, note) if asks else output_items(ref, record)
    return {
        "id": ref.id(RESPONSE),
        "object": "response",
        "created_at": seconds(record.submitted_at),
        "completed_at": seconds(record.finished_at) if record.finished_at and record.status == "completed" else None,
        "status": "incomplete" if cut else status,
        "background": background,
        "conversation": {"id": ref.session_id},
        "error": {"code": "server_error", "message": failure(record)} if status == "failed" else None,
        "incomplete_details": {"reason": cut} if cut else None,
        "instructions": instructions,
        "max_output_tokens": None,
        "metadata": record.labels,
        "model": record.kind,
        "output": output,
        "parallel_tool_calls": False,
        "previous_response_id": previous,
        "reasoning": None,
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage(record, "input_tokens", "output_tokens"),
        "user": None,
    }


def output_items(ref: Ref, record: TaskRecord) -> list[dict[str, Any]]:
    """What a task has said; nothing before its end."""
    if record.status != "completed":
        return []
    return [message_item(ref, words(record.output), refusal=record.finish_reason == "refusal", output=record.output)]


def message_item(
    ref: Ref, text: str, *, refusal: bool = False, status: str = "completed", output: Any = None
) -> dict[str, Any]:
    """A message of the assistant's. `output`: what it says in words, whose stored files it names."""
    item = {"id": ref.id(MESSAGE), "type": "message", "role": "assistant", "status": status}
    return {**item, "content": [text_part(text, refusal=refusal, files=annotations(ref, output))]}


def text_part(text: str, *, refusal: bool = False, files: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """What a message of the assistant's consists of."""
    if refusal:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": list(files), "logprobs": []}


def files_in(session_id: str, output: Any) -> list[StoredFile]:
    """The stored files of that session which an output refers to; what is no reference to one is none."""
    found = []
    for reference in references_in(output):
        try:
            found.append(file_of(reference, session_id))
        except SessionError:
            continue
    return found


def annotations(ref: Ref, output: Any) -> list[dict[str, Any]]:
    """How a message of the assistant's names the files of a task's output."""
    ids = dict.fromkeys(
        Ref(ref.session_id, ref.task_id, file.sha256).id(FILE) for file in files_in(ref.session_id, output)
    )
    return [{"type": "file_path", "file_id": file_id, "index": 0} for file_id in ids]


def question_items(ref: Ref, question: Question, note: str | None = None) -> list[dict[str, Any]]:
    """A question, in words and as an approval item."""
    return [message_item(ref, question_text(question, note)), approval_item(ref, question)]


def approval_item(ref: Ref, question: Question) -> dict[str, Any]:
    """A question as a request for approval: of the tool that it is about, or else of the asking itself."""
    call = tool_call(question)
    name, arguments = (call.tool, call.arguments) if call else (ASK, _asked(question))
    return {
        "id": Ref(ref.session_id, ref.task_id, question.id).id(APPROVAL),
        "type": "mcp_approval_request",
        "name": name,
        "arguments": json.dumps(arguments, ensure_ascii=False),
        "server_label": ASKER,
    }


def question_text(question: Question, note: str | None = None) -> str:
    """A question as a message: its words, the tool and its arguments, the choices."""
    call = tool_call(question)
    lines = [note, question.text]
    if call:
        lines.append(f"{call.tool}: {json.dumps(call.arguments, ensure_ascii=False)}")
    if question.choices:
        lines.append(f"({' / '.join(question.choices)})")
    return "\n\n".join(line for line in lines if line)


def _asked(question: Question) -> dict[str, Any]:
    return {"question": question.text, **({"choices": question.choices} if question.choices else {})}


def completion(ref: Ref, record: TaskRecord, note: str | None = None) -> dict[str, Any]:
    """A task that has completed, or asks, as a chat completion."""
    asks = record.waiting_for
    text = question_text(asks, note) if asks else words(record.output)
    refused = not asks and record.finish_reason == "refusal"
    message = {"role": "assistant", "content": None if refused else text, "refusal": text if refused else None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(record)}
    return {
        "id": ref.id(COMPLETION),
        "object": "chat.completion",
        "created": seconds(record.submitted_at),
        "model": record.kind,
        "choices": [choice],
        "usage": usage(record, "prompt_tokens", "completion_tokens"),
    }


def finish_reason(record: TaskRecord) -> str:
    """Why an answer ended, in the words of chat completions."""
    return record.finish_reason if record.finish_reason in _INCOMPLETE else "stop"


def usage(record: TaskRecord, used: str, made: str) -> dict[str, Any] | None:
    """What a task's models took, by those two names; null for a kind that does not say so in tokens."""
    given = record.usage or {}
    if "input_tokens" not in given and "output_tokens" not in given:
        return None
    taken, said = int(given.get("input_tokens", 0)), int(given.get("output_tokens", 0))
    details = {f"{used}_details": {"cached_tokens": 0}, f"{made}_details": {"reasoning_tokens": 0}}
    return {used: taken, made: said, "total_tokens": taken + said, **details}


def turn_items(session_id: str, turn: Turn) -> list[dict[str, Any]]:
    """What was asked in a turn, and what was answered."""
    asked = Ref(session_id, turn.task_id, _QUESTION_OF)
    item = {"id": asked.id(MESSAGE), "type": "message", "role": "user", "status": "completed"}
    said = {**item, "content": [{"type": "input_text", "text": words(turn.input)}]}
    refused = turn.finish_reason == "refusal"
    return [said, message_item(Ref(session_id, turn.task_id), words(turn.output), refusal=refused, output=turn.output)]


def conversation(session_id: str, created: datetime | None, labels: dict[str, str]) -> dict[str, Any]:
    """A session as a conversation."""
    return {"id": session_id, "object": "conversation", "created_at": seconds(created), "metadata": labels}


def seconds(at: datetime | None) -> int:
    """A time as OpenAI has it; 0 where it is no longer known."""
    return int(at.timestamp()) if at else 0
