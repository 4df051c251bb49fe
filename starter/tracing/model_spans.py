"""Spans of calls of models and tools, as OpenTelemetry's GenAI conventions name them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from temporalio.exceptions import ApplicationError

from activities.spans import Answered, Message
from workflows.wire.encoding import clip, plain

CONTENT_BYTES = 16 * 1024
"""Of each message: collectors refuse a batch of more than a few MiB, with all spans in it."""


class Recording:
    """Makes them below whatever span is open. `contents`: whether they have what was asked and answered."""

    def __init__(self, tracer: Tracer, *, contents: bool) -> None:
        self._tracer, self._contents = tracer, contents

    @contextmanager
    def model_call(self, provider: str, model: str, asked: Callable[[], list[Message]]) -> Iterator["_Recorded"]:
        """A span `chat <model>`."""
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
        }
        with self._recorded(f"chat {model}", SpanKind.CLIENT, attributes) as recorded:
            if self._contents:
                said = asked()
                system = [_part(text) for role, text in said if role == "system"]
                if system:
                    recorded.tell("gen_ai.system_instructions", system)
                messages = [{"role": role, "parts": [_part(text)]} for role, text in said if role != "system"]
                recorded.tell("gen_ai.input.messages", messages)
            yield recorded

    @contextmanager
    def tool_call(self, name: str, arguments: Callable[[], Any]) -> Iterator["_Recorded"]:
        """A span `execute_tool <name>`."""
        attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name}
        with self._recorded(f"execute_tool {name}", SpanKind.INTERNAL, attributes) as recorded:
            if self._contents:
                recorded.tell("gen_ai.tool.call.arguments", arguments())
            yield recorded

    @contextmanager
    def _recorded(self, name: str, kind: SpanKind, attributes: dict[str, str]) -> Iterator["_Recorded"]:
        with self._tracer.start_as_current_span(
            name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            recorded = _Recorded(span, contents=self._contents)
            try:
                yield recorded
            except BaseException as error:
                named = error.type if isinstance(error, ApplicationError) else None
                recorded.failed(named or type(error).__name__)
                raise


class _Recorded:
    def __init__(self, span: Span, *, contents: bool) -> None:
        self._span, self._contents = span, contents

    def answered(self, answer: Answered) -> None:
        """See `activities.spans`."""
        usage, reason = answer.usage or {}, answer.finish_reason or "stop"
        if answer.model:
            self._span.set_attribute("gen_ai.response.model", answer.model)
        self._span.set_attribute("gen_ai.response.finish_reasons", [reason])
        for name in ("input_tokens", "output_tokens"):
            if isinstance(count := usage.get(name), int):
                self._span.set_attribute(f"gen_ai.usage.{name}", count)
        if self._contents:
            message = {"role": "assistant", "parts": [_part(answer.text)], "finish_reason": reason}
            self.tell("gen_ai.output.messages", [message])

    def returned(self, result: Callable[[], Any]) -> None:
        """See `activities.spans`."""
        if self._contents:
            self.tell("gen_ai.tool.call.result", result())

    def failed(self, name: str) -> None:
        """See `activities.spans`."""
        self._span.set_attribute("error.type", name)
        self._span.set_status(Status(StatusCode.ERROR, name))

    def tell(self, name: str, content: Any) -> None:
        """Content as JSON; what is none, as text."""
        try:
            text = json.dumps(plain(content), ensure_ascii=False)
        except (TypeError, ValueError):
            text = str(content)
        self._span.set_attribute(name, text)


def _part(text: str) -> dict[str, str]:
    return {"type": "text", "content": clip(text, CONTENT_BYTES)}
