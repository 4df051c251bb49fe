"""A language model behind OpenAI's chat completions: OpenAI itself, vLLM, Ollama and all that speak the same."""

import math
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from email.utils import mktime_tz, parsedate_tz
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError
from temporalio.exceptions import ApplicationError

from activities.models.protocol import ModelReply, ModelRequest
from workflows.wire.conversation import conversation
from workflows.wire.encoding import canonical, preview
from workflows.wire.mending import mended_json

if TYPE_CHECKING:
    from openai import APIStatusError
    from openai.types.chat import ChatCompletionMessageParam

HTTP_TIMEOUT_SECONDS = 60.0
"""How long an endpoint may stay silent. It is silent until the whole answer is written, which takes up to a minute;
beyond that the connection is more likely dead than busy."""

RETRY_AFTER_SECONDS = 300.0
"""The longest wait a provider may ask for: its session stands still meanwhile, and rate limits count by the minute."""

MESSAGE_BYTES = 2_000
"""An error text: enough for every provider's message, and for the head of the page a proxy answers with."""

RETRYABLE_REFUSALS = frozenset({408, 409, 425, 429})
"""The 4xx statuses that say "not now"; all others say "not like this", and the same request stays wrong."""

SYSTEM = "Answer the user's last message; whatever comes before it is the session so far."

_NO_KEY = "none"
"""Sent where only OPENAI_BASE_URL is set: the client insists on a key, a local endpoint ignores it."""

_HIDDEN = "[key]"
_WORD = re.compile(r"[^\s\"'`,;:=<>(){}\[\]]+")
_KEY_HEAD = 8
"""Characters that tell a key from other words. What is shorter counts as a key only when it stands alone."""


class _Message(BaseModel):
    content: str = Field(pattern=r"\S")


class _Choice(BaseModel):
    message: _Message


class _Completion(BaseModel):
    """What we need of a chat completion. Usage is a courtesy: an answer is not lost over it."""

    choices: list[_Choice] = Field(min_length=1)
    usage: Any = None


class OpenAIModel:
    """`model` at OPENAI_BASE_URL (unset: OpenAI's own endpoint) with OPENAI_API_KEY. Its replies carry no patch.

    Raises RuntimeError, one line for a person, when the `openai` package or both variables are missing or unusable.
    """

    def __init__(self, model: str) -> None:
        try:
            from openai import AsyncOpenAI  # noqa: PLC0415 (an extra, and slow to import)
        except ImportError as error:
            raise RuntimeError(f"model {model!r} needs the `openai` package: pip install openai ({error})") from None
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        base = os.environ.get("OPENAI_BASE_URL", "").strip()
        if not key and not base:
            raise RuntimeError(f"model {model!r} needs OPENAI_API_KEY, or OPENAI_BASE_URL for an endpoint without keys")
        if not (key.isascii() and key.isprintable()):
            raise RuntimeError("OPENAI_API_KEY holds characters that cannot be sent in an HTTP header")
        # Before there is a client: one that nobody closes tries to close itself, in whatever loop runs by then.
        if base and urlsplit(base).scheme not in {"http", "https"}:
            raise RuntimeError("OPENAI_BASE_URL must begin with http:// or https://")
        self._model = model
        self._key, self._key_marks = key, _key_marks(key)
        # Temporal owns retries: the client's own would hide attempts from its history and its policies.
        self._client = AsyncOpenAI(api_key=key or _NO_KEY, timeout=HTTP_TIMEOUT_SECONDS, max_retries=0)
        self._endpoint = self._client.base_url.netloc.decode()

    @property
    def name(self) -> str:
        """`openai:` and the model's name."""
        return f"openai:{self._model}"

    async def close(self) -> None:
        """Close the idle connections; the model cannot be used any more."""
        await self._client.close()

    async def reply(self, request: ModelRequest) -> ModelReply:
        """Answer one question from the values, the transcript and the question itself. Cancellation ends the request.

        Raises ApplicationError under the name of the provider's error (`BadRequestError`, `RateLimitError`,
        `APITimeoutError`, ...) or as `InvalidModelReply`: not retryable where the request itself was refused, after
        the delay the provider asks for where it asks. No text of it shows the key.
        """
        outcome = await self._ask(_messages(request))
        # Raised in an except block it would carry the provider's error along, with its headers and the key.
        if isinstance(outcome, ApplicationError):
            raise outcome
        return outcome

    async def _ask(self, messages: "list[ChatCompletionMessageParam]") -> ModelReply | ApplicationError:
        from openai import APIStatusError, OpenAIError  # noqa: PLC0415 (the constructor has loaded it)

        completions = self._client.chat.completions.with_raw_response
        try:
            body = (await completions.create(model=self._model, messages=messages)).http_response.content
        except APIStatusError as error:
            return self._refusal(error)
        except OpenAIError as error:
            return ApplicationError(self._legible(f"{error} ({error.__cause__!r})"), type=type(error).__name__)
        try:
            completion = _Completion.model_validate_json(mended_json(body))
        except ValidationError as error:
            fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(map(str, fault["loc"])) or "reply"
            text = self._legible(f"{where}: {fault['msg']}; it sent: {body.decode(errors='replace')}")
            return ApplicationError(text, type="InvalidModelReply")
        return ModelReply(text=completion.choices[0].message.content, usage=_usage(completion.usage))

    def _refusal(self, error: "APIStatusError") -> ApplicationError:
        refused = 400 <= error.status_code < 500 and error.status_code not in RETRYABLE_REFUSALS  # noqa: PLR2004
        return ApplicationError(
            self._legible(f"HTTP {error.status_code}: {_reason(error.body)}"),
            type=type(error).__name__,
            non_retryable=refused,
            next_retry_delay=None if refused else _retry_delay(error.response.headers),
        )

    def _legible(self, text: str) -> str:
        """One line that names the endpoint, without keys."""
        if len(self._key) >= _KEY_HEAD:
            text = text.replace(self._key, _HIDDEN)
        text = _WORD.sub(lambda word: _HIDDEN if self._key_marks.search(word[0]) else word[0], text)
        return preview(f"{self._endpoint}: {text}", MESSAGE_BYTES)


