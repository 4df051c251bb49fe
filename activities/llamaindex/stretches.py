"""What a kind's workflow and the activity that runs its flow say to each other. Needs no LlamaIndex.

A *flow* is a workflow of LlamaIndex, which knows nothing of Temporal. A *stretch* of it goes from its start, or from an
answer, to its end or to the next question: one activity. Between stretches nothing of it runs.
"""

from typing import Any

from pydantic import BaseModel

from workflows.wire import fields as f


class FlowQuestion(BaseModel):
    """What a flow asks a person, and `data` that it is about.

    `timeout`: seconds that it will wait for an answer, null for as long as need be.
    """

    number: int
    text: str
    choices: list[str] | None = None
    data: dict[str, Any] | None = None
    timeout: float | None = None


class FlowAnswer(BaseModel):
    """What was said to the question of that number; `unanswered` where its time went by."""

    number: int
    value: Any = None
    unanswered: bool = False


class Stretch(BaseModel):
    """What to run: a flow from its start, with `values` in its store, or from `checkpoint` with an answer."""

    input: Any
    values: dict[str, Any]
    checkpoint: dict[str, Any] | None = None
    answer: FlowAnswer | None = None


class StretchEnd(BaseModel):
    """How far it came: the flow's `output` and the `values` it leaves, or a `checkpoint` and the `question` there."""

    output: Any = None
    values: dict[f.Text, Any] = {}
    checkpoint: dict[str, Any] | None = None
    question: FlowQuestion | None = None
