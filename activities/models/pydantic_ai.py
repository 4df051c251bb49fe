"""Any model of pydantic-ai, told while it writes: text, and the tools it calls. Extra `pydantic-ai`."""

from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    RetryPromptPart,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from temporalio import activity

from activities.stream import Emitter, emitting
from workflows.wire.encoding import clip
from workflows.wire.limits import KIB

RESULT_BYTES = 4 * KIB
"""Of a tool's result as it is told: what a person looks at. The model gets all of it."""


class Telling(WrapperModel):
    """The model of an agent: `Agent(Telling("openai-chat:gpt-5-mini"), ...)`.

    pydantic-ai asks a model in an activity of the agent's; this one streams there, where the task's caller asked for
    that, and only there. Each call of the model makes void what was told before; the last one's text is the answer.
    What a tool has returned is told with the next call of the model. Its own `event_stream_handler` would cost an
    activity for each event beside.
    """

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask the model, and tell its text, each call of a tool as `tool_call`, and what those of before returned."""
        if not activity.in_activity():
            return await super().request(messages, model_settings, model_request_parameters)
        async with emitting() as out:
            if not out.asked:
                return await super().request(messages, model_settings, model_request_parameters)
            _tell_results(out, messages[-1:])
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
                    call = {"name": part.tool_name, "arguments": part.args_as_dict(), "id": part.tool_call_id}
                    out.event("tool_call", call)
            return response


def _tell_results(out: Emitter, newest: list[ModelMessage]) -> None:
    """What tools returned, or why they are to be called otherwise, as `tool_result` `{"name", "content", "id"}`."""
    for part in (part for message in newest for part in message.parts):
        match part:
            case ToolReturnPart():
                content = part.model_response_str()
            case RetryPromptPart(tool_name=str()):
                content = part.model_response()
            case _:
                continue
        told = {"name": part.tool_name, "content": clip(content, RESULT_BYTES), "id": part.tool_call_id}
        out.event("tool_result", told)
