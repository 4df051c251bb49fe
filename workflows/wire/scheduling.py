"""What a schedule submits. Pure."""

from datetime import datetime

from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.ids import scheduled_task_id
from workflows.wire.requests import ScheduledTaskStart, TaskRequest
from workflows.wire.validation import check_input, parsed


def scheduled_request(start: ScheduledTaskStart, nominal: datetime | None) -> TaskRequest:
    """The request for a nominal time. Raises SessionError: InvalidRequest, also where there is none; InputTooLarge."""
    if nominal is None:
        raise SessionError(ErrorType.INVALID_REQUEST, "no schedule has started this: it is for no nominal time")
    if "task_id" in start.request:
        raise SessionError(ErrorType.INVALID_REQUEST, "request: a schedule makes up the task_id itself")
    request = parsed(TaskRequest, {**start.request, "task_id": scheduled_task_id(start.schedule, nominal)})
    check_input(request.input)
    return request
