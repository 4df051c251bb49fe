"""Hands what others are to be told to workflows that tell them: no receiver ever holds up the session."""

import asyncio
from contextlib import suppress

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ChildWorkflowError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from workflows.contract import NOTIFICATION_TYPE, notification_id
    from workflows.state.session_state import SessionState
    from workflows.wire.notifications import Notice, NotificationStart


class Telling:
    """Starts a `Notification` for what there is to tell, one after the other, each with as much as one may have.

    A child whose start is not known yet is lost with its parent's run: until then the run neither ends nor hands over.
    From there on it goes on by itself (ABANDON), whatever becomes of the session.
    """

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._starting: asyncio.Task[None] | None = None
        self._children: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether there is something that nothing else is known to tell yet."""
        return len(self._state.outbox) > 0 or self._starting is not None

    def carry_out(self) -> None:
        """Hand out what there is, beside everything else."""
        if len(self._state.outbox) > 0 and self._starting is None:
            self._starting = asyncio.create_task(self._start_all())

    async def done(self) -> None:
        """Wait until all is handed out, also where the session is cancelled meanwhile: it ends by itself then."""
        self.carry_out()
        while self.busy:
            with suppress(asyncio.CancelledError):
                await workflow.wait_condition(lambda: not self.busy)

    async def _start_all(self) -> None:
        while notices := self._state.outbox.batch(workflow.now()):
            await self._start(notices)
        self._starting = None

    async def _start(self, notices: list[Notice]) -> None:
        given = NotificationStart(session_id=self._state.session_id, notices=notices)
        try:
            child = await workflow.start_child_workflow(
                NOTIFICATION_TYPE,
                given.model_dump(mode="json"),
                id=notification_id(self._state.session_id, notices[0].number),
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                static_summary=", ".join(dict.fromkeys(notice.type for notice in notices)),
            )
        except WorkflowAlreadyStartedError:  # before the session was reset to an earlier point
            return
        heeded = asyncio.create_task(_end_of(child))
        self._children.add(heeded)
        heeded.add_done_callback(self._children.discard)


async def _end_of(child: workflow.ChildWorkflowHandle[object, object]) -> None:
    """Take note of the end, however it was: its own history says what became of each notification."""
    with suppress(ChildWorkflowError):
        await child
