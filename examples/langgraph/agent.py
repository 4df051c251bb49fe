"""A shop's agent as a graph of LangGraph: it looks orders up, and refunds them once a person said yes.

Its nodes are activities, but for the one that asks. Out of an activity an interrupt has an id that a replay of the
workflow does not know: answered by that id, as several at once have to be, the person would be asked again.
"""

import operator
from datetime import timedelta
from typing import Annotated, Any

from langchain_core.messages import ToolCall, ToolMessage, convert_to_messages
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt
from temporalio.langgraph import LangGraphPlugin

from examples.langgraph.model import model
from examples.offline import INSTRUCTIONS
from examples.orders import pay_back, price


class State(MessagesState):
    """What nodes hand on. `usage`: of each call of the model; messages lose theirs on the way out of an activity."""

    usage: Annotated[list[dict[str, Any]], operator.add]


@tool
async def look_up(order: str) -> str:
    """What an order cost."""
    return await price(order)


@tool
async def refund(order: str, cents: int) -> str:
    """Refund an order."""
    return await pay_back(order, cents)


TOOLS = {"look_up": look_up, "refund": refund}
MODEL = model([look_up, refund])


async def think(state: State) -> dict[str, Any]:
    """One call of the model."""
    said = await MODEL.ainvoke([("system", INSTRUCTIONS), *convert_to_messages(state["messages"])])
    return {"messages": [said], "usage": [dict(said.usage_metadata or {})]}


async def decide(state: State) -> Command[Any]:
    """What comes of the model's calls. It runs in the workflow, where it has to be async: a workflow has no threads."""
    calls: list[ToolCall] = getattr(state["messages"][-1], "tool_calls", [])
    acts, refused = list[Send](), list[ToolMessage]()
    for call in calls:
        said = interrupt(call) if call["name"] == "refund" else {"approved": True, "arguments": call["args"]}
        if said["approved"]:
            acts.append(Send("act", {**call, "args": said["arguments"]}))
        else:
            why = str(said["reason"] or "a person refused")
            refused.append(ToolMessage(why, name=call["name"], tool_call_id=call["id"]))
    return Command(update={"messages": refused}, goto=acts or ("think" if refused else END))


async def act(state: ToolCall) -> dict[str, Any]:
    """One call of a tool, all that this node is sent."""
    return {"messages": [await TOOLS[state["name"]].ainvoke(state)]}


shop = StateGraph(State)
# The summaries are what the Web UI calls the activities.
shop.add_node("think", think, metadata={"execute_in": "activity", "summary": "ask the model"})
shop.add_node("decide", decide, metadata={"execute_in": "workflow"})
shop.add_node("act", act, metadata={"execute_in": "activity", "summary_fn": lambda given, _: given[0]["name"]})
shop.add_edge(START, "think")
shop.add_edge("think", "decide")
shop.add_edge("act", "think")

# The heartbeat says within seconds that a worker is gone; without one, a killed tool waits for the other timeout.
LIMITS = {"start_to_close_timeout": timedelta(minutes=5), "heartbeat_timeout": timedelta(seconds=10)}
# Here and not beside the kind: the sandbox runs that module again for each task, and a plugin takes a graph only once.
GRAPHS = LangGraphPlugin(graphs={"shop": shop}, default_activity_options=LIMITS)
