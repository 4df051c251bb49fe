"""An agent of pydantic-ai whose tool takes its time, as its author writes it: with a heartbeat timeout and no beat."""

from datetime import timedelta

from pydantic_ai import Agent
from pydantic_ai.durable_exec.temporal import PydanticAIPlugin, PydanticAIWorkflow, TemporalDurability
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from temporalio import workflow
from temporalio.plugin import SimplePlugin
from temporalio.workflow import ActivityConfig

with workflow.unsafe.imports_passed_through():
    from tests import errands
    from workflows.contract import TaskInput, TaskOutput


def _fetch_then_tell(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    last = messages[-1].parts[-1]
    if isinstance(last, ToolReturnPart):
        errands.note("think after")
        return ModelResponse(parts=[TextPart(str(last.content))])
    errands.note("think before")
    return ModelResponse(parts=[ToolCallPart("fetch", {"seconds": 3.0})])


model = FunctionModel(_fetch_then_tell)
_config = ActivityConfig(start_to_close_timeout=timedelta(minutes=5), heartbeat_timeout=timedelta(seconds=5))
agent = Agent(model, name="errand", capabilities=[TemporalDurability(activity_config=_config)])


@agent.tool_plain
async def fetch(seconds: float) -> str:
    """Fetch it, which takes so many seconds."""
    return await errands.fetch(seconds)


@workflow.defn(name="AgentErrand", failure_exception_types=[Exception])
class AgentErrandWorkflow(PydanticAIWorkflow):
    """Input: `{"seconds"}`."""

    __pydantic_ai_agents__ = (agent,)

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        return TaskOutput(output=(await agent.run(str(task.input["seconds"]))).output)


PLUGINS = [SimplePlugin("agent errands", workflows=[AgentErrandWorkflow]), PydanticAIPlugin()]
