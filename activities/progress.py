"""Progress of a long activity: reported by its heartbeats, read again by the attempt that resumes it.

Only the newest report is kept, by the server, until the activity ends; none of them makes a history event.
"""

from temporalio import activity

from activities import stream
from workflows.wire.progress import Progress


def report(done: float, total: float | None = None, note: str | None = None) -> None:
    """Beat, and say that `done` of `total` units of work are done; `note` says what is being done, in one line.

    Cheap enough to call for each unit: the worker sends a report on at most every third of the activity's heartbeat
    timeout (every 30 s where it has none), and with an open stream (`activities/stream.py`) with the text. A plain
    `activity.heartbeat()` in between would wipe the progress out. Raises ValueError for numbers that are negative or
    not finite.
    """
    if out := stream.emitter():
        out.progress(done, total, note)
    else:
        activity.heartbeat(Progress(done=done, total=total, note=note))


def resumed() -> Progress | None:
    """Where the attempt before this one stood at its last report that was sent on; null at a first attempt.

    Raises ValueError where that attempt beat with something else than progress.
    """
    details = activity.info().heartbeat_details
    if not details or (isinstance(details[0], dict) and "stream" in details[0] and "done" not in details[0]):
        return None  # an attempt that told what it said, and nothing of how far it was
    return Progress.model_validate(details[0])
