"""The session as a change of its code could leave it. The SDK wants the entry points declared again by each heir."""

from typing import Any

from temporalio import workflow

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
