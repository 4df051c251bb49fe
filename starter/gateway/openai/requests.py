"""What OpenAI's clients ask for: every field has its effect, or is refused by its name. Pure.

A field that OpenAI has and sessions have not is let through only with the value that changes nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starter.gateway.bodies import flag_of, labels_of, text_of
from starter.gateway.errors import ApiError, invalid, unsupported
from starter.gateway.openai.ids import APPROVAL, Ref, ref_in
from starter.gateway.openai.uploads import Upload, upload_in
from starter.gateway.settings import GatewaySettings

DEFAULT_MODEL = "default"
"""The model that stands for a session's own default kind."""

_NO_TOOLS = "tools belong to the kind that answers, not to its caller"
_MODELS_OWN = "what a kind's model is told stands in the kind"
_KEPT = "what is said is kept by its session"

# What changes nothing, beside null, and why the rest is refused.
_NEUTRAL: dict[str, tuple[Callable[[Any], bool], str]] = {
    "tools": (lambda value: value == [], _NO_TOOLS),
    "functions": (lambda value: value == [], _NO_TOOLS),
    "function_call": (lambda value: value in ("auto", "none"), _NO_TOOLS),
    "tool_choice": (lambda value: value in ("auto", "none"), _NO_TOOLS),
    "parallel_tool_calls": (lambda value: isinstance(value, bool), _NO_TOOLS),
    "max_tool_calls": (lambda _: False, _NO_TOOLS),
    "web_search_options": (lambda _: False, _NO_TOOLS),
    "temperature": (lambda value: value == 1, _MODELS_OWN),
    "top_p": (lambda value: value == 1, _MODELS_OWN),
    "frequency_penalty": (lambda value: value == 0, _MODELS_OWN),
    "presence_penalty": (lambda value: value == 0, _MODELS_OWN),
    "logit_bias": (lambda value: value == {}, _MODELS_OWN),
    "max_output_tokens": (lambda _: False, _MODELS_OWN),
    "max_tokens": (lambda _: False, _MODELS_OWN),
    "max_completion_tokens": (lambda _: False, _MODELS_OWN),
    "reasoning": (lambda value: value == {}, _MODELS_OWN),
    "reasoning_effort": (lambda _: False, _MODELS_OWN),
    "verbosity": (lambda _: False, _MODELS_OWN),
    "seed": (lambda _: False, _MODELS_OWN),
    "stop": (lambda value: value == [], _MODELS_OWN),
    "prompt": (lambda _: False, _MODELS_OWN),
    "prediction": (lambda _: False, _MODELS_OWN),
    "text": (lambda value: value in ({}, {"format": {"type": "text"}}), "an answer is a text"),
    "response_format": (lambda value: value == {"type": "text"}, "an answer is a text"),
    "modalities": (lambda value: value == ["text"], "an answer is a text"),
    "audio": (lambda _: False, "an answer is a text"),
    "n": (lambda value: value == 1, "a task has one answer"),
    "logprobs": (lambda value: value is False, "kinds do not tell probabilities"),
    "top_logprobs": (lambda value: value == 0, "kinds do not tell probabilities"),
    "include": (lambda value: value == [], "a response has all that is known of it"),
    "truncation": (lambda value: value == "disabled", "the session's `transcript` says how many turns a task sees"),
    "context_management": (lambda value: value == [], "the session's `transcript` says how many turns a task sees"),
    "service_tier": (lambda value: value in ("auto", "default"), "there are no tiers"),
    "moderation": (lambda _: False, "there is none"),
}
# What changes nothing whatever it is: hints of who asks, and how caches and streams may be laid out.
_HINTS = frozenset(
    {
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "stream_options",
    }
)
_RESPONSE = frozenset(
    {
        "background",
        "conversation",
        "input",
        "instructions",
        "metadata",
        "model",
        "previous_response_id",
        "store",
        "stream",
    }
)
_COMPLETION = frozenset({"messages", "metadata", "model", "store", "stream"})
_TEXTS = frozenset({"text", "input_text", "output_text"})
_TOLD = frozenset({"system", "developer"})


