"""What an AG-UI client asks for: every field has its effect, or is refused by its name. Pure.

A client sends all that it has, each time: all messages, its state, empty lists of what it has not. What a session
remembers is not read; what it could not honour is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ag_ui.core import (
    DeveloperMessage,
    Message,
    ResumeEntry,
    RunAgentInput,
    SystemMessage,
    TextPart,
    UserMessage,
)
from pydantic import ValidationError

from starter.gateway.bodies import KEY_CHARS
from starter.gateway.errors import ApiError, invalid, unsupported
from starter.gateway.settings import GatewaySettings
from workflows.wire.encoding import preview
from workflows.wire.limits import PREVIEW_BYTES


@dataclass(frozen=True)
class Asked:
    """What is asked of a thread: the user's last `words`, or an answer to what it asks (`resume`).

    Both where a question is left unanswered for something else. `kind`: null for the session's default. `messages`: all
    that the client shows. `state`: what a new session begins with; empty where none was sent. Neither words nor an
    answer: what there is of the thread is to be shown.
    """

    thread_id: str
    run_id: str
    kind: str | None
    messages: Sequence[Message]
    words: str
    instructions: str | None
    state: Mapping[str, Any]
    resume: ResumeEntry | None = None

    def task_input(self) -> Any:
        """What the task is given: the words, with instructions where there are any."""
        return {"text": self.words, "instructions": self.instructions} if self.instructions else self.words


def asked_of_run(body: Mapping[str, Any], kind: str | None, settings: GatewaySettings) -> Asked:
    """The body of `POST /agui`, and the kind that its path names. Raises ApiError."""
    if kind is not None and not settings.allows(kind):
        raise ApiError(404, "kind_not_found", "there is no such kind for callers of this gateway", param="kind")
    given = _parsed(body)
    thread_id, run_id = checked("threadId", given.thread_id), checked("runId", given.run_id)
    if given.tools:
        raise unsupported("tools", "tools belong to the kind that answers, not to its caller")
    if given.forwarded_props not in (None, {}):
        raise unsupported("forwardedProps", "nothing reads them; the path names the kind")
    if given.state is not None and not isinstance(given.state, dict):
        raise invalid("state", "must be an object: it is the values of a session's context", "invalid_type")
    resume = _resume(given)
    left = resume is not None and resume.status == "cancelled"
    newest = next((message for message in reversed(given.messages) if isinstance(message, UserMessage)), None)
    says = newest is not None and (resume is None or (left and given.messages[-1] is newest))
    return Asked(
        thread_id=thread_id,
        run_id=run_id,
        kind=kind,
        messages=given.messages,
        words=_words(newest) if newest is not None and says else "",
        instructions=_instructions(given, kind, settings) if says else None,
        state=given.state or {},
        resume=resume,
    )


def checked(name: str, value: str | None) -> str:
    """The id of a thread or a run. Raises ApiError."""
    if value is None or not 0 < len(value) <= KEY_CHARS:
        raise invalid(name, f"must have 1 to {KEY_CHARS} characters")
    return value


def _parsed(body: Mapping[str, Any]) -> RunAgentInput:
    try:
        return RunAgentInput.model_validate(body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = preview(".".join(map(str, problem["loc"])), PREVIEW_BYTES)
        raise invalid(name, preview(problem["msg"], PREVIEW_BYTES)) from None
    except RecursionError:
        raise ApiError(400, "invalid_json", "the body is nested too deeply") from None


def _resume(given: RunAgentInput) -> ResumeEntry | None:
    entries = given.resume or []
    if len(entries) > 1:
        raise invalid("resume", "a thread asks one question at a time: it has one entry")
    return entries[0] if entries else None


def _words(said: UserMessage) -> str:
    """What a message of the user's says. Raises ApiError for what are no words."""
    if isinstance(said.content, str):
        words = said.content
    else:
        if not all(isinstance(part, TextPart) for part in said.content):
            raise unsupported("messages with anything but texts", "kinds are asked in words")
        words = "\n".join(part.text for part in said.content if isinstance(part, TextPart))
    if not words:
        raise invalid("messages", "the user's last one has no text")
    return words


def _instructions(given: RunAgentInput, kind: str | None, settings: GatewaySettings) -> str | None:
    """What the model is told beside: system messages and `context`, for the kinds that read such."""
    system = [m.content for m in given.messages if isinstance(m, (SystemMessage, DeveloperMessage)) and m.content]
    ambient = [f"{entry.description}: {entry.value}" for entry in given.context or []]
    if not (system or ambient):
        return None
    if not settings.takes_instructions(kind or ""):
        what = "context" if ambient else "messages of the system"
        raise unsupported(what, f"{kind or 'the default kind'!r} takes no instructions")
    return "\n\n".join([*system, *ambient])
