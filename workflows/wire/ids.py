"""The names that programs of any language find sessions and tasks by."""

CONTRACT_VERSION = 1
SESSION_TYPE = "Session"  # the workflow type; refused as a task's kind


def task_workflow_id(session_id: str, task_id: str) -> str:
    """The workflow id of a task: the only place that builds it."""
    return f"{session_id}/{task_id}"
