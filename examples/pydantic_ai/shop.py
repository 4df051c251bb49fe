"""`PydanticShop`: an agent of pydantic-ai that looks orders up, and refunds them once a person said yes."""

from datetime import timedelta

from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, RunUsage, ToolDenied
from pydantic_ai.durable_exec.temporal import PydanticAIPlugin, PydanticAIWorkflow, TemporalDurability
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart
from temporalio import workflow
from temporalio.plugin import SimplePlugin
from temporalio.workflow import ActivityConfig

with workflow.unsafe.imports_passed_through():
    from examples.offline import INSTRUCTIONS
    from examples.orders import pay_back, price
    from examples.pydantic_ai.model import MODEL
    from workflows.contract import TaskInput, TaskOutput
    from workflows.kinds.waiting import ask_person

# The heartbeat says within seconds that a worker is gone; without one, a killed tool waits for the other timeout.
LIMITS = ActivityConfig(start_to_close_timeout=timedelta(minutes=5), heartbeat_timeout=timedelta(seconds=10))
DURABLE = TemporalDurability[None](activity_config=LIMITS)

agent = Agent(
    MODEL, name="shop", instructions=INSTRUCTIONS, output_type=[str, DeferredToolRequests], capabilities=[DURABLE]
)


@agent.tool_plain
async def look_up(order: str) -> str:
    """What an order cost."""
    return await price(order)


@agent.tool_plain(requires_approval=True)
async def refund(order: str, cents: int) -> str:
    """Refund an order."""
    return await pay_back(order, cents)


@workflow.defn(name="PydanticShop", failure_exception_types=[Exception])
class PydanticShopWorkflow(PydanticAIWorkflow):
    """The session's turns are the agent's history; what it may not do by itself becomes a question of the session."""

    __pydantic_ai_agents__ = (agent,)

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        history: list[ModelMessage] = []
        for turn in task.context.transcript:
            history += [ModelRequest.user_text_prompt(str(turn.input)), ModelResponse([TextPart(str(turn.output))])]
        usage = RunUsage()  # given to each run, it sums them up; `result.usage` is the last run's
        result = await agent.run(str(task.input), message_history=history, usage=usage)
        while isinstance(result.output, DeferredToolRequests):
            answers = DeferredToolResults()
            for call in result.output.approvals:
                said = await ask_person(task, f"{call.tool_name} {call.args_as_json_str()}?", choices=["yes", "no"])
                answers.approvals[call.tool_call_id] = said == "yes" or ToolDenied("a person refused")
            result = await agent.run(message_history=result.all_messages(), deferred_tool_results=answers, usage=usage)
        spent = {"requests": usage.requests, "input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        return TaskOutput(output=result.output, usage=spent)


KINDS = [SimplePlugin("pydantic-ai shop", workflows=[PydanticShopWorkflow]), PydanticAIPlugin()]  # in this order
