"""An agent's messages from task to task, tool calls and their results included: kept under one key, within bounds.

A session's transcript has what was asked and answered (`workflows/wire/conversation.py`). Where a model is to see its
tool calls again, a kind keeps the framework's own messages as JSON. This reads no framework's types: it knows by the
fields that OpenAI's, Anthropic's, Google's, LangChain's, LlamaIndex's and pydantic-ai's messages have in JSON which of
them opens a turn and which brings the result of a tool. Pure but for the error that a task ends with.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from temporalio.exceptions import ApplicationError

from workflows.contract import ContextPatch, TaskInput
from workflows.kinds.typed import INVALID_CONTEXT
from workflows.wire import limits
from workflows.wire.conversation import BEFORE, conversation, summary_in
from workflows.wire.encoding import json_bytes, plain, preview
from workflows.wire.errors import ErrorType

Message = dict[str, Any]

KEY = "messages"
"""The context value that holds them, unless a kind says otherwise."""

_PARTS = ("parts", "content", "blocks")
_CALLS = ("tool_calls", "invalid_tool_calls")
_CALL, _RESPONSE = ("function_call", "functionCall"), ("function_response", "functionResponse")
_IDS = ("id", "tool_call_id", "tool_use_id", "call_id", "tool_id")


def history_of(task: TaskInput, key: str = KEY) -> list[Message]:
    """The messages that earlier tasks left under `key`, oldest first.

    Raises ApplicationError (InvalidContext), which ends the task as failed, where something else is there.
    """
    found = task.context.values.get(key, [])
    if not _are_messages(found):
        raise ApplicationError(f"{key!r} is no list of messages", type=INVALID_CONTEXT, non_retryable=True)
    return list(found)


def before_history(task: TaskInput, key: str = KEY) -> str | None:
    """What a model is to know of what came before the messages of `history_of`, in words; null where there is nothing.

    That is the session's summary, and the begin of each turn since whose messages have left: bounds of messages are
    others than those of turns. It belongs in front of the messages, say in what a framework calls instructions, and not
    among those that are kept. Raises what `history_of` raises.
    """
    opened = sum(map(_opens, history_of(task, key)))
    turns = task.context.transcript
    lost = turns[: max(len(turns) - opened, 0)]
    said = [f"{m['role']}: {preview(m['content'], limits.LOST_MESSAGE_BYTES)}" for m in conversation(lost)]
    while json_bytes("\n".join(said)) > limits.SUMMARY_BYTES:
        del said[:2]
    known = [*filter(None, [summary_in(task.context.values)]), *(["\n".join(said)] if said else [])]
    return BEFORE + "\n\n".join(known) if known else None


def history_patch(
    task: TaskInput,
    new: Sequence[Any],
    key: str = KEY,
    *,
    max_messages: int = limits.HISTORY_MESSAGES,
    max_bytes: int = limits.HISTORY_BYTES,
) -> ContextPatch | None:
    """What keeps the messages that this task added, `new`, behind those that `history_of` gave it.

    They are appended; where all together would be too many or too heavy, the newest turns replace the list, as many as
    fill half the bounds (`trimmed`). Null for a task that may not write; other changes may be added to the patch. The
    task has to read `key`: what it does not see it neither counts nor replaces. Raises ApplicationError (InvalidOutput)
    for what are no JSON objects, nor pydantic models that can be written as such.
    """
    if not task.context.write:
        return None
    try:
        added = plain(list(new))
    except ValueError as error:
        raise ApplicationError(f"messages: {error}", type=ErrorType.INVALID_OUTPUT, non_retryable=True) from None
    if not _are_messages(added):
        message = "messages: each has to be an object"
        raise ApplicationError(message, type=ErrorType.INVALID_OUTPUT, non_retryable=True)
    together = history_of(task, key) + added
    kept = trimmed(together, max_messages=max_messages, max_bytes=max_bytes)
    if key not in task.context.values:
        return ContextPatch(append={key: kept} if kept else {})
    if len(kept) == len(together):
        return ContextPatch(append={key: added} if added else {})
    return ContextPatch(set={key: kept})


def trimmed(messages: Sequence[Message], *, max_messages: int, max_bytes: int) -> list[Message]:
    """All of them while they are within the bounds; else the newest turns that are within half of them.

    Half, so that a list at its bound is not replaced by every task, and keeps a beginning that providers can cache. A
    turn goes from a user's message to before the next one and stays or leaves as a whole: no result loses its call. The
    newest one may fill the bounds alone. One that is beyond them stays as its first message and its last, if that one
    is an answer and no part of a call; else it leaves, too. What a system message in front says is kept.
    """

    def fit(some: Sequence[Message]) -> bool:
        return len(some) <= max_messages and json_bytes(some) <= max_bytes

    if fit(messages):
        return list(messages)
    first = next((place for place, message in enumerate(messages) if not _is_system(message)), len(messages))
    head, rest = list(messages[:first]), list(messages[first:])
    cuts = _cuts(rest)
    prompt = [part for message in rest[:1] for part in _items(message, ("parts",)) if _is_prompt(part)]
    room = max_bytes // 2 - (json_bytes(prompt) - 1 if prompt else 0)
    sizes = (json_bytes(message) + 1 for message in reversed(rest))
    after = list(accumulate(sizes, initial=json_bytes(head) if head else 1))[::-1]
    for cut in cuts:
        if len(head) + len(rest) - cut <= max_messages // 2 and after[cut] <= room:
            return head + _prompted(prompt, rest[cut:])
    newest = rest[cuts[-1] :] if cuts else []
    ends = [newest[0], newest[-1]] if len(newest) > 1 and not _is_of_a_call(newest[-1]) else []
    kept = (head + (_prompted(prompt, some) if cuts and cuts[-1] else some) for some in (newest, ends, []))
    return next((some for some in kept if fit(some)), [])


def _are_messages(found: Any) -> bool:
    return isinstance(found, list) and all(isinstance(message, dict) for message in found)


def _is_system(message: Message) -> bool:
    body = _body(message)
    return body.get("role", body.get("type")) in {"system", "developer"}


def _is_prompt(part: Message) -> bool:
    return part.get("part_kind") == "system-prompt"


def _prompted(parts: list[Message], turns: list[Message]) -> list[Message]:
    """These turns with the parts of a system prompt, which pydantic-ai has in the request that opens the first one."""
    return [turns[0] | {"parts": [*parts, *turns[0]["parts"]]}, *turns[1:]] if parts and turns else turns


def _cuts(messages: Sequence[Message]) -> list[int]:
    """The places where a turn begins and no result stands behind whose call stands before."""
    called: dict[str, int] = {}
    bound: set[int] = set()
    for place, message in enumerate(messages):
        for name in _names(_results(message)):
            bound.update(range(called.get(name, place), place))
        called |= dict.fromkeys(_names(_calls(message)), place)
    return [place for place, message in enumerate(messages) if place not in bound and _opens(message)]


def _opens(message: Message) -> bool:
    """Whether a user says something with it. Some APIs bring the results of tools as messages of the user."""
    body = _body(message)
    by_user = body.get("role") == "user" or str(body.get("type")).lower().startswith("human")
    return (by_user or "user-prompt" in _part_kinds(body)) and not _results(message)


def _is_of_a_call(message: Message) -> bool:
    return bool(_calls(message) or _results(message))


def _calls(message: Message) -> list[Message]:
    """What in it calls a tool: itself, or parts of it."""
    body = _body(message)
    return _items(body, _CALLS) + [
        piece
        for piece in (body, *_items(body, _PARTS))
        if piece.get("part_kind") == "tool-call"
        or piece.get("block_type") == "tool_call"
        or str(piece.get("type")).endswith(("_call", "tool_use"))
        or any(piece.get(name) for name in _CALL)
    ]


def _results(message: Message) -> list[Message]:
    """What in it brings what a tool gave, or that it was called in a wrong way: itself, or parts of it."""
    body = _body(message)
    whole = body.get("role", body.get("type")) in {"tool", "function", "ToolMessageChunk", "FunctionMessageChunk"}
    return [body] * (whole or str(body.get("type")).endswith("_output")) + [
        part
        for part in _items(body, _PARTS)
        if part.get("part_kind") == "tool-return"
        or (part.get("part_kind") == "retry-prompt" and part.get("tool_name"))
        or part.get("type") == "tool_result"
        or any(part.get(name) for name in _RESPONSE)
    ]


def _body(message: Message) -> Message:
    """The message itself: LangChain wraps its own in `data` or `kwargs`, and others put a part of it aside."""
    inner = message.get("data") or message.get("kwargs")
    body = message | inner if isinstance(inner, dict) else message
    aside = body.get("additional_kwargs")
    return aside | body if isinstance(aside, dict) else body


def _items(message: Message, names: Sequence[str]) -> list[Message]:
    found = (message.get(name) for name in names)
    return [item for items in found if isinstance(items, list) for item in items if isinstance(item, dict)]


def _part_kinds(body: Message) -> set[object]:
    return {part.get("part_kind") for part in _items(body, ("parts",))}


def _names(pieces: Sequence[Message]) -> set[str]:
    """The ids by which a result names its call."""
    inner = (piece.get(name) for piece in pieces for name in (*_CALL, *_RESPONSE))
    named = [*pieces, *(found for found in inner if isinstance(found, dict))]
    return {found for piece in named for field in _IDS if isinstance(found := piece.get(field), str)}
