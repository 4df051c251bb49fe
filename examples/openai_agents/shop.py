"""`OpenAIShop`: an agent of the OpenAI Agents SDK that looks orders up, and refunds them once a person said yes."""

from datetime import timedelta

from agents import Agent, Runner, TResponseInputItem
from openai.types.responses import EasyInputMessageParam as Said
from temporalio import activity, workflow
from temporalio.openai_agents import ModelActivityParameters, OpenAIAgentsPlugin
from temporalio.openai_agents.workflow import activity_as_tool
from temporalio.plugin import SimplePlugin

with workflow.unsafe.imports_passed_through():
    from examples.offline import INSTRUCTIONS
    from examples.openai_agents.model import NAME, PROVIDER
    from examples.orders import pay_back, price
    from workflows.contract import TaskInput, TaskOutput
    from workflows.kinds.approval import ask_approval
    from workflows.kinds.usage import UsageSum
    from workflows.wire.conversation import conversation


@activity.defn
async def look_up(order: str) -> str:
    """What an order cost."""
    return await price(order)


@activity.defn
async def refund(order: str, cents: int) -> str:
    """Refund an order."""
    return await pay_back(order, cents)


# The heartbeat says within seconds that a worker is gone; without one, a killed tool waits for the other timeout.
LONGEST, SILENT = timedelta(minutes=5), timedelta(seconds=10)
TOOLS = [activity_as_tool(tool, start_to_close_timeout=LONGEST, heartbeat_timeout=SILENT) for tool in (look_up, refund)]
TOOLS[1].needs_approval = True  # type: ignore[union-attr]  # of an activity it is always a FunctionTool
shop = Agent(name="shop", model=NAME, instructions=INSTRUCTIONS, tools=TOOLS)


@workflow.defn(name="OpenAIShop", failure_exception_types=[Exception])
class OpenAIShopWorkflow:
    """The session's turns are the agent's history; a call that needs approval becomes a question of the session."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        said: list[TResponseInputItem] = [
            Said(role=m["role"], content=m["content"])
            for m in conversation(task.context.transcript, task.context.values)
        ]
        result = await Runner.run(shop, [*said, Said(role="user", content=str(task.input))])
        while result.interruptions:
            state = result.to_state()
            for call in result.interruptions:
                answer = await ask_approval(task, str(call.name), call.arguments)
                if answer.approved and not answer.changed:
                    state.approve(call)
                else:  # a call cannot be changed here, so the model is told and calls anew
                    why = f"call it with {answer.arguments}" if answer.changed else answer.reason
                    state.reject(call, rejection_message=why or "a person refused")
            result = await Runner.run(shop, state)
        usage = UsageSum()
        usage.add(result.context_wrapper.usage)  # of all runs: the state takes it along
        return TaskOutput(output=result.final_output, usage=usage.total)


MODEL = ModelActivityParameters(start_to_close_timeout=LONGEST, heartbeat_timeout=SILENT)
AGENTS = OpenAIAgentsPlugin(MODEL, PROVIDER)
KINDS = [SimplePlugin("openai-agents shop", workflows=[OpenAIShopWorkflow], activities=[look_up, refund]), AGENTS]
