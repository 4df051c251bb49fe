"""What a task does: the calls of its workflow, by name, as its own history has them. The session is not asked."""

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.service import RPCError, RPCStatusCode

from starter.client.session import Session
from workflows.contract import task_workflow_id

NEWEST = 100
"""Events that a look reads, from the end: five to seven of them are one call."""

_NOTHING_TO_READ = {RPCStatusCode.NOT_FOUND, RPCStatusCode.UNIMPLEMENTED}
"""The task has not begun, or left long ago; or the server cannot read from the end, as the test server."""


class Steps:
    """The activities that one task calls, each told once."""

    def __init__(self, session: Session, task_id: str) -> None:
        self._temporal = session.temporal
        self._execution = WorkflowExecution(workflow_id=task_workflow_id(session.id, task_id))
        self._seen = 0

    async def look(self) -> list[str]:
        """What was called since the look before, oldest first: the summary of the call, else the activity's type.

        Of more than fit into `NEWEST` events the older ones are left out. Empty for a task that has not begun.
        """
        request = GetWorkflowExecutionHistoryReverseRequest(
            namespace=self._temporal.namespace, execution=self._execution, maximum_page_size=NEWEST
        )
        try:
            found = await self._temporal.workflow_service.get_workflow_execution_history_reverse(request)
        except RPCError as error:
            if error.status not in _NOTHING_TO_READ:
                raise
            return []
        events = found.history.events
        last = events[0].event_id if events else 0
        known, self._seen = self._seen if last >= self._seen else 0, last  # a task may go on in a run that counts anew
        called = [
            event
            for event in reversed(events)
            if event.event_id > known and event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
        ]
        return [await self._name(event) for event in called]

    async def _name(self, event: HistoryEvent) -> str:
        if event.user_metadata.summary.data:
            try:
                (summary,) = await self._temporal.data_converter.decode([event.user_metadata.summary], [str])
            except (ValueError, KeyError, RuntimeError):  # of a worker with another codec
                pass
            else:
                return str(summary)
        return event.activity_task_scheduled_event_attributes.activity_type.name