@dataclass(frozen=True)
class Approval:
    """An answer to a request for approval."""

    ref: Ref
    approve: bool
    reason: str | None


@dataclass(frozen=True)
class Asked:
    """What is asked of a session: `words` or an `approval`. `model`: null for the session's default kind."""

    words: str
    uploads: tuple[Upload, ...] = ()
    approval: Approval | None = None
    model: str | None = None
    instructions: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    stream: bool = False
    with_usage: bool = False
    background: bool = False
    conversation: str | None = None
    previous: str | None = None

    def task_input(self) -> Any:
        """What the task is given: the words, with instructions where there are any."""
        return {"text": self.words, "instructions": self.instructions} if self.instructions else self.words


def asked_of_responses(body: Mapping[str, Any], settings: GatewaySettings) -> Asked:
    """The body of `POST /v1/responses`. Raises ApiError."""
    _check_fields(body, _RESPONSE)
    if body.get("store") is False:
        raise unsupported("store=false", _KEPT)
    model = _model(body, settings)
    conversation, previous = _conversation(body.get("conversation")), text_of(body, "previous_response_id")
    if conversation is not None and previous is not None:
        raise ApiError(
            400,
            "mutually_exclusive_parameters",
            "conversation and previous_response_id are two ways to say the same; one of them will do",
            param="previous_response_id",
        )
    words, told, approval, uploads = _said(body.get("input"))
    told = [text for text in (text_of(body, "instructions"), *told) if text]
    return Asked(
        words=words,
        uploads=tuple(uploads),
        approval=approval,
        model=model,
        instructions=_instructions(told, model, settings, "instructions"),
        labels=labels_of(body, "metadata"),
        stream=flag_of(body, "stream"),
        background=flag_of(body, "background"),
        conversation=conversation,
        previous=previous,
    )


def asked_of_chat(body: Mapping[str, Any], settings: GatewaySettings, *, remembered: bool) -> Asked:
    """The body of `POST /v1/chat/completions`; `remembered`: whether a session keeps what was said before.

    Raises ApiError.
    """
    _check_fields(body, _COMPLETION)
    model = _model(body, settings)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("messages", "must be a list with a message", "invalid_type")
    told: list[str] = []
    said: list[str] = []
    uploads: list[Upload] = []
    for place, message in enumerate(messages):
        role, text, uploads = _message(message, f"messages[{place}]")
        if role in _TOLD:
            told.append(text)
        elif role == "user":
            said.append(text)
    if not isinstance(messages[-1], dict) or messages[-1].get("role") != "user":
        raise invalid("messages", "the last one has to be the user's")
    if len(said) > 1 and not remembered:
        raise unsupported(
            "messages with earlier turns",
            "a session remembers them; a chat id, as the header X-Conversation-Id, says which",
        )
    return Asked(
        words=said[-1],
        uploads=tuple(uploads),  # of the last message: what was said before, its session has
        model=model,
        instructions=_instructions([text for text in told if text], model, settings, "messages"),
        labels=labels_of(body, "metadata"),
        stream=flag_of(body, "stream"),
        with_usage=_with_usage(body),
    )


def check_no_files(asked: Asked) -> None:
    """Raise ApiError for files in what is to be the answer to a question: that is one of its choices, or words."""
    if asked.uploads:
        raise unsupported("input", "what a task asks is answered in words, without files")


def _with_usage(body: Mapping[str, Any]) -> bool:
    """Whether the last chunk of a stream is to say what the answer took."""
    options = body.get("stream_options")
    return isinstance(options, dict) and flag_of(options, "include_usage")


def _check_fields(body: Mapping[str, Any], known: frozenset[str]) -> None:
    for name, value in body.items():
        if name in known or name in _HINTS or value is None:
            continue
        if name not in _NEUTRAL:
            shown = name if name.isidentifier() and len(name) <= 64 else "a field"  # noqa: PLR2004 (callers make them up)
            raise ApiError(400, "unknown_parameter", f"{shown} is not known here", param=shown)
        changes_nothing, why = _NEUTRAL[name]
        if not changes_nothing(value):
            raise unsupported(name, why)


