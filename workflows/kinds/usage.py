"""What a task has cost, summed over all runs of its agent: an approval in between makes a run end and another begin."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any

from pydantic import BaseModel


class UsageSum:
    """Adds up what each run of an agent says it used, for `TaskOutput.usage`.

    pydantic-ai's `result.usage` counts one `agent.run`, so each is added. OpenAI Agents carries its count along in the
    state that a run resumes from: there the last one is the whole.
    """

    def __init__(self) -> None:
        self._sums: dict[str, int | float] = {}

    def add(self, usage: Any) -> None:
        """Add the figures of one run: a mapping, a dataclass or a pydantic model, as frameworks have it, or nothing.

        What is no finite number is left out, nested details included; so are zeros, for all figures of a task have to
        fit in 512 bytes. Raises TypeError for anything else.
        """
        for name, value in _figures(usage):
            figure = float(value) if isinstance(value, Decimal) else value  # as pydantic-ai has a cost
            is_number = isinstance(figure, int | float) and not isinstance(figure, bool)
            if is_number and figure and math.isfinite(figure):
                self._sums[name] = self._sums.get(name, 0) + figure

    @property
    def total(self) -> dict[str, int | float]:
        """The sums so far, by name."""
        return dict(self._sums)

    def reached(self, budget: Mapping[str, int | float] | None) -> bool:
        """Whether the sums so far have used up one of the figures that `TaskInput.budget` leaves; then a task stops."""
        return any(self._sums.get(name, 0) >= rest for name, rest in (budget or {}).items())


def _figures(usage: Any) -> Iterable[tuple[str, Any]]:
    if usage is None:
        return ()
    if isinstance(usage, BaseModel):
        return iter(usage)
    if isinstance(usage, Mapping):
        return ((str(name), value) for name, value in usage.items())
    if is_dataclass(usage) and not isinstance(usage, type):
        return ((field.name, getattr(usage, field.name)) for field in fields(usage))
    raise TypeError(f"a {type(usage).__name__} is no usage: it takes a mapping, a dataclass or a pydantic model")
