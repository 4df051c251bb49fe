"""The model of the shop: `SHOP_MODEL`, say openai:gpt-5-mini, or pydantic-ai's own fake with the examples' script."""

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
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel

from examples.offline import INPUT_TOKENS, OUTPUT_TOKENS, Call, reply


def _scripted(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    parts = [part for message in messages for part in message.parts]
    last = parts[-1]
    said = reply(
        [str(part.content) for part in parts if isinstance(part, UserPromptPart)],
        (last.tool_name, str(last.content)) if isinstance(last, ToolReturnPart) else None,
    )
    part = ToolCallPart(said.tool, said.arguments) if isinstance(said, Call) else TextPart(said)
    return ModelResponse([part], usage=RequestUsage(input_tokens=INPUT_TOKENS, output_tokens=OUTPUT_TOKENS))


MODEL: Model | str = os.environ.get("SHOP_MODEL") or FunctionModel(_scripted)
