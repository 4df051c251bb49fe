"""The model of the shop: OpenAI's `SHOP_MODEL`, say gpt-5-mini, or a model of LangChain with the examples' script."""

import os
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from examples.offline import INPUT_TOKENS, OUTPUT_TOKENS, Call, reply

USAGE = UsageMetadata(input_tokens=INPUT_TOKENS, output_tokens=OUTPUT_TOKENS, total_tokens=INPUT_TOKENS + OUTPUT_TOKENS)


class Scripted(BaseChatModel):
    """A chat model without a network."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """See base class; the script knows its tools."""
        return self.bind(tools=tools, **options)

    def _generate(self, messages: list[BaseMessage], *_: Any, **_options: Any) -> ChatResult:
        last = messages[-1]
        said = reply(
            [str(message.content) for message in messages if isinstance(message, HumanMessage)],
            (str(last.name), str(last.content)) if isinstance(last, ToolMessage) else None,
        )
        if isinstance(said, Call):
            calls = [tool_call(name=said.tool, args=said.arguments, id=f"call-{len(messages)}")]
            message = AIMessage("", tool_calls=calls, usage_metadata=USAGE)
        else:
            message = AIMessage(said, usage_metadata=USAGE)
        return ChatResult(generations=[ChatGeneration(message=message)])


def model(tools: Sequence[BaseTool]) -> Runnable[LanguageModelInput, AIMessage]:
    """The model with these tools. A real one takes `pip install langchain-openai` and `OPENAI_API_KEY`."""
    chosen: BaseChatModel = Scripted()
    if name := os.environ.get("SHOP_MODEL"):
        from langchain_openai import ChatOpenAI  # noqa: PLC0415 (only for those who ask for it)

        chosen = ChatOpenAI(model=name)
    return chosen.bind_tools(tools)
