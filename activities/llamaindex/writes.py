"""What the steps of a flow write to its store, and who wrote it.

LlamaIndex writes at once, not when a step ends. A checkpoint that is taken while other steps are under way must not
hold what those have written so far: they run again from it, and would write it twice.
"""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

from activities.llamaindex.theirs import DictState, InMemoryStateStore, StepWorkerStateContextVar

_ABSENT = object()


class Writes:
    """Each key that was written: by which run of a step, and what stood there before. Oldest first."""

    def __init__(self) -> None:
        self._of: dict[str, list[tuple[str | None, Any]]] = {}

    def note(self, step: str | None, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """`step` (a run of one; null for none) has made `after` of `before`."""
        for key in {**before, **after}:
            was, now = before.get(key, _ABSENT), after.get(key, _ABSENT)
            if not _same(was, now):
                self._of.setdefault(key, []).append((step, was))

    def settled(self, values: Mapping[str, Any], running: Collection[str]) -> dict[str, Any] | None:
        """`values` without what the steps `running` wrote.

        Null where that cannot be told: a step that has ended has written a key after one that is still under way.
        """
        found = dict(values)
        for key, writes in [*self._of.items()]:
            first = next((at for at, (step, _) in enumerate(writes) if step in running), None)
            if first is None:
                del self._of[key]
                continue
            if any(step not in running for step, _ in writes[first:]):
                return None
            found[key] = writes[first][1]
        return {key: value for key, value in found.items() if value is not _ABSENT}


def _same(one: Any, other: Any) -> bool:
    try:
        return one is other or bool(one == other)
    except Exception:  # noqa: BLE001 (whatever it is, it does not say that it is the same)
        return False


class WatchedStore:
    """A flow's store, whose writes are noted with the step that made them; all else is the store's own.

    Between a write of theirs and our note nothing else runs: the store is in memory and awaits nothing but its lock.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self._writes = Writes()
        self._last = self._values()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def set(self, path: str, value: Any) -> None:
        """As the store does."""
        await self._store.set(path, value)
        self._noted()

    async def set_state(self, state: Any) -> None:
        """As the store does."""
        await self._store.set_state(state)
        self._noted()

    async def clear(self) -> None:
        """As the store does."""
        await self._store.clear()
        self._noted()

    @asynccontextmanager
    async def edit_state(self) -> AsyncIterator[Any]:
        """As the store does."""
        async with self._store.edit_state() as state:
            yield state
        self._noted()

    def settled(self, running: Collection[str], serializer: Any) -> dict[str, Any] | None:
        """The state for a checkpoint, serialised, without what the steps `running` wrote; null where none can be had.

        Raises ValueError for what cannot be serialised.
        """
        values = self._writes.settled(self._values(), running)
        if values is None:
            return None
        state = self._store.checkpoint().state
        # Not the constructor of a typed state: it would check what the flow has left in there.
        kept = DictState(_data=values) if type(state) is DictState else state.model_copy(update=values)
        serialised: dict[str, Any] = InMemoryStateStore(kept).to_dict(serializer)
        return serialised

    def _values(self) -> dict[str, Any]:
        return values_of(self._store.checkpoint().state)

    def _noted(self) -> None:
        try:
            step = StepWorkerStateContextVar.get().state.invocation_id
        except LookupError:
            step = None
        now = self._values()
        self._writes.note(step, self._last, now)
        self._last = now


def values_of(state: Any) -> dict[str, Any]:
    """What a state holds, by key."""
    declared = {name: getattr(state, name) for name in type(state).model_fields}
    return {**declared, **dict(state.items())} if isinstance(state, DictState) else declared
