"""The model of the shop: `SHOP_MODEL`, say gemini-2.5-flash, or a model of ADK with the examples' script."""

import os
from collections.abc import AsyncGenerator

from google.adk.models import BaseLlm, LLMRegistry
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.genai import types
from typing_extensions import override

from examples.offline import INPUT_TOKENS, OUTPUT_TOKENS, Call, reply

_SCRIPTED = "scripted"
NAME = os.environ.get("SHOP_MODEL") or _SCRIPTED


class Scripted(BaseLlm):
    """A model without a network."""

    @classmethod
    def supported_models(cls) -> list[str]:
        """See base class."""
        return [_SCRIPTED]

    @override
    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """See base class."""
        parts = [(content.role, part) for content in llm_request.contents for part in content.parts or []]
        done = parts[-1][1].function_response
        said = reply(
            [part.text for role, part in parts if role == "user" and part.text],
            (str(done.name), " ".join(str(value) for value in (done.response or {}).values())) if done else None,
        )
        if isinstance(said, Call):
            part = types.Part(function_call=types.FunctionCall(name=said.tool, args=said.arguments))
        else:
            part = types.Part(text=said)
        usage = types.GenerateContentResponseUsageMetadata(
            prompt_token_count=INPUT_TOKENS, candidates_token_count=OUTPUT_TOKENS
        )
        yield LlmResponse(content=types.Content(role="model", parts=[part]), usage_metadata=usage)


LLMRegistry.register(Scripted)