def _model(body: Mapping[str, Any], settings: GatewaySettings) -> str | None:
    model = text_of(body, "model")
    if model is None or model == DEFAULT_MODEL:
        return None
    if not settings.allows(model):
        raise model_not_found()
    return model


def model_not_found() -> ApiError:
    """404 for a model that is no kind which callers may ask for."""
    return ApiError(404, "model_not_found", "there is no such model; /v1/models lists them", param="model")


def _conversation(value: Any) -> str | None:
    if isinstance(value, dict) and set(value) == {"id"}:
        value = value["id"]
    if value is not None and not isinstance(value, str):
        raise invalid("conversation", 'must be an id, or {"id": ...}', "invalid_type")
    return value


def _instructions(told: list[str], model: str | None, settings: GatewaySettings, param: str) -> str | None:
    if not told:
        return None
    kind = model or DEFAULT_MODEL
    if not settings.takes_instructions(kind):
        what = "instructions" if param == "instructions" else "a system message"
        raise ApiError(
            400, "unsupported_parameter", f"{what} is not supported by {kind!r}: that kind takes none", param=param
        )
    return "\n\n".join(told)


def _said(value: Any) -> tuple[str, list[str], Approval | None, list[Upload]]:
    """What the user says, what the model is told, an answer to a request for approval, and files."""
    if isinstance(value, str) and value:
        return value, [], None, []
    if not isinstance(value, list) or not value:
        raise invalid("input", "must be a text or a list of items, with something in it", "invalid_type")
    said: list[str] = []
    told: list[str] = []
    approvals: list[Approval] = []
    uploads: list[Upload] = []
    for place, item in enumerate(value):
        name = f"input[{place}]"
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind == "mcp_approval_response":
            approvals.append(_approval(item, name))
        elif kind == "message":
            role, text, files = _message(item, name)
            uploads += files
            if role == "assistant":
                raise unsupported(f"{name} of the assistant", "its session has what was said before")
            (told if role in _TOLD else said).append(text)
        else:
            shown = kind if isinstance(kind, str) and kind.isidentifier() and len(kind) <= 64 else "that"  # noqa: PLR2004
            raise unsupported(f"{name} of the type {shown}", "items are messages and mcp_approval_response")
    if len(approvals) + bool(said) != 1:
        raise invalid("input", "must be messages of the user, or one answer to a request for approval")
    return "\n\n".join(said), told, approvals[0] if approvals else None, uploads


def _approval(item: Mapping[str, Any], name: str) -> Approval:
    approve, ref = item.get("approve"), ref_in(text_of(item, "approval_request_id") or "", APPROVAL)
    if ref is None or ref.part is None:
        raise invalid(f"{name}.approval_request_id", "is the id of no request")
    if not isinstance(approve, bool):
        raise invalid(f"{name}.approve", "must be true or false", "invalid_type")
    return Approval(ref, approve, text_of(item, "reason"))


def _message(message: Any, name: str) -> tuple[str, str, list[Upload]]:
    """Role, text and files of a message, of the parts of its content where there are several."""
    if not isinstance(message, dict):
        raise invalid(name, "must be an object", "invalid_type")
    role, content = message.get("role"), message.get("content")
    if role not in {"user", "assistant", *_TOLD}:
        if role in {"tool", "function"}:
            raise unsupported(f"{name} of a tool", _NO_TOOLS)
        raise invalid(f"{name}.role", "must be user, assistant, system or developer")
    if isinstance(content, str) or (content is None and role == "assistant"):
        return role, content or "", []
    if not isinstance(content, list):
        raise invalid(f"{name}.content", "must be a text or a list of parts", "invalid_type")
    texts: list[str] = []
    uploads: list[Upload] = []
    for place, part in enumerate(content):
        if role == "user" and isinstance(part, dict) and (file := upload_in(part, f"{name}.content[{place}]")):
            uploads.append(file)
            continue
        text = part.get("text") if isinstance(part, dict) and part.get("type") in _TEXTS else None
        if not isinstance(text, str):
            raise unsupported(f"{name}.content with anything but texts", "and images and files of the user's")
        texts.append(text)
    return role, "\n".join(texts), uploads
