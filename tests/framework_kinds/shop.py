"""A kind of pydantic-ai as its author writes it: in the SDK's sandbox, brought by plugins."""

from pydantic_ai import Agent
from pydantic_ai.durable_exec.temporal import PydanticAIPlugin, PydanticAIWorkflow, TemporalDurability
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from temporalio import workflow
from temporalio.plugin import SimplePlugin

with workflow.unsafe.imports_passed_through():
    from workflows.contract import TaskInput, TaskOutput


def _look_up_then_tell(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    last = messages[-1].parts[-1]
    if isinstance(last, ToolReturnPart):
        return ModelResponse(parts=[TextPart(f"It costs {last.content}.")])
    return ModelResponse(parts=[ToolCallPart("price_of", {"order": "A7"})])


agent = Agent(FunctionModel(_look_up_then_tell), name="shop", capabilities=[TemporalDurability()])


@agent.tool_plain
async def price_of(order: str) -> str:
    """The price of an order."""
    return f"42 euros ({order})"


@workflow.defn(name="Shop", failure_exception_types=[Exception])
class ShopWorkflow(PydanticAIWorkflow):
    """An agent of pydantic-ai: its model and its tool are activities."""

    __pydantic_ai_agents__ = (agent,)

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        return TaskOutput(output=(await agent.run(task.input)).output)


PLUGINS = [SimplePlugin("shop", workflows=[ShopWorkflow]), PydanticAIPlugin()]
