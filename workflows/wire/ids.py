"""The names that programs of any language find sessions and tasks by."""

from datetime import UTC, datetime

CONTRACT_VERSION = 1
SESSION_TYPE = "Session"  # the workflow type; refused as a task's kind
SCHEDULED_TASK_TYPE = "ScheduledTask"  # of what a schedule starts, which submits a task
NOTIFICATION_TYPE = "Notification"  # of what tells others of a session's events


def task_workflow_id(session_id: str, task_id: str) -> str:
    """The workflow id of a task: the only place that builds it."""
    return f"{session_id}/{task_id}"


def notification_id(session_id: str, number: int) -> str:
    """The workflow id of what tells of a session's events from that number on: no task's, whose ids have no slash."""
    return f"{session_id}/notify/{number}"


def schedule_id(session_id: str, schedule: str) -> str:
    """Temporal's id of a schedule of that session: the only place that builds it."""
    return f"{session_id}/{schedule}"


def scheduled_task_id(schedule: str, nominal: datetime) -> str:
    """The id of the task that a schedule submits for a nominal time: the same, whatever is done twice."""
    return f"{schedule}-{nominal.astimezone(UTC):%Y%m%dT%H%M%SZ}"
