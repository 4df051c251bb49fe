"""Agents of LlamaIndex as their authors write them, on a model that follows a script. They log to `steps.log`."""

import asyncio
import os
import re
from pathlib import Path
from typing import Any

from durable_sessions import TaskInput, TaskOutput, llamaindex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, TextBlock, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent
from pydantic import BaseModel
from temporalio import workflow
from temporalio.exceptions import ApplicationError
from temporalio.plugin import SimplePlugin

SLOWNESS = float(os.environ.get("SESSIONS_TEST_SLOWNESS") or 1)
"""As in `tests/conformance/caller.py`, which is not here."""


def log(what: str) -> None:
    """One line in one write, so that a killed worker leaves whole ones."""
    with Path("steps.log").open("a") as file:
        file.write(f"{os.getpid()} {what}\n")


class RefusedError(Exception):
    status_code = 400


class Scripted(MockFunctionCallingLLM):
    """Calls the tools that the user's message names, one after the other, then says what they gave.

    `look_up A7 + refund A7 4200` calls two tools in turn, `a | b` two at once.
    """

    async def achat(self, messages: Any, **_: Any) -> ChatResponse:
        return await self.achat_with_tools([], chat_history=messages)

    async def achat_with_tools(self, tools: Any, chat_history: Any = None, **_: Any) -> ChatResponse:
        asked = next(i for i in range(len(chat_history) - 1, -1, -1) if chat_history[i].role.value == "user")
        # With a state LlamaIndex puts it before the user's words.
        words, given = chat_history[asked].content.rpartition("message:")[2].strip(), chat_history[asked + 1 :]
        log(f"model {len(chat_history)}: {sorted(tool.metadata.name for tool in tools)}")
        await asyncio.sleep(0.05)
        if "refuse" in words:
            raise RefusedError("the provider refuses sk-1234567890abcdef")
        if "Price" in [tool.metadata.name for tool in tools]:
            words, given = "Price 42", []
        steps = words.split(" + ") if words.split()[0] in {tool.metadata.name for tool in tools} else []
        done = sum(1 for message in given if message.role.value == "assistant")
        blocks: list[Any] = []
        if done < len(steps):
            for number, call in enumerate(steps[done].split(" | ")):
                name, *arguments = call.split()
                names = [
                    *tools[[t.metadata.name for t in tools].index(name)].metadata.get_parameters_dict()["properties"]
                ]
                blocks.append(
                    ToolCallBlock(
                        tool_call_id=f"{done}.{number}",
                        tool_name=name,
                        tool_kwargs=dict(zip(names, arguments, strict=False)),
                    )
                )
        else:
            results = [message.content for message in given if message.role.value == "tool"]
            first = next(message.content for message in chat_history if message.role.value == "user")
            blocks.append(TextBlock(text="; ".join(results) or f"first you asked: {first}"))
        usage = {"prompt_tokens": len(chat_history), "completion_tokens": 1}
        raw = {"usage": usage, "choices": [{"finish_reason": "length" if "long" in words else "stop"}]}
        return ChatResponse(message=ChatMessage(role="assistant", blocks=blocks), raw=raw)

    async def astream_chat_with_tools(self, tools: Any, chat_history: Any = None, **_: Any) -> Any:
        """Word by word, 0.3 s apart; each state has all of the message so far, as LlamaIndex has it."""
        whole = await self.achat_with_tools(tools, chat_history)
        log("streamed")

        async def states() -> Any:
            words = re.findall(r"\S+\s*", whole.message.content or "")
            for number, word in enumerate(words, 1):
                await asyncio.sleep(0.3)
                yield ChatResponse(message=ChatMessage(role="assistant", content="".join(words[:number])), delta=word)
            whole.delta = ""
            yield whole

        return states()

    def get_tool_calls_from_response(self, response: Any, **_: Any) -> Any:
        return [
            ToolSelection(tool_id=block.tool_call_id, tool_name=block.tool_name, tool_kwargs=block.tool_kwargs)
            for block in response.message.blocks
            if isinstance(block, ToolCallBlock)
        ]


