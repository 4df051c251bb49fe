"""What callers, killer and activities saw, in files of their own: it is known without asking a session or a server."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ACKNOWLEDGED, CUT_OFF, ACTED, KILLED, RESTARTED = "acknowledged", "cut off", "acted", "killed", "restarted"
BEGAN, DONE = "began", "done"


@dataclass(frozen=True)
class Event:
    """`at`: seconds since the epoch. `acted`: a cancel or an answer was taken; `cut off`: nobody knows what was."""

    at: float
    what: str
    session: str = ""
    task_id: str = ""


@dataclass(frozen=True)
class Effect:
    """A mark that an activity left outside: it `began` an attempt, or was `done` with what it does.

    `run_id`: of the task's workflow; `amount`: what it was told to leave.
    """

    at: float
    what: str
    session: str
    task_id: str
    run_id: str
    attempt: int
    amount: int


class Log:
    """Appends to a file, one JSON object a line; several processes may write to the same one."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)

    def note(self, what: str, session: str = "", task_id: str = "") -> None:
        """Write what happened just now."""
        self.write(Event(time.time(), what, session, task_id))

    def write(self, entry: Event | Effect) -> None:
        """Write an entry: one call of the system, which no kill cuts in two."""
        self._file.write(json.dumps(asdict(entry)) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def events(path: Path) -> list[Event]:
    """The events in the order they were written."""
    return [Event(**json.loads(line)) for line in path.read_text().splitlines()]


def effects(path: Path) -> list[Effect]:
    """The effects in the order they were written; none where nothing was."""
    return [Effect(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []
