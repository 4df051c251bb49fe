"""What differs between two versions of a session's context."""

from typing import Any

from pydantic import BaseModel, Field

from workflows.contract import ContextView, LogEntry, Turn
from workflows.wire.encoding import alike


class Changed(BaseModel):
    """A value before and after."""

    old: Any
    new: Any


class Difference(BaseModel):
    """What leads from version `old` to version `new`: values by key, whole turns, and who made the versions between.

    A list that only grew is under `appended`, with the items it grew by.
    """

    old: int
    new: int
    added: dict[str, Any] = Field(default_factory=dict)
    removed: dict[str, Any] = Field(default_factory=dict)
    changed: dict[str, Changed] = Field(default_factory=dict)
    appended: dict[str, list[Any]] = Field(default_factory=dict)
    turns_added: list[Turn] = Field(default_factory=list)
    turns_removed: list[Turn] = Field(default_factory=list)
    log: list[LogEntry] = Field(default_factory=list)

    @classmethod
    def between(cls, old: ContextView, new: ContextView) -> "Difference":
        """The difference of two views of one session; `new` may be the earlier version."""
        found = cls(old=old.version, new=new.version)
        before, after = old.values, new.values
        found.added = {key: value for key, value in after.items() if key not in before}
        found.removed = {key: value for key, value in before.items() if key not in after}
        for key in sorted(before.keys() & after.keys()):
            one, other = before[key], after[key]
            if alike(one, other):
                continue
            if isinstance(one, list) and isinstance(other, list) and alike(one, other[: len(one)]):
                found.appended[key] = other[len(one) :]
            else:
                found.changed[key] = Changed(old=one, new=other)
        kept = {turn.version for turn in old.transcript} & {turn.version for turn in new.transcript}
        found.turns_added = [turn for turn in new.transcript if turn.version not in kept]
        found.turns_removed = [turn for turn in old.transcript if turn.version not in kept]
        first, last = sorted((old.version, new.version))
        found.log = [entry for entry in new.log if first < entry.version <= last]
        return found
