"""What every example tells its model, and what the model says where `SHOP_MODEL` names no real one.

That is enough to try tools, an approval and memory. Each framework's `model.py` puts it into that framework's words.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

INSTRUCTIONS = "You run a shop. Look an order up before you refund it. If a person refuses a refund, say so."
"""Real or not."""

INPUT_TOKENS, OUTPUT_TOKENS = 10, 5
"""What each request is said to have taken, for the sums of usage."""


@dataclass(frozen=True)
class Call:
    """A tool that the model wants called."""

    tool: str
    arguments: dict[str, Any]


def reply(asked: Sequence[str], last: tuple[str, str] | None) -> str | Call:
    """The next thing to say or do.

    `asked`: all that the person has said, oldest first; `last`: the newest tool called since then, and its result.
    """
    question = asked[-1]
    order = re.search(r"\b[A-Z]\d+\b", question)
    if "first" in question:
        return f"You first asked: {asked[0]}"
    if not order:
        return "Which order?"
    if last is None:
        return Call("look_up", {"order": order[0]})
    tool, result = last
    cost = re.search(r"(\d+) euros", result)
    if "refund" in question.lower() and tool == "look_up" and cost:
        return Call("refund", {"order": order[0], "cents": int(cost[1]) * 100})
    return f"{result.removesuffix('.')}."
