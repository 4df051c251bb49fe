"""A model for an agent with the tool `refund`: it says what it sees."""

from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel


def _reply(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    """Calls the tool for a refund, tells what came of it, and of all that it sees where it is asked for that."""
    last = messages[-1].parts[-1]
    parts = [part for message in messages for part in message.parts]
    match last:
        case UserPromptPart(content=str(text)) if text.startswith("refund"):
            order, cents = text.split()[1:]
            return ModelResponse(parts=[ToolCallPart("refund", {"order": order, "cents": int(cents)})])
        case UserPromptPart():
            calls = [part.args_as_dict()["order"] for part in parts if isinstance(part, ToolCallPart)]
            asked = [part for part in parts if isinstance(part, UserPromptPart)]
            system = [part.content for part in parts if isinstance(part, SystemPromptPart)]
            return ModelResponse(parts=[TextPart(f"{len(asked)} asked, {calls} called, {system}")])
        case ToolReturnPart():
            return ModelResponse(parts=[TextPart(f"done: {last.content}")])
    raise AssertionError(last)


MODEL = FunctionModel(_reply)
