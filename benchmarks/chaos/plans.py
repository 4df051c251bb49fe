"""What is going to be asked of the sessions, drawn from a seed, and how each task may end."""

from dataclasses import dataclass
from random import Random

DONE_KEY = "done"
"""The list in the context to which every task appends its id, and only one that completes may leave it there."""

INITIAL_CONTEXT = {"text": "as it was", DONE_KEY: []}

ACTS = {
    "quick": 8,
    "slow": 3,
    "raise": 2,
    "overreach": 1,
    "hang": 2,
    "linger": 1,
    "interrupt": 2,
    "ask": 3,
}
"""What a task does, by how often it is drawn. `overreach` returns a patch of which half does not fit; `hang` and
`linger` wait to be cancelled, `ask` for an answer; `interrupt` cancels the task before it and goes to the front."""

CANCELLED_ACTS = {"hang", "linger"}

_ENDINGS = {
    **dict.fromkeys(("quick", "slow", "interrupt", "ask"), "completed"),
    **dict.fromkeys(("raise", "overreach"), "failed"),
    **dict.fromkeys(CANCELLED_ACTS, "cancelled"),
}


@dataclass(frozen=True)
class Plan:
    """One task to be. `pause`: seconds before it is submitted; `seconds`: of work it begins with."""

    task_id: str
    act: str
    pause: float
    seconds: float


def plans(chance: Random, tasks: int, span: float) -> list[Plan]:
    """The tasks of one session, spread over about `span` seconds."""
    acts = chance.choices(list(ACTS), list(ACTS.values()), k=tasks)
    return [
        Plan(
            task_id=f"{number:02}-{act}",
            act=act,
            pause=min(chance.expovariate(tasks / span), span / 4),
            seconds=chance.uniform(1, 3) if act == "slow" else 0.0,
        )
        for number, act in enumerate(acts)
    ]


def may_end(act: str, status: str, *, interrupted: bool) -> bool:
    """Whether a task of that act may end so; any task may be cancelled by an interruption after it."""
    return status == _ENDINGS[act] or (interrupted and status == "cancelled")
