"""The activities of an agent of LlamaIndex: one for its model, one for each of its tools."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool, ToolMetadata
from pydantic import BaseModel
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities import spans, stream
from activities.beating import beating
from activities.llamaindex.calls import ModelAnswer, ModelCall, Offered, ToolAnswer
from activities.models.hiding import Secrets
from activities.models.openai import RETRYABLE_REFUSALS
from workflows.wire import limits
from workflows.wire.encoding import carried, clip, plain
from workflows.wire.errors import ErrorType

_PAUSE = limits.MODEL_HEARTBEAT_SECONDS / 3
"""Between beats: one that comes late is made up for by the next."""

_MISTAKES = (TypeError, AttributeError, NameError, NotImplementedError, AssertionError, ImportError)
"""What only other code mends."""


def model_activity(name: str, model: Any, tools: Mapping[str, Any]) -> Callable[[ModelCall], Awaitable[ModelAnswer]]:
    """The activity `name` that asks `model`, which may know `tools`.

    What the model raises is tried again, but for what its provider refused as it is (4xx).
    """

    @activity.defn(name=name)
    async def ask_model(call: ModelCall) -> ModelAnswer:
        offered = {tool.name: tool for tool in call.offered}
        messages = [ChatMessage.model_validate(message) for message in call.messages]
        async with stream.emitting() as out:
            if call.tools is None:
                asking = model.achat(messages, **call.options)
            else:
                usable = [_tool(offered[t]) if t in offered else tools[t] for t in call.tools]
                ask = partial(_told, out, model) if out.asked else model.achat_with_tools
                asking = ask(usable, chat_history=messages, **call.options)
            with spans.model_call(type(model).__name__.lower(), _model_name(model), partial(_said, messages)) as span:
                outcome = await _asked(asking, model)
                if isinstance(outcome, ModelAnswer):
                    text = _text_of(outcome.message.get("blocks"))
                    span.answered(spans.Answered(text, None, outcome.usage, outcome.finish_reason))
                else:
                    span.failed(outcome.type or ErrorType.TASK_FAILED)
        # Raised in an except block it would carry the provider's error along, with its headers and the key.
        if isinstance(outcome, ApplicationError):
            raise outcome
        return outcome

    return ask_model


def tool_activity(name: str, tool: Any) -> Callable[[dict[str, Any]], Awaitable[ToolAnswer]]:
    """The activity `name` that calls `tool`. What it raises the model gets to read, as LlamaIndex has it.

    But for an ApplicationError: that is Temporal's to try again, or ends the task by its name.
    """

    @activity.defn(name=name)
    async def call_tool(arguments: dict[str, Any]) -> ToolAnswer:
        try:
            with spans.tool_call(str(tool.metadata.name), lambda: arguments) as span:
                output = await beating(tool.acall(**arguments), _PAUSE)
                span.returned(lambda: output.content)
        except ApplicationError:
            raise
        except Exception as error:  # noqa: BLE001 (whatever a tool may raise)
            text = clip(str(error) or repr(error), limits.OUTPUT_BYTES)
            return ToolAnswer(blocks=[{"block_type": "text", "text": text}], error=True)
        blocks = [block.model_dump(mode="json", exclude_none=True) for block in output.blocks]
        if len(carried(blocks)) > limits.TOOL_ANSWER_BYTES:
            message = f"{tool.metadata.name} gave more than {limits.TOOL_ANSWER_BYTES} bytes: give a part of it"
            return ToolAnswer(blocks=[{"block_type": "text", "text": message}], error=True)
        return ToolAnswer(blocks=blocks, error=output.is_error)

    return call_tool


async def _told(out: stream.Emitter, model: Any, usable: list[Any], **options: Any) -> Any:
    """The whole answer of a model, told while it is written; and the tools that it calls, as `tool_call`."""
    whole: Any = None
    try:
        async for whole in await model.astream_chat_with_tools(usable, **options):
            out.text(whole.delta or "")
    except NotImplementedError:  # of a model that cannot
        if whole is None:
            return await model.achat_with_tools(usable, **options)
        raise
    if whole is None:
        raise ApplicationError("the model's stream had nothing in it", type="EmptyModelReply")
    for call in model.get_tool_calls_from_response(whole, error_on_no_tool_call=False):
        out.event("tool_call", {"name": call.tool_name, "arguments": _json(call.tool_kwargs)})
    return whole


async def _asked(asking: Awaitable[Any], model: Any) -> ModelAnswer | ApplicationError:
    try:
        reply = await beating(asking, _PAUSE)
    except ApplicationError:
        raise
    except Exception as error:  # noqa: BLE001 (whatever a provider's client may raise)
        key = getattr(model, "api_key", None)
        told = Secrets(key if isinstance(key, str) else "").hide_words(str(error))
        text = clip(told, limits.ERROR_MESSAGE_BYTES)
        return ApplicationError(text, type=type(error).__name__, non_retryable=_refused(error))
    return ModelAnswer(
        message=reply.message.model_dump(mode="json", exclude_none=True),
        extra=_json(reply.additional_kwargs) or {},
        usage=_usage_of(reply),
        finish_reason=_finish_reason_of(reply),
    )


def _model_name(model: Any) -> str:
    """What a model's provider calls it, where it says so."""
    named = getattr(getattr(model, "metadata", None), "model_name", None)
    return named if isinstance(named, str) and named else type(model).__name__


def _said(messages: list[ChatMessage]) -> list[spans.Message]:
    return [(message.role.value, message.content or "") for message in messages]


def _text_of(blocks: Any) -> str:
    found = blocks if isinstance(blocks, list) else []
    return "".join(str(block.get("text", "")) for block in found if isinstance(block, dict))


def _finish_reason_of(reply: Any) -> str | None:
    """Why it ended, where a provider of OpenAI's kind says so; to call a tool is to go on."""
    choices = _fields(reply.raw).get("choices") or [None]
    reason = _fields(choices[0]).get("finish_reason")
    return reason if isinstance(reason, str) and reason != "tool_calls" else None


def _usage_of(reply: Any) -> dict[str, int | float] | None:
    """What an answer cost, where it says so: LlamaIndex's models put it in one of two places, by one of two names."""
    given = reply.additional_kwargs | _fields(_fields(reply.raw).get("usage"))
    names = {"input_tokens": ("prompt_tokens", "input_tokens"), "output_tokens": ("completion_tokens", "output_tokens")}
    counts = {ours: next((given[t] for t in theirs if t in given), None) for ours, theirs in names.items()}
    return {name: count for name, count in counts.items() if isinstance(count, int)} or None


def _fields(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    return found


def _tool(offered: Offered) -> Any:
    """A tool that is only shown to the model: its calls are for the loop."""

    class Parameters(BaseModel):
        @classmethod
        def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
            return offered.parameters

    async def never(**_: Any) -> None: ...

    shown = ToolMetadata(name=offered.name, description=offered.description, fn_schema=Parameters)
    return FunctionTool(async_fn=never, metadata=shown)


def _json(value: Any) -> Any:
    with suppress(ValueError):
        return plain(value)
    return None


def _refused(error: Exception) -> bool:
    """Whether the same call fails again: it is wrong, or the provider says so."""
    status = getattr(error, "status_code", None)
    refused = isinstance(status, int) and 400 <= status < 500 and status not in RETRYABLE_REFUSALS  # noqa: PLR2004
    return refused or isinstance(error, _MISTAKES)
