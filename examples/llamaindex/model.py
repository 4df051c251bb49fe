"""The model of the examples: OpenAI's where SHOP_MODEL names one, else a small pretence that needs no network."""

import os
import re
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, TextBlock, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.mock import MockFunctionCallingLLM


def language_model() -> Any:
    """With SHOP_MODEL it needs `pip install llama-index-llms-openai` and OPENAI_API_KEY."""
    if name := os.environ.get("SHOP_MODEL"):
        from llama_index.llms.openai import OpenAI  # noqa: PLC0415 (only where it is wanted)

        return OpenAI(model=name)
    return Pretence()


class Pretence(MockFunctionCallingLLM):
    """Understands orders like A7, refunds, and "what did I ask first?"."""

    async def achat_with_tools(self, tools: Any, chat_history: Any = None, **_: Any) -> ChatResponse:
        """One answer: words, or the call of a tool."""
        said = [message for message in chat_history if message.role.value == "user"]
        since = chat_history[chat_history.index(said[-1]) + 1 :]
        given = [message.content for message in since if message.role.value == "tool"]
        order = re.search(r"[A-Z]\d+", said[-1].content)
        refund = "refund" in said[-1].content.lower()
        if order and not given:
            block = _call("look_up", order=order[0])
        elif order and refund and len(given) == 1:
            block = _call("refund", order=order[0], euros=int(given[0].split()[-2]))
        else:
            block = TextBlock(text=given[-1] if given else f"You first asked: {said[0].content}")
        usage = {"prompt_tokens": len(chat_history), "completion_tokens": 1}
        return ChatResponse(message=ChatMessage(role="assistant", blocks=[block]), additional_kwargs=usage)

    async def astream_chat_with_tools(self, tools: Any, chat_history: Any = None, **_: Any) -> Any:
        """The same answer, as one piece."""
        answer = await self.achat_with_tools(tools, chat_history)

        async def pieces() -> Any:
            answer.delta = answer.message.content
            yield answer

        return pieces()

    def get_tool_calls_from_response(self, response: Any, **_: Any) -> list[ToolSelection]:
        """The calls in an answer."""
        calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        return [ToolSelection(tool_id=c.tool_call_id, tool_name=c.tool_name, tool_kwargs=c.tool_kwargs) for c in calls]


def _call(tool: str, **arguments: Any) -> ToolCallBlock:
    return ToolCallBlock(tool_call_id=tool, tool_name=tool, tool_kwargs=arguments)
