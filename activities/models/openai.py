"""A language model behind OpenAI's chat completions: OpenAI itself, vLLM, Ollama and all that speak the same."""

import base64
import math
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from email.utils import mktime_tz, parsedate_tz
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from pydantic import BaseModel, ValidationError
from temporalio.exceptions import ApplicationError

from activities.models.chunks import Chunks
from activities.models.hiding import Secrets
from activities.models.protocol import EMPTY_REPLY, INVALID_REPLY, Attachment, ModelReply, ModelRequest
from workflows.wire.conversation import BEFORE, SUMMARY, conversation, summary_in
from workflows.wire.encoding import canonical, preview
from workflows.wire.errors import ErrorType
from workflows.wire.files import is_text
from workflows.wire.mending import mended_json

if TYPE_CHECKING:
    from openai import APIStatusError
    from openai.types.chat import (
        ChatCompletionContentPartParam,
        ChatCompletionMessageParam,
        ChatCompletionStreamOptionsParam,
    )

HTTP_TIMEOUT_SECONDS = 60.0
"""How long an endpoint may stay silent. It is silent until the whole answer is written, which takes up to a minute;
beyond that the connection is more likely dead than busy."""

RETRY_AFTER_SECONDS = 300.0
"""The longest wait a provider may ask for: its session stands still meanwhile, and rate limits count by the minute."""

MESSAGE_BYTES = 2_000
"""An error text: enough for every provider's message, and for the head of the page a proxy answers with."""

_READ_CHARS = 8 * MESSAGE_BYTES
"""What of an error is looked through: four times what is shown, since spaces fall out."""

RETRYABLE_REFUSALS = frozenset({408, 409, 425, 429})
"""The 4xx statuses that say "not now"; all others say "not like this", and the same request stays wrong."""

FINAL_REFUSALS = frozenset({"insufficient_quota", "billing_not_active"})
"""What a 429 says, as `code` or `type`, where no waiting helps: there is no money left."""

OPENAI = "https://api.openai.com/v1"
"""Where OPENAI_BASE_URL is not set."""

SYSTEM = "Answer the user's last message; whatever comes before it is the session so far."

IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
PDF = "application/pdf"
"""What the protocol takes beside words."""

_NO_KEY = "none"
"""Sent where only OPENAI_BASE_URL is set: the client insists on a key, a local endpoint ignores it."""

_API_VERSION = "api-version"
"""The one parameter in the query of a base address that is known to be no key: Azure's."""


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: Any = None


class _Completion(BaseModel):
    """What we need of a chat completion. All but the choices is a courtesy: an answer is not lost over it."""

    choices: list[_Choice]
    usage: Any = None
    model: Any = None


class _Address(NamedTuple):
    """A base address in its parts: what may be said of it, and what may not."""

    url: str
    userinfo: tuple[str, str] | None
    query: str

    @classmethod
    def of(cls, text: str) -> "_Address | None":
        """The parts of `text`; null where that is no such address."""
        try:
            parts = urlsplit(text)
            usable = parts.hostname is not None and parts.port != 0
            parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError:
            usable = False
        # A `#`, as a `/` or `?`, in a password that should be spelled `%23` cuts the address short.
        if not usable or parts.fragment or parts.scheme not in {"http", "https"}:
            return None
        userinfo, _, place = parts.netloc.rpartition("@")
        user, _, password = userinfo.partition(":")
        return cls(
            urlunsplit((parts.scheme, place, parts.path, "", "")),
            (unquote(user), unquote(password)) if userinfo else None,
            parts.query,
        )

    @property
    def secrets(self) -> list[str]:
        """What of it is in every request and must be nowhere else."""
        of_user = [*self.userinfo, ":".join(self.userinfo)] if self.userinfo else []
        return of_user + [value for name, value in parse_qsl(self.query) if name != _API_VERSION]


