"""The span of a call of the worker's model, where the worker is traced."""

from collections.abc import Awaitable

from activities import spans
from activities.models.protocol import LanguageModel, ModelReply, ModelRequest
from workflows.wire.conversation import conversation


async def calling(model: LanguageModel, request: ModelRequest, asking: Awaitable[ModelReply]) -> ModelReply:
    """What `asking` gives: the model's reply to that request."""
    provider, _, named = model.name.partition(":")
    with spans.model_call(provider, named or provider, lambda: _messages(request)) as span:
        reply = await asking
        span.answered(spans.Answered(reply.text, reply.model or named or provider, reply.usage, reply.finish_reason))
    return reply


def _messages(request: ModelRequest) -> list[spans.Message]:
    said = conversation(request.transcript, request.values)
    return [*((message["role"], message["content"]) for message in said), ("user", request.question)]
