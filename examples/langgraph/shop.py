"""`GraphShop`: the graph of `agent.py` as a kind. An interrupt becomes a question of the session."""

from dataclasses import asdict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from temporalio import workflow
from temporalio.langgraph import graph
from temporalio.plugin import SimplePlugin

with workflow.unsafe.imports_passed_through():
    from examples.langgraph.agent import GRAPHS
    from workflows.contract import TaskInput, TaskOutput
    from workflows.kinds.approval import ask_approval
    from workflows.kinds.usage import UsageSum
    from workflows.wire.conversation import conversation


@workflow.defn(name="GraphShop", failure_exception_types=[Exception])
class GraphShopWorkflow:
    """The session's turns are the graph's messages."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        agent, config = graph("shop").compile(InMemorySaver()), RunnableConfig(configurable={"thread_id": task.task_id})
        before = conversation(task.context.transcript, task.context.values)
        messages = [*before, {"role": "user", "content": str(task.input)}]
        state = await agent.ainvoke({"messages": messages}, config)
        while asked := state.get("__interrupt__"):
            said = await ask_approval(task, asked[0].value["name"], asked[0].value["args"])
            state = await agent.ainvoke(Command(resume=asdict(said)), config)
        usage = UsageSum()
        for call in state["usage"]:
            usage.add({"requests": 1, **call})
        return TaskOutput(output=state["messages"][-1].content, usage=usage.total)


KINDS = [SimplePlugin("langgraph shop", workflows=[GraphShopWorkflow]), GRAPHS]
