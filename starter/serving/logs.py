"""Log lines of a worker: text for people or JSON for machines, each with the session and the task it belongs to."""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from temporalio import activity, workflow

OURS = ("sessions", "temporalio.workflow", "temporalio.activity")
"""The loggers of this project, and of workflows and activities: only their debug lines keep out what users wrote."""

CORE = "temporalio.core"
"""The logger that gets the lines of the SDK's core."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_OF_EVERY_RECORD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
_OF_THE_SDK = {
    "temporal_workflow",
    "temporal_activity",
    "temporal_update",
    "temporal_log",
    "__temporal_error_identifier",
}


def set_up(log_format: str, level: str) -> None:
    """Write all log lines to stderr in that format. `level` is that of `OURS`; no other logger goes below info."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    chosen = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(chosen, logging.INFO), handlers=[handler])
    for name in OURS:
        logging.getLogger(name).setLevel(chosen)
    # What the SDK would append to each message is in the fields of the line.
    workflow.logger.workflow_info_on_message = activity.logger.activity_info_on_message = False


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the fields of `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a JSON object."""
        return json.dumps(self.fields(record), ensure_ascii=False, default=str)

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Time, level, logger, message, session and task; what the SDK and the caller (`extra=`) add; a traceback."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        place = _place(record)
        session_id, _, task_id = place.pop("workflow_id", "").partition("/")
        extra = {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD | _OF_THE_SDK}
        head = {"time": time, "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        return {
            **head,
            "session_id": session_id or None,
            "task_id": task_id or None,
            **{name: value for name, value in place.items() if value is not None},
            **extra,
            **head,  # in its place above, whatever the caller added
            **({"exception": self.formatException(record.exc_info)} if record.exc_info else {}),
        }


class TextFormatter(JsonFormatter):
    """`2026-11-23T09:00:00.000Z INFO sessions [demo/sun] message name=value`, and a traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        """The record in one line, whatever its texts contain, but for the traceback."""
        fields = {name: value for name, value in self.fields(record).items() if value is not None and name != "run_id"}
        traceback = fields.pop("exception", None)
        where = "/".join(str(fields.pop(name)) for name in ("session_id", "task_id") if name in fields)
        head = [fields.pop(name) for name in ("time", "level", "logger")]
        words = [*head, f"[{where}]" if where else "", fields.pop("message"), *(f"{n}={v}" for n, v in fields.items())]
        lines = [" ".join(word for word in words if word), *(traceback.split("\n") if traceback else ())]
        return "\n".join(_CONTROL.sub(lambda match: repr(match[0])[1:-1], line) for line in lines)


def _place(record: logging.LogRecord) -> dict[str, Any]:
    """The execution that wrote the line: as its own logger noted it, or as the context has it."""
    of_activity, of_workflow = getattr(record, "temporal_activity", None), getattr(record, "temporal_workflow", None)
    if of_activity is None and activity.in_activity():
        of_activity = vars(activity.info())
    if of_activity is not None:
        names = {"workflow_id": "workflow_id", "run_id": "workflow_run_id", "activity": "activity_type"}
        return {name: of_activity[field] for name, field in {**names, "attempt": "attempt"}.items()}
    if of_workflow is None and workflow.in_workflow():
        of_workflow = vars(workflow.info())
    return {name: of_workflow[name] for name in ("workflow_id", "run_id")} if of_workflow is not None else {}
