"""LlamaIndex's own runtime, with somebody who looks on: what a flow does, tick by tick, and what it publishes."""

from collections.abc import Coroutine
from contextlib import AbstractContextManager
from typing import Any, Protocol

from activities.llamaindex.theirs import BaseInternalRunAdapterDecorator, BaseRuntimeDecorator, BasicRuntime, Runtime
from activities.llamaindex.writes import WatchedStore
from workflows.wire.escapes import escapes


class Watcher(Protocol):
    """Who looks on."""

    def published(self, event: Any) -> None:
        """Something for whoever reads the flow's stream; called within the step that wrote it, if one did."""
        ...

    async def ticked(self, tick: Any) -> None:
        """The flow has taken a step of its own account; it waits until this returns, and fails by what it raises."""
        ...

    def escaped(self, error: BaseException) -> None:
        """A step raised what would end the worker."""
        ...


class WatchedRuntime(BaseRuntimeDecorator):  # type: ignore[misc]  # the repository has no LlamaIndex
    """Runs one flow in this event loop. Other flows that it starts run unwatched."""

    def __init__(self, run_id: str, watcher: Watcher) -> None:
        super().__init__(BasicRuntime())
        self._run_id, self._watcher = run_id, watcher
        self._store: WatchedStore | None = None
        self.begun: Any = None
        """The state of the control loop that the run began with."""

    @property
    def store(self) -> WatchedStore:
        """The store of the run, which has begun."""
        if self._store is None:
            self._store = WatchedStore(self.get_external_adapter(self._run_id).get_state_store(()))
        return self._store

    def registering(self) -> AbstractContextManager[Any]:
        """What is made within gets this runtime; as inherited, it would be the one that this one decorates."""
        made: AbstractContextManager[Any] = Runtime.registering(self)
        return made

    def run_workflow(self, run_id: str, workflow: Any, init_state: Any, **options: Any) -> Any:
        """See base class."""
        if run_id == self._run_id:
            self.begun = init_state
        return super().run_workflow(run_id, workflow, init_state, **options)

    def get_internal_adapter(self, workflow: Any) -> Any:
        """See base class."""
        adapter = super().get_internal_adapter(workflow)
        return _Watched(adapter, self, self._watcher) if adapter.run_id == self._run_id else adapter


class _Watched(BaseInternalRunAdapterDecorator):  # type: ignore[misc]
    def __init__(self, adapter: Any, runtime: WatchedRuntime, watcher: Watcher) -> None:
        super().__init__(adapter)
        self._runtime, self._watcher = runtime, watcher

    def get_state_store(self, namespace: tuple[str, ...] = ()) -> Any:
        return super().get_state_store(namespace) if namespace else self._runtime.store

    async def write_to_event_stream(self, event: Any) -> None:
        await super().write_to_event_stream(event)
        self._watcher.published(event)

    async def after_tick(self, tick: Any) -> None:
        await super().after_tick(tick)
        await self._watcher.ticked(tick)

    async def wait_for_next_task(self, running: list[Any], pending: list[Any], timeout: float | None = None) -> Any:  # noqa: ASYNC109 (theirs)
        for start in pending:
            start.coro = self._held(start.coro)
        return await super().wait_for_next_task(running, pending, timeout)

    async def _held(self, step: Coroutine[Any, Any, Any]) -> Any:
        """An exit out of a task of its own would end the worker."""
        try:
            return await step
        except BaseException as error:
            if not escapes(error):
                raise
            self._watcher.escaped(error)
