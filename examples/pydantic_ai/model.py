"""The model of the shop: `SHOP_MODEL`, say openai-chat:gpt-5-mini, or pydantic-ai's fake with the examples' script."""

import os

from pydantic_ai import (
    ModelMessage,
    ModelResponse,
    RequestUsage,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import infer_model
from pydantic_ai.models.function import AgentInfo, FunctionModel

from examples.offline import INPUT_TOKENS, OUTPUT_TOKENS, Call, reply
from workflows.wire.conversation import BEFORE


def _scripted(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    before = (info.instructions or "").partition(BEFORE)[2]
    parts = [part for message in messages for part in message.parts]
    last = parts[-1]
    said = reply(
        [*filter(None, [before]), *(str(part.content) for part in parts if isinstance(part, UserPromptPart))],
        (last.tool_name, str(last.content)) if isinstance(last, ToolReturnPart) else None,
    )
    part = ToolCallPart(said.tool, said.arguments) if isinstance(said, Call) else TextPart(said)
    return ModelResponse([part], usage=RequestUsage(input_tokens=INPUT_TOKENS, output_tokens=OUTPUT_TOKENS))


# A name alone would be looked up by the first task: two seconds of imports, which a workflow may not take.
MODEL = infer_model(name) if (name := os.environ.get("SHOP_MODEL")) else FunctionModel(_scripted, model_name="offline")
