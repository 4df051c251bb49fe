"""How often a key may call: a bucket of tokens for each. Pure but for the clock that is given."""

from collections import OrderedDict
from collections.abc import Callable

BUCKETS = 10_000
"""Keys remembered at once; the one that called longest ago leaves first, and begins with a full bucket again."""


class Buckets:
    """A bucket for each key: `burst` tokens at first and at most, `rate` of them come back a second."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._clock = rate, float(burst), clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take a token; 0 where there was one, else the seconds until there is."""
        now = self._clock()
        tokens, at = self._buckets.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - at) * self._rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
        self._buckets[key] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > BUCKETS:
            self._buckets.popitem(last=False)
        return wait