class OpenAIModel:
    """`model` at OPENAI_BASE_URL (unset: OpenAI's own endpoint) with OPENAI_API_KEY. Its replies carry no patch.

    Raises RuntimeError, one line for a person, when the `openai` package or both variables are missing or unusable.
    """

    def __init__(self, model: str) -> None:
        try:
            from openai import AsyncOpenAI, DefaultAsyncHttpxClient  # noqa: PLC0415 (an extra, and slow to import)
        except ImportError as error:
            raise RuntimeError(f"model {model!r} needs the `openai` package: pip install openai ({error})") from None
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        base = os.environ.get("OPENAI_BASE_URL", "").strip()
        if not key and not base:
            raise RuntimeError(f"model {model!r} needs OPENAI_API_KEY, or OPENAI_BASE_URL for an endpoint without keys")
        if not (key.isascii() and key.isprintable()):
            raise RuntimeError("OPENAI_API_KEY holds characters that cannot be sent in an HTTP header")
        address, problem = _Address.of(base or OPENAI), ""
        if address is None:
            raise RuntimeError(
                "OPENAI_BASE_URL must begin with http:// or https:// and be an address, odd signs as %XX"
            )
        try:
            self._client = AsyncOpenAI(
                api_key=key or _NO_KEY,
                base_url=address.url,
                timeout=HTTP_TIMEOUT_SECONDS,
                # Temporal owns retries: the client's own would hide attempts from its history and its policies.
                max_retries=0,
                # By itself it would log the userinfo with each call, and put the path of a call behind the query.
                http_client=DefaultAsyncHttpxClient(auth=address.userinfo, params=address.query),
            )
        except Exception as error:  # noqa: BLE001 (those of its HTTP client have no common base)
            problem = type(error).__name__
        if problem:  # raised up there it would carry along what cannot be used, as the client quotes it
            raise RuntimeError(f"{problem}: OPENAI_BASE_URL, or the address of a proxy, cannot be used")
        self._model = model
        self._endpoint = self._client.base_url.netloc.decode()
        self._secrets = Secrets(key, *address.secrets)
        self._secrets.watch()

    @property
    def name(self) -> str:
        """`openai:` and the model's name."""
        return f"openai:{self._model}"

    async def close(self) -> None:
        """Close the idle connections; the model cannot be used any more."""
        await self._client.close()
        self._secrets.unwatch()

    async def reply(self, request: ModelRequest) -> ModelReply:
        """Answer one question from the values, the transcript and the question itself. Cancellation ends the request.

        Raises ApplicationError under the name of the provider's error (`BadRequestError`, `RateLimitError`,
        `APITimeoutError`, ...), as `EmptyModelReply` or as `InvalidModelReply`: not retryable where the request itself
        was refused or there was a reply without an answer, after the delay the provider asks for where it asks. No text
        of it, and none of an answer, shows the key.
        """
        return await self._answered(self._whole(_messages(request)))

    async def tell(self, request: ModelRequest, say: Callable[[str], None]) -> ModelReply:
        """Answer like `reply`; `say` is given the text as the endpoint sends it, once it is certain to hold no key.

        An endpoint that answers in one piece all the same is taken at its word.
        """
        return await self._answered(self._told(_messages(request), say))

    async def _answered(self, body: Awaitable[bytes]) -> ModelReply:
        outcome = await self._ask(body)
        # Raised in an except block it would carry the provider's error along, with its headers and the key.
        if isinstance(outcome, ApplicationError):
            raise outcome
        return outcome

    async def _whole(self, messages: "list[ChatCompletionMessageParam]") -> bytes:
        completions = self._client.chat.completions.with_raw_response
        return (await completions.create(model=self._model, messages=messages)).http_response.content

    async def _told(self, messages: "list[ChatCompletionMessageParam]", say: Callable[[str], None]) -> bytes:
        from openai import APIConnectionError, APITimeoutError, OpenAIError  # noqa: PLC0415 (see `_ask`)

        chunks = Chunks(self._secrets.telling(say))
        create = self._client.chat.completions.with_streaming_response.create
        usage: ChatCompletionStreamOptionsParam = {"include_usage": True}
        async with create(model=self._model, messages=messages, stream=True, stream_options=usage) as response:
            try:
                if "text/event-stream" not in response.headers.get("content-type", ""):
                    return await response.read()
                async for data in response.iter_bytes():
                    chunks.feed(data)
            except OpenAIError:
                raise
            except Exception as error:
                # Of its HTTP client, by the names that it would have before the first byte.
                late = "Timeout" in type(error).__name__
                request = response.http_request
                raise (APITimeoutError(request) if late else APIConnectionError(request=request)) from error
            if not chunks.whole and chunks.fault is None:
                raise APIConnectionError(message="The answer broke off.", request=response.http_request)
        return chunks.body

    async def _ask(self, asked: Awaitable[bytes]) -> ModelReply | ApplicationError:
        from openai import APIStatusError, OpenAIError  # noqa: PLC0415 (the constructor has loaded it)

        try:
            body = await asked
        except APIStatusError as error:
            return self._refusal(error)
        except OpenAIError as error:
            return ApplicationError(self._legible(f"{error} ({error.__cause__!r})"), type=type(error).__name__)
        try:
            completion = _Completion.model_validate_json(mended_json(body))
        except ValidationError as error:
            fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(map(str, fault["loc"])) or "reply"
            # Without `choices` it is no completion, but say the page of a proxy: it costs nothing and may pass.
            paid = where.startswith("choices") and (where, fault["type"]) != ("choices", "missing")
            return self._no_answer(f"{where}: {fault['msg']}", body, INVALID_REPLY, final=paid)
        return self._answer(completion) or self._no_answer("no text in it", body, EMPTY_REPLY, final=True)

    def _answer(self, completion: _Completion) -> ModelReply | None:
        """What the model says: its answer, what it says instead of one, or both; null for no text at all."""
        if not completion.choices:
            return None
        choice = completion.choices[0]
        said = [text for text in (choice.message.content, choice.message.refusal) if text and text.strip()]
        if not said:
            return None
        reason = "refusal" if choice.message.refusal in said else choice.finish_reason
        return ModelReply(
            text=self._secrets.hide("\n\n".join(said)),
            usage=_usage(completion.usage),
            finish_reason=self._secrets.hide(reason) if isinstance(reason, str) else None,
            model=self._secrets.hide(completion.model) if isinstance(completion.model, str) else None,
        )

    def _no_answer(self, fault: str, body: bytes, name: str, *, final: bool) -> ApplicationError:
        text = self._legible(f"{fault}; it sent: {body.decode(errors='replace')}")
        return ApplicationError(text, type=name, non_retryable=final)

    def _refusal(self, error: "APIStatusError") -> ApplicationError:
        code = next((str(name) for name in (error.code, error.type) if str(name) in FINAL_REFUSALS), None)
        lasting = 400 <= error.status_code < 500 and error.status_code not in RETRYABLE_REFUSALS  # noqa: PLR2004
        refused = lasting or code is not None
        reason = _reason(error.body) + (f" ({code})" if code else "")
        return ApplicationError(
            self._legible(f"HTTP {error.status_code}: {reason}"),
            type=type(error).__name__,
            non_retryable=refused,
            next_retry_delay=None if refused else _retry_delay(error.response.headers),
        )

    def _legible(self, text: str) -> str:
        """One line that names the endpoint, without keys."""
        # A page of a proxy may be long. What is cut off here is far behind what is shown.
        return preview(f"{self._endpoint}: {self._secrets.hide_words(text[:_READ_CHARS])}", MESSAGE_BYTES)


