"""The session as a change of its code could leave it. The SDK wants the entry points declared again by each heir."""

from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue

with workflow.unsafe.imports_passed_through():
    from workflows.contract import SESSION_TYPE, Snapshot
    from workflows.session import SessionWorkflow

PATCH = "one-command-more"


@workflow.defn(name=SESSION_TYPE)
class OneCommandMore(SessionWorkflow):
    """Does one thing more at each step: a command that histories of before do not have."""

    @workflow.init
    def __init__(self, *start: Any) -> None:
        super().__init__(*start)

    @workflow.run
    async def run(self, *start: Any) -> Snapshot:
        return await super().run(*start)

    async def _step(self) -> None:
        workflow.upsert_memo({"steps": True})
        await super()._step()


@workflow.defn(name=SESSION_TYPE)
class OneGuardedCommandMore(SessionWorkflow):
    """The same, but only where the run has not gone past that point without it."""

    @workflow.init
    def __init__(self, *start: Any) -> None:
        super().__init__(*start)

    @workflow.run
    async def run(self, *start: Any) -> Snapshot:
        return await super().run(*start)

    async def _step(self) -> None:
        if workflow.patched(PATCH):
            workflow.upsert_memo({"steps": True})
        await super()._step()


@workflow.defn(name=SESSION_TYPE)
class OneCommandMoreForGood(SessionWorkflow):
    """The guard's end: every run that is left has the command or begins with this code."""

    @workflow.init
    def __init__(self, *start: Any) -> None:
        super().__init__(*start)

    @workflow.run
    async def run(self, *start: Any) -> Snapshot:
        return await super().run(*start)

    async def _step(self) -> None:
        workflow.deprecate_patch(PATCH)
        workflow.upsert_memo({"steps": True})
        await super()._step()


@workflow.defn(name=SESSION_TYPE)
class ShorterRuns(SessionWorkflow):
    """Hands over after each task: the same commands, but not where histories have them."""

    @workflow.init
    def __init__(self, *start: Any) -> None:
        super().__init__(*start)

    @workflow.run
    async def run(self, *start: Any) -> Snapshot:
        return await super().run(*start)

    def _may_hand_over(self) -> bool:
        return super()._may_hand_over() or (self._tasks > 0 and self._execution is None)


@workflow.defn(name=SESSION_TYPE)
class MoreTalkative(SessionWorkflow):
    """Other details, a query, an update and a signal more: nothing that a history of before speaks of."""

    @workflow.init
    def __init__(self, *start: Any) -> None:
        super().__init__(*start)

    @workflow.run
    async def run(self, *start: Any) -> Snapshot:
        return await super().run(*start)

    def _show(self) -> None:
        super()._show()
        workflow.set_current_details("all new")

    def _take(self, name: str, args: Sequence[RawValue]) -> None:
        if name != "no_such_signal":
            super()._take(name, args)

    @workflow.query
    def age(self) -> float:
        return (workflow.now() - workflow.info().start_time).total_seconds()

    @workflow.update
    async def rename(self, title: str) -> None:
        self._state.config.title = title
