"""The version log: each context version as the change that undoes it, not as a copy. Pure state.

Reading an old version walks the log backwards. A change too heavy for the log's share of the state is listed without
its undo data, and what lies before it can no longer be read.
"""

from collections.abc import Iterable
from datetime import datetime
from itertools import accumulate
from typing import Any

from pydantic import Field

from workflows.contract import LogEntry, Turn
from workflows.wire import limits
from workflows.wire.encoding import alike, json_bytes, model_bytes
from workflows.wire.fields import Carried


class Undo(Carried):
    """What leads from a version back to the one before it. A list is cut to `cut` items, then `append` follows."""

    set: dict[str, Any] = Field(default_factory=dict)
    unset: list[str] = Field(default_factory=list)
    cut: dict[str, int] = Field(default_factory=dict)
    append: dict[str, list[Any]] = Field(default_factory=dict)
    turns_removed: list[Turn] = Field(default_factory=list)
    turns_added: list[int] = Field(default_factory=list)

    @classmethod
    def of(cls, keys: Iterable[str], before: dict[str, Any], after: dict[str, Any]) -> "Undo":
        """What leads these keys from `after` back to `before`: of a list only the items that are not in both."""
        undo = cls()
        for key in keys:
            if key not in before:
                undo.unset += [key] if key in after else []
            elif shared := _shared(before[key], after.get(key)):
                undo.cut[key] = shared
                undo.append |= {key: before[key][shared:]} if before[key][shared:] else {}
            else:
                undo.set[key] = before[key]
        return undo

    @property
    def keys(self) -> list[str]:
        """The keys it brings back to what they were."""
        return sorted([*self.set, *self.unset, *self.cut])

    def apply(self, values: dict[str, Any], turns: dict[int, Turn]) -> None:
        """Bring `values` and `turns` back; no value is changed in place, for other versions may share it."""
        for key in self.unset:
            values.pop(key, None)
        for key, length in self.cut.items():
            values[key] = [*values[key][:length], *self.append.get(key, [])]
        values.update(self.set)
        for number in self.turns_added:
            turns.pop(number, None)
        turns.update((turn.version, turn) for turn in self.turns_removed)


class Change(LogEntry):
    """A log entry with its undo data, or null where that was too heavy to keep. `weight`: bytes it takes in the log."""

    undo: Undo | None = None
    weight: int = 0


def add_change(log: list[Change], version: int, by: str, at: datetime, undo: Undo) -> None:
    """Log a version, and keep the log in bounds: the oldest undo data goes first, then the oldest entries."""
    keys = undo.keys
    sizes = accumulate(json_bytes(key) + 1 for key in keys)
    changed = [key for key, size in zip(keys, sizes, strict=True) if size <= limits.LOG_KEYS_BYTES]
    change = Change(version=version, by=by, at=at, changed=changed, truncated=len(changed) < len(keys), undo=undo)
    change.weight = model_bytes(change)
    log.append(change)
    del log[: -limits.LOG_ENTRIES]
    excess = sum(change.weight for change in log) - limits.LOG_BYTES
    for change in log:
        if excess > 0 and change.undo is not None:
            excess -= change.weight
            change.undo = None
            change.weight = model_bytes(change)
            excess += change.weight
    while excess > 0:
        excess -= log.pop(0).weight


def _shared(one: Any, other: Any) -> int:
    """How many items two lists have in common at their beginning; 0 where one is no list."""
    if not isinstance(one, list) or not isinstance(other, list):
        return 0
    pairs = enumerate(zip(one, other, strict=False))
    return next((number for number, pair in pairs if not alike(*pair)), min(len(one), len(other)))
