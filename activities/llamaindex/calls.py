"""What an agent's loop in a kind's workflow and the activities of its model and tools say to each other.

Needs no LlamaIndex: its messages are carried as the JSON that they make of themselves.
"""

from typing import Any

from pydantic import BaseModel

from workflows.wire import fields as f

Message = dict[str, Any]


class Offered(BaseModel):
    """A tool as a model sees it, where the worker knows none of its name: a handoff, or the shape of an output."""

    name: str
    description: str
    parameters: dict[str, Any]


class ModelCall(BaseModel):
    """`messages` to the model; `tools` that it may use, by name, and those of them that are `offered` by the loop.

    `tools` null: it is asked without any. `options`: further arguments of LlamaIndex's.
    """

    messages: list[Message]
    tools: list[str] | None = None
    offered: list[Offered] = []
    options: dict[str, Any] = {}


class ModelAnswer(BaseModel):
    """What it said, and what it cost and why it ended where it says so."""

    message: Message
    extra: dict[str, Any] = {}
    usage: f.Usage | None = None
    finish_reason: f.FinishReason = None


class ToolAnswer(BaseModel):
    """What a tool gave, as the model reads it. `error`: it raised what `blocks` say."""

    blocks: list[dict[str, Any]]
    error: bool = False
