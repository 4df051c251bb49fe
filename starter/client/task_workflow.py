"""The workflow of one task, as the server tells of it: its session is asked nothing, and no worker."""

import asyncio
from typing import Literal

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHistoryEventFilterType
from temporalio.service import RPCError

from workflows.contract import task_workflow_id

FIRST_POLL, LONGEST_POLL = 2.0, 10.0
"""Seconds that one poll for the end of a task's workflow is held, each twice as long as the one before.

A loaded server may tell a poll of the end 20 s late (4 of 834 calls), but a new one at once: so a short task is late by
two seconds at most. Between two polls a caller sees whether the session is still there."""

Sight = Literal["unseen", "ended", "unsure"]
"""What was seen of it: nothing yet, its end, or that it goes on, of which the session has to be asked."""


class TaskWorkflow:
    """Waits for the end of a task's workflow by long polls, which cost neither session nor worker anything."""

    def __init__(self, temporal: Client, session_id: str, task_id: str) -> None:
        self._session = temporal.get_workflow_handle(session_id)
        self._child = temporal.get_workflow_handle(task_workflow_id(session_id, task_id))

    async def wait(self, run_id: str | None = None) -> Sight:
        """Wait for its end, if it is there. How it ended is for the session to say.

        Returns `unsure`, after a poll, where the session may be over, or the workflow a stranger's: it is the session's
        own if the session's present run started it, or has said that the task's first run is `run_id`.
        """
        poll, own = FIRST_POLL, False
        while True:
            try:
                async with asyncio.timeout(poll) as held:
                    await self._end()
                    return "ended"
            except TimeoutError:
                if not held.expired():
                    raise
            except RPCError:
                return "unseen"
            try:
                session = await self._session.describe()
                if session.status != WorkflowExecutionStatus.RUNNING:
                    return "unsure"
                own = own or await self._is_own(session.run_id, run_id)
            except RPCError:
                return "unsure"
            if not own:
                return "unsure"
            poll = min(2 * poll, LONGEST_POLL)

    async def _end(self) -> None:
        """Return once its last run has ended. What it returned is not read: that may take a key."""
        while True:
            async for event in self._child.fetch_history_events(
                wait_new_event=True, event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT, skip_archival=True
            ):
                if not event.HasField("workflow_execution_continued_as_new_event_attributes"):
                    return

    async def _is_own(self, session_run_id: str, run_id: str | None) -> bool:
        child = await self._child.describe()
        first_run_id = child.raw_description.workflow_execution_info.first_run_id
        return child.parent_run_id == session_run_id or (run_id is not None and first_run_id == run_id)
