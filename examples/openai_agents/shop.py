"""`OpenAIShop`: an agent of the OpenAI Agents SDK that looks orders up, and refunds them once a person said yes."""

from datetime import timedelta

from agents import Agent, Runner, TResponseInputItem
from temporalio import activity, workflow
from temporalio.openai_agents import ModelActivityParameters, OpenAIAgentsPlugin
from temporalio.openai_agents.workflow import activity_as_tool
from temporalio.plugin import SimplePlugin

with workflow.unsafe.imports_passed_through():
    from examples.offline import INSTRUCTIONS
    from examples.openai_agents.model import NAME, PROVIDER
    from examples.orders import pay_back, price
    from workflows.contract import TaskInput, TaskOutput
    from workflows.kinds.waiting import ask_person


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
        history: list[TResponseInputItem] = []
        for turn in task.context.transcript:
            history += [
                {"role": "user", "content": str(turn.input)},
                {"role": "assistant", "content": str(turn.output)},
            ]
        result = await Runner.run(shop, [*history, {"role": "user", "content": str(task.input)}])
        while result.interruptions:
            state = result.to_state()
            for call in result.interruptions:
                if await ask_person(task, f"{call.name} {call.arguments}?", choices=["yes", "no"]) == "yes":
                    state.approve(call)
                else:
                    state.reject(call, rejection_message="a person refused")
            result = await Runner.run(shop, state)
        spent = result.context_wrapper.usage  # of all runs: the state takes it along
        usage = {"requests": spent.requests, "input_tokens": spent.input_tokens, "output_tokens": spent.output_tokens}
        return TaskOutput(output=result.final_output, usage=usage)


MODEL = ModelActivityParameters(start_to_close_timeout=LONGEST, heartbeat_timeout=SILENT)
AGENTS = OpenAIAgentsPlugin(MODEL, PROVIDER)
KINDS = [SimplePlugin("openai-agents shop", workflows=[OpenAIShopWorkflow], activities=[look_up, refund]), AGENTS]
