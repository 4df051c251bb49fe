"""When the tasks of a session ended, without asking its worker: a long poll of the session's history."""

import asyncio
import contextlib
import time
from typing import Any, Self

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError

from workflows.contract import task_workflow_id

ANSWER_SECONDS = 60.0
"""The longest wait for one task; only a fault takes that long."""

NEXT_RUN_SECONDS = 0.01
"""Pause before the history of the next run is followed, after a session continued as new."""

DONE = EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED
"""The event by which a session learns that its task completed."""


class Completions:
    """Follows an open session from run to run while it is entered.

    A task ends with the moment its child's completion stands in the session's history. A query would cost the worker
    some of what is measured.
    """

    def __init__(self, session: WorkflowHandle[Any, Any]) -> None:
        self._session = session
        self._ended: dict[str, asyncio.Future[float]] = {}
        self._following: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to follow."""
        self._following = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        if self._following:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following

    async def of(self, task_id: str) -> float:
        """The moment (`time.perf_counter`) a task completed; waits for it. Raises TimeoutError."""
        return await asyncio.wait_for(self._end(task_workflow_id(self._session.id, task_id)), ANSWER_SECONDS)

    def _end(self, child: str) -> asyncio.Future[float]:
        return self._ended.setdefault(child, asyncio.get_running_loop().create_future())

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(RPCError):  # the server refuses a long poll now and then; it is sent again
                async for event in self._session.fetch_history_events(wait_new_event=True):
                    self._note(event)
            await asyncio.sleep(NEXT_RUN_SECONDS)

    def _note(self, event: HistoryEvent) -> None:
        if event.event_type == DONE:
            child = event.child_workflow_execution_completed_event_attributes.workflow_execution.workflow_id
            end = self._end(child)
            if not end.done():
                end.set_result(time.perf_counter())
