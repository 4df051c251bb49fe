"""A graph of LangGraph with a synchronous router, which LangGraph hands to a thread."""

from datetime import timedelta
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from temporalio import workflow
from temporalio.langgraph import LangGraphPlugin, graph
from temporalio.plugin import SimplePlugin

with workflow.unsafe.imports_passed_through():
    from workflows.contract import TaskInput, TaskOutput
    from workflows.kinds.threads import inline_threads


class State(TypedDict):
    said: str


async def _shout(state: State) -> dict[str, Any]:
    return {"said": state["said"].upper()}


def _route(state: State) -> str:
    return "shout" if state["said"].endswith("!") else END


_graph = StateGraph(State)
_graph.add_node("shout", _shout, metadata={"execute_in": "activity"})
_graph.add_conditional_edges(START, _route, ["shout", END])
_graph.add_edge("shout", END)


@workflow.defn(name="Route", failure_exception_types=[Exception])
class RouteWorkflow:
    """Runs the graph; with its router inline, unless the input begins with a dash."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        if not task.input.startswith("-"):
            inline_threads()
        state = await graph("routing").compile().ainvoke({"said": task.input})
        return TaskOutput(output=state["said"])


PLUGINS = [
    SimplePlugin("routes", workflows=[RouteWorkflow]),
    LangGraphPlugin(
        graphs={"routing": _graph}, default_activity_options={"start_to_close_timeout": timedelta(seconds=30)}
    ),
]
