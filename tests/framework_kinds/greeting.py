"""A kind of LangGraph as its author writes it: in the SDK's sandbox, brought by plugins."""

import operator
from datetime import timedelta
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from temporalio import workflow
from temporalio.langgraph import LangGraphPlugin, graph
from temporalio.plugin import SimplePlugin

with workflow.unsafe.imports_passed_through():
    from workflows.contract import TaskInput, TaskOutput


class State(TypedDict):
    said: Annotated[list[str], operator.add]


async def _greet(state: State) -> dict[str, Any]:
    return {"said": [f"hello {state['said'][0]}"]}


async def _shout(state: State) -> dict[str, Any]:
    return {"said": [state["said"][-1].upper()]}


_graph = StateGraph(State)
_graph.add_node("greet", _greet, metadata={"execute_in": "activity"})
_graph.add_node("shout", _shout, metadata={"execute_in": "activity"})
_graph.add_edge(START, "greet")
_graph.add_edge("greet", "shout")
_graph.add_edge("shout", END)


@workflow.defn(name="Greet", failure_exception_types=[Exception])
class GreetWorkflow:
    """A graph of LangGraph: its nodes are activities."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        said = await graph("greeting").compile().ainvoke({"said": [task.input]})
        return TaskOutput(output=said["said"][-1])


PLUGINS = [
    SimplePlugin("greetings", workflows=[GreetWorkflow]),
    LangGraphPlugin(
        graphs={"greeting": _graph}, default_activity_options={"start_to_close_timeout": timedelta(seconds=30)}
    ),
]
