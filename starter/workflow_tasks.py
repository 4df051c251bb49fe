"""How the workflow task of a workflow failed, which the server gives to a worker again and again.

Of its attempts the history has the first; what is asked of the worker meanwhile gets no answer, or none with a reason.
"""

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import WorkflowTaskFailedEventAttributes
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client

_LAST_EVENTS = 100
"""Events of a page, read from the end of a history: what failed is behind the signals that came since."""


async def failed_workflow_task(
    client: Client, workflow_id: str, run_id: str = ""
) -> WorkflowTaskFailedEventAttributes | None:
    """How the workflow task failed that is tried again, if it did. Raises RPCError."""
    request = GetWorkflowExecutionHistoryReverseRequest(
        namespace=client.namespace,
        execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
        maximum_page_size=_LAST_EVENTS,
    )
    while True:
        page = await client.workflow_service.get_workflow_execution_history_reverse(request)
        for event in page.history.events:
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                return event.workflow_task_failed_event_attributes
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                return None
        if not page.next_page_token:
            return None
        request.next_page_token = page.next_page_token