def _messages(request: ModelRequest) -> "list[ChatCompletionMessageParam]":
    values = f" The session's context values, as JSON: {canonical(request.values)}" if request.values else ""
    messages: list[ChatCompletionMessageParam] = [{"role": "system", "content": SYSTEM + values}]
    messages += cast("list[ChatCompletionMessageParam]", conversation(request.transcript))
    messages.append({"role": "user", "content": request.question})
    return messages


def _usage(usage: Any) -> dict[str, int | float] | None:
    given = usage if isinstance(usage, dict) else {}
    counts = {"input_tokens": given.get("prompt_tokens"), "output_tokens": given.get("completion_tokens")}
    return {name: count for name, count in counts.items() if isinstance(count, int)} or None


def _reason(body: object) -> str:
    match body:
        case {"message": str(text)}:
            return text
        case None | "":
            return "no reason given"
        case _:
            return str(body)


def _retry_delay(headers: Mapping[str, str]) -> timedelta | None:
    """What `retry-after-ms` or `retry-after` ask for, up to the maximum; None for nothing, nonsense or the past."""
    later = headers.get("retry-after", "")
    asked: list[float] = []
    for text, unit in ((headers.get("retry-after-ms", ""), 0.001), (later, 1.0)):
        with suppress(ValueError):
            asked.append(float(text) * unit)
    with suppress(ValueError, OverflowError):
        if date := parsedate_tz(later):
            asked.append(mktime_tz(date) - time.time())
    return next((timedelta(seconds=min(s, RETRY_AFTER_SECONDS)) for s in asked if 0 < s < math.inf), None)


def _key_marks(key: str) -> re.Pattern[str]:
    """Finds words that show `key` (empty: none is configured) or how it begins, or look like any key, masked or not."""
    marks = [r"\bsk-", r"\*{3}"]
    if key:
        marks.append(re.escape(key[:_KEY_HEAD]) if len(key) >= _KEY_HEAD else rf"\A{re.escape(key)}\W*\Z")
    return re.compile("|".join(marks))
