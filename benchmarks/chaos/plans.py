"""What is going to be asked of the sessions, drawn from a seed, and how each task may end."""

from dataclasses import dataclass
from random import Random
from typing import Any

DONE_KEY, SUM_KEY, NOTE_KEY = "done", "sum", "note"
"""What tasks leave in the context: a list to which each appends its id, the sum of their amounts, and the word of the
last one with an odd amount, which an even one removes. So every later task depends on each that completed before it."""

INITIAL_CONTEXT: dict[str, Any] = {"text": "as it was", DONE_KEY: [], SUM_KEY: 0}

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

QUICK_SECONDS = 0.3
"""The longest that anything but `slow` works: enough to be killed in it now and then."""

_ENDINGS = {
    **dict.fromkeys(("quick", "slow", "interrupt", "ask"), ("completed", None)),
    "raise": ("failed", "OutOfTea"),
    "overreach": ("failed", "InvalidOutput"),
    **dict.fromkeys(CANCELLED_ACTS, ("cancelled", "TaskCancelled")),
}

_WORDS = ("amber", "birch", "cobalt", "dune", "ember", "fjord", "grove", "harbor", "indigo", "juniper")


@dataclass(frozen=True)
class Plan:
    """One task to be. `pause`: seconds before it is submitted; `seconds`: of work it begins with.

    `amount` and `word` are its own: they are in what it does, leaves and answers, and no other task's may be there.
    """

    task_id: str
    act: str
    pause: float
    seconds: float
    amount: int
    word: str

    @property
    def input(self) -> dict[str, Any]:
        """The task's input."""
        return {"act": self.act, "seconds": self.seconds, "amount": self.amount, "word": self.word}


def plans(chance: Random, tasks: int, span: float) -> list[Plan]:
    """The tasks of one session, spread over about `span` seconds."""
    acts = chance.choices(list(ACTS), list(ACTS.values()), k=tasks)
    return [
        Plan(
            task_id=f"{number:02}-{act}",
            act=act,
            pause=min(chance.expovariate(tasks / span), span / 4),
            seconds=chance.uniform(1, 3) if act == "slow" else chance.uniform(0, QUICK_SECONDS),
            amount=chance.randrange(1, 1_000_000),
            word=f"{chance.choice(_WORDS)} {chance.randrange(1_000_000)}",
        )
        for number, act in enumerate(acts)
    ]


def may_end(act: str, status: str, error: str | None, *, interrupted: bool) -> bool:
    """Whether a task of that act may end so; any task may be cancelled by an interruption after it."""
    return (status, error) in {_ENDINGS[act], *([("cancelled", "TaskCancelled")] if interrupted else [])}
