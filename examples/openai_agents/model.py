"""The model of the shop: `SHOP_MODEL`, say gpt-5-mini, or the plugin's own test model with the examples' script."""

import json
import os
from typing import Any

from agents import ModelProvider, ModelResponse, Usage
from temporalio.openai_agents.testing import ResponseBuilders, TestModel, TestModelProvider

from examples.offline import INPUT_TOKENS, OUTPUT_TOKENS, Call, reply

NAME = os.environ.get("SHOP_MODEL") or None


class Scripted(TestModel):
    """A model without a network."""

    def __init__(self) -> None:
        super().__init__(NotImplemented)

    async def get_response(self, *_: Any, **given: Any) -> ModelResponse:
        """See base class, which is called by keywords."""
        items: list[Any] = given["input"]
        called = {item["call_id"]: item["name"] for item in items if item.get("type") == "function_call"}
        last = items[-1]
        said = reply(
            [item["content"] for item in items if item.get("role") == "user"],
            (called[last["call_id"]], last["output"]) if last.get("type") == "function_call_output" else None,
        )
        if isinstance(said, Call):
            call_id = f"call-{len(items)}"
            response = ResponseBuilders.tool_call(json.dumps(said.arguments), said.tool, call_id=call_id)
        else:
            response = ResponseBuilders.output_message(said)
        response.usage = Usage(requests=1, input_tokens=INPUT_TOKENS, output_tokens=OUTPUT_TOKENS)
        return response


PROVIDER: ModelProvider | None = None if NAME else TestModelProvider(Scripted())
"""Null is OpenAI's, by `OPENAI_API_KEY`."""
