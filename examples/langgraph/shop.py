"""`GraphShop`: the graph of `agent.py` as a kind. An interrupt becomes a question of the session."""

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from temporalio import workflow
from temporalio.langgraph import graph
from temporalio.plugin import SimplePlugin

with workflow.unsafe.imports_passed_through():
    from examples.langgraph.agent import GRAPHS
    from workflows.contract import TaskInput, TaskOutput
    from workflows.kinds.waiting import ask_person


@workflow.defn(name="GraphShop", failure_exception_types=[Exception])
class GraphShopWorkflow:
    """The session's turns are the graph's messages."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        agent, config = graph("shop").compile(InMemorySaver()), RunnableConfig(configurable={"thread_id": task.task_id})
        history = [m for turn in task.context.transcript for m in (("user", str(turn.input)), ("ai", str(turn.output)))]
        state = await agent.ainvoke({"messages": [*history, ("user", str(task.input))]}, config)
        while asked := state.get("__interrupt__"):
            said = await ask_person(task, asked[0].value, choices=["yes", "no"])
            state = await agent.ainvoke(Command(resume=said), config)  # not by its id, which is another in a replay
        usage = {name: sum(call.get(name, 0) for call in state["usage"]) for name in ("input_tokens", "output_tokens")}
        return TaskOutput(output=state["messages"][-1].content, usage={"requests": len(state["usage"]), **usage})


KINDS = [SimplePlugin("langgraph shop", workflows=[GraphShopWorkflow]), GRAPHS]
