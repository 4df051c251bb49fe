"""Any model of pydantic-ai, told while it writes: text, and the tools it calls. Extra `pydantic-ai`."""

from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from temporalio import activity

from activities.stream import emitting


class Telling(WrapperModel):
    """The model of an agent: `Agent(Telling("openai-chat:gpt-5-mini"), ...)`.

    pydantic-ai asks a model in an activity of the agent's; this one streams there, where the task's caller asked for
    that, and only there. Each call of the model makes void what was told before; the last one's text is the answer. Its
    own `event_stream_handler` would cost an activity for each event beside.
    """

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask the model, and tell its text, and each call of a tool as `tool_call` `{"name", "arguments"}`."""
        if not activity.in_activity():
            return await super().request(messages, model_settings, model_request_parameters)
        async with emitting() as out:
            if not out.asked:
                return await super().request(messages, model_settings, model_request_parameters)
            async with self.wrapped.request_stream(messages, model_settings, model_request_parameters) as said:
                async for event in said:
                    match event:
                        case PartStartEvent(part=TextPart(content=text)):
                            out.text(text)
                        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                            out.text(text)
                response = said.get()
            for part in response.parts:
                if isinstance(part, ToolCallPart):
                    out.event("tool_call", {"name": part.tool_name, "arguments": part.args_as_dict()})
            return response
