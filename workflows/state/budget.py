"""What the tasks of a session have used, and what its budget leaves of it. Pure."""

import math
from collections.abc import Mapping

from workflows.wire.encoding import json_bytes
from workflows.wire.limits import USAGE_SUM_BYTES

Figures = Mapping[str, int | float]


def added(sums: Figures, usage: Figures | None, budget: Figures | None) -> dict[str, int | float]:
    """The sums with what one more task has used.

    A name that is new is summed where there is room for it, and always where the budget has it. A sum that no number
    can hold stays as it was.
    """
    after = dict(sums)
    for name, used in (usage or {}).items():
        total = after.get(name, 0) + used
        known = name in after or name in (budget or {})
        if math.isfinite(total) and (known or json_bytes({**after, name: total}) <= USAGE_SUM_BYTES):
            after[name] = total
    return after


def left(sums: Figures, budget: Figures | None) -> dict[str, int | float] | None:
    """What may still be used of each; null without a budget."""
    return None if budget is None else {name: max(0, number - sums.get(name, 0)) for name, number in budget.items()}


def spent(sums: Figures, budget: Figures | None) -> str | None:
    """What of the budget has been reached, in words; null while nothing has."""
    figures = reached(sums, budget)
    return ", ".join(f"{name} {used:g} of {number:g}" for name, (used, number) in figures.items()) or None


def reached(sums: Figures, budget: Figures | None) -> dict[str, tuple[int | float, int | float]]:
    """What of the budget has been reached: how much was used, and of how much."""
    return {name: (sums.get(name, 0), number) for name, number in (budget or {}).items() if sums.get(name, 0) >= number}
