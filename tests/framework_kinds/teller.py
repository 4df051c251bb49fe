"""An agent of pydantic-ai whose model is told while it writes, as its author writes it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from pydantic_ai import Agent
from pydantic_ai.durable_exec.temporal import PydanticAIPlugin, PydanticAIWorkflow, TemporalDurability
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel
from temporalio import workflow
from temporalio.plugin import SimplePlugin
from temporalio.workflow import ActivityConfig

with workflow.unsafe.imports_passed_through():
    from activities.models.pydantic_ai import Telling
    from tests.conformance.caller import SLOWNESS
    from workflows.contract import TaskInput, TaskOutput

WORDS = [f"{number} 🍌 " for number in range(30)]


def _whole(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    if isinstance(messages[-1].parts[-1], ToolReturnPart):
        return ModelResponse(parts=[TextPart("".join(WORDS))])
    return ModelResponse(parts=[ToolCallPart("look_up", {"order": "7"})])


async def _told(messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
    if not isinstance(messages[-1].parts[-1], ToolReturnPart):
        yield "Let me look that up."
        await asyncio.sleep(0.6 * SLOWNESS)
        yield {1: DeltaToolCall(name="look_up", json_args='{"order": "7"}')}
        await asyncio.sleep(0.6 * SLOWNESS)
        return
    for word in WORDS:
        yield word
        await asyncio.sleep(0.05 * SLOWNESS)


model = Telling(FunctionModel(_whole, stream_function=_told))
_config = ActivityConfig(start_to_close_timeout=timedelta(minutes=5), heartbeat_timeout=timedelta(seconds=10))
agent = Agent(model, name="teller", capabilities=[TemporalDurability(activity_config=_config)])


@agent.tool_plain
async def look_up(order: str) -> str:
    """What an order cost."""
    return f"order {order}"


@workflow.defn(name="Teller", failure_exception_types=[Exception])
class TellerWorkflow(PydanticAIWorkflow):
    """Input: a question."""

    __pydantic_ai_agents__ = (agent,)

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        return TaskOutput(output=(await agent.run(str(task.input))).output)


PLUGINS = [SimplePlugin("tellers", workflows=[TellerWorkflow]), PydanticAIPlugin()]
