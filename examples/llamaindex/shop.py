"""A shop's assistant: looks orders up, refunds them once a person has said yes, and remembers the conversation."""

from durable_sessions import TaskInput, TaskOutput, llamaindex
from llama_index.core.agent.workflow import FunctionAgent
from model import language_model
from temporalio import workflow
from temporalio.plugin import SimplePlugin


async def look_up(order: str) -> str:
    """What an order costs."""
    return f"{order} costs {ord(order[0])} euros"


async def refund(order: str, euros: int) -> str:
    """Pay money back for an order."""
    return f"{euros} euros are paid back for {order}"


agent = FunctionAgent(name="shop", llm=language_model(), tools=[look_up, refund], system_prompt="You run a shop.")
shop = llamaindex.agent(agent, ask=["refund"])


@workflow.defn(name="Shop", sandboxed=False, failure_exception_types=[Exception])
class ShopWorkflow:
    """Input: what the customer says. Output: the answer."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        """Answer, with what was said before."""
        return await shop.run(task)


KINDS = SimplePlugin("shop", workflows=[ShopWorkflow], activities=shop.activities)
