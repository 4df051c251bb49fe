"""Whether a figure of a long run grows. Pure: times and values in, a judgement out."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

TOLERANCE = 1.10
"""The last third of a run by its first, at most. Allocators keep what they once needed, and garbage is collected when
it suits them: resident memory swings by some per cent between two minutes in which nothing was kept."""

STILL_RISING = 0.25
"""Of the whole rise, from the first third to the last, the share that comes after the middle third where something has
not come to rest. A straight line has a half there; what fills up, as a cache does, has little."""

FEWEST = 4
"""Values that each third needs: the median of fewer is one value with a name."""

Word = Literal["steady", "grows", "too few"]
Sample = tuple[float, float]
"""Seconds since the load began, and the value then."""


@dataclass(frozen=True)
class Drift:
    """The medians of the three thirds of a figure's time."""

    figure: str
    thirds: tuple[float, float, float] | None
    gates: bool = False

    @property
    def ratio(self) -> float | None:
        """The last third by the first; none with too few values."""
        return self.thirds[2] / self.thirds[0] if self.thirds and self.thirds[0] else None

    @property
    def word(self) -> Word:
        """The judgement: it grows where it is beyond the tolerance and has not come to rest."""
        if self.thirds is None:
            return "too few"
        first, middle, last = self.thirds
        rising = last - middle > STILL_RISING * (last - first)
        return "grows" if last > TOLERANCE * first and rising else "steady"

    @property
    def fails(self) -> bool:
        """Whether it grows and may not."""
        return self.gates and self.word == "grows"

    def as_json(self) -> str:
        """One line; `ours` is the last third."""
        first, middle, last = self.thirds or (None, None, None)
        numbers = {"ours": last, "first_third": first, "middle_third": middle, "ratio": self.ratio}
        shown = {name: float(f"{value:.5g}") for name, value in numbers.items() if value is not None}
        return json.dumps({"figure": self.figure, **shown, "judgement": self.word})


def drift(figure: str, samples: Sequence[Sample], begin: float, end: float, *, gates: bool = False) -> Drift:
    """Judge what was sampled from `begin`, when everything is warm, to `end`, in seconds."""
    bounds = [begin + (end - begin) * third / 3 for third in range(4)]
    parts = [[value for at, value in samples if since <= at <= until] for since, until in pairwise(bounds)]
    if min(map(len, parts)) < FEWEST:
        return Drift(figure, None, gates)
    first, middle, last = (float(statistics.median(part)) for part in parts)
    return Drift(figure, (first, middle, last), gates)