async def look_up(order: str) -> str:
    """Look an order up."""
    log(f"begin look_up {order}")
    await asyncio.sleep(1 * SLOWNESS)
    log(f"end look_up {order}")
    return f"{order}: 42 euros"


def refund(order: str, cents: int) -> str:
    """Refund an order."""
    log(f"refund {order} {cents}")
    return f"refunded {cents}"


async def breaks(how: str) -> str:
    """Raise."""
    if how == "named":
        raise ApplicationError("out of stock", type="OutOfStock", non_retryable=True)
    raise LookupError(f"no {how}")


async def hoards() -> str:
    """Too much to read."""
    return "x" * 200_000


async def note(ctx: Context, text: str) -> str:
    """Note something."""
    async with ctx.store.edit_state() as store:
        store["state"]["notes"] = [*store["state"].get("notes", []), text]
    return f"noted {text}"


async def confirm(ctx: Context, what: str) -> str:
    """Ask a person."""
    asking = InputRequiredEvent(prefix=f"{what}?", choices=["yes", "no"])
    said = await ctx.wait_for_event(HumanResponseEvent, waiter_id=what, waiter_event=asking)
    return f"a person said {said.response}"


shop = llamaindex.agent(
    FunctionAgent(
        name="shop",
        llm=Scripted(),
        system_prompt="You run a shop.",
        tools=[look_up, refund, breaks, hoards, note, confirm],
    ),
    ask=["refund"],
    inside=["note", "confirm"],
    keep=["notes"],
)


keeper = llamaindex.agent(
    FunctionAgent(name="keeper", llm=Scripted(), tools=[look_up, note]),
    inside=["note"],
    keep=["notes"],
    messages="said",
)


class Price(BaseModel):
    """A price."""

    euros: int


priced = llamaindex.agent(FunctionAgent(name="priced", llm=Scripted(), tools=[look_up], output_cls=Price))


class Thinks(Scripted):
    """Thinks aloud, as a model without tool calls does."""

    async def achat(self, messages: Any, **_: Any) -> ChatResponse:
        seen = [message.content for message in messages if message.content.startswith("Observation:")]
        said = 'Thought: I have to look.\nAction: look_up\nAction Input: {"order": "G1"}'
        if seen:
            said = f"Thought: I know.\nAnswer: {seen[-1].removeprefix('Observation: ')}"
        return ChatResponse(message=ChatMessage(role="assistant", content=said))


thinker = llamaindex.agent(ReActAgent(name="thinker", llm=Thinks(), tools=[look_up]))
team = llamaindex.agent(
    AgentWorkflow(
        agents=[
            FunctionAgent(name="clerk", description="Takes orders.", llm=Scripted(), tools=[look_up]),
            FunctionAgent(name="cashier", description="Pays.", llm=Scripted(), tools=[refund]),
        ],
        root_agent="clerk",
    ),
    name="team",
)


@workflow.defn(name="Shop", sandboxed=False, failure_exception_types=[Exception])
class ShopKind:
    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        return await shop.run(task)


@workflow.defn(name="Team", sandboxed=False, failure_exception_types=[Exception])
class TeamKind:
    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        return await team.run(task)


@workflow.defn(name="Keeper", sandboxed=False, failure_exception_types=[Exception])
class KeeperKind:
    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        return await keeper.run(task)


@workflow.defn(name="Priced", sandboxed=False, failure_exception_types=[Exception])
class PricedKind:
    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        return await priced.run(task)


@workflow.defn(name="Thinker", sandboxed=False, failure_exception_types=[Exception])
class ThinkerKind:
    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        return await thinker.run(task)


KINDS = SimplePlugin(
    "agents",
    workflows=[ShopKind, TeamKind, KeeperKind, PricedKind, ThinkerKind],
    activities=[activity for agent in (shop, team, keeper, priced, thinker) for activity in agent.activities],
)