def _messages(request: ModelRequest) -> "list[ChatCompletionMessageParam]":
    summary = summary_in(request.values)
    others = {key: value for key, value in request.values.items() if summary is None or key != SUMMARY}
    values = f" The session's context values, as JSON: {canonical(others)}" if others else ""
    before = f"\n\n{BEFORE}{summary}" if summary else ""
    messages: list[ChatCompletionMessageParam] = [{"role": "system", "content": SYSTEM + values + before}]
    messages += cast("list[ChatCompletionMessageParam]", conversation(request.transcript))
    parts = [_part(file) for file in request.attachments]
    if parts and request.question:
        parts = [{"type": "text", "text": request.question}, *parts]
    content = cast("list[ChatCompletionContentPartParam]", parts)
    messages.append({"role": "user", "content": content or request.question})
    return messages


def _part(file: Attachment) -> dict[str, Any]:
    """A file as a part of a message. Raises ApplicationError (InvalidRequest) where the protocol takes none such."""
    if is_text(file.media_type):
        name = file.name or "file"
        return {"type": "text", "text": f"{name}:\n\n{file.content.decode(errors='replace')}"}
    data = f"data:{file.media_type};base64,{base64.b64encode(file.content).decode()}"
    if file.media_type in IMAGES:
        return {"type": "image_url", "image_url": {"url": data}}
    if file.media_type == PDF:
        return {"type": "file", "file": {"filename": file.name or "file.pdf", "file_data": data}}
    message = f"the model takes texts, images (png, jpeg, gif, webp) and PDF, not {file.media_type}"
    raise ApplicationError(message, type=ErrorType.INVALID_REQUEST, non_retryable=True)


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
