"""`PydanticShop`: an agent of pydantic-ai that looks orders up, and refunds them once a person said yes."""

from datetime import timedelta

from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, ToolApproved, ToolDenied
from pydantic_ai.durable_exec.temporal import PydanticAIPlugin, PydanticAIWorkflow, TemporalDurability
from pydantic_ai.messages import ModelMessagesTypeAdapter as Messages
from temporalio import workflow
from temporalio.plugin import SimplePlugin
from temporalio.workflow import ActivityConfig

with workflow.unsafe.imports_passed_through():
    from examples.offline import INSTRUCTIONS
    from examples.orders import pay_back, price
    from examples.pydantic_ai.model import MODEL
    from workflows.contract import TaskInput, TaskOutput
    from workflows.kinds.approval import ask_approval
    from workflows.kinds.history import before_history, history_of, history_patch
    from workflows.kinds.usage import UsageSum

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
    """What it may not do by itself it asks a person. It keeps its messages in the session, tool calls included."""

    __pydantic_ai_agents__ = (agent,)

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        usage, new, known = UsageSum(), [], before_history(task)
        history = Messages.validate_python(history_of(task))
        result = await agent.run(str(task.input), message_history=history, instructions=known)
        while True:
            usage.add(result.usage)
            new += Messages.dump_python(result.new_messages(), mode="json", exclude={"__all__": {"instructions"}})
            if not isinstance(result.output, DeferredToolRequests):
                return TaskOutput(output=result.output, patch=history_patch(task, new), usage=usage.total)
            answers = DeferredToolResults()
            for call in result.output.approvals:
                said = await ask_approval(task, call.tool_name, call.args)
                yes, no = ToolApproved(override_args=said.arguments), ToolDenied(said.reason or "a person refused")
                answers.approvals[call.tool_call_id] = yes if said.approved else no
            history = result.all_messages()
            result = await agent.run(message_history=history, deferred_tool_results=answers, instructions=known)


KINDS = [SimplePlugin("pydantic-ai shop", workflows=[PydanticShopWorkflow]), PydanticAIPlugin()]  # in this order
