"""What callers and killer saw, in a file of its own: what was acknowledged is known without asking a session."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ACKNOWLEDGED, CUT_OFF, ACTED, KILLED, RESTARTED = "acknowledged", "cut off", "acted", "killed", "restarted"


@dataclass(frozen=True)
class Event:
    """`at`: seconds since the epoch. `acted`: a cancel or an answer was taken; `cut off`: nobody knows what was."""

    at: float
    what: str
    session: str = ""
    task_id: str = ""
    act: str = ""


class Log:
    """Appends events to a file, one JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)

    def note(self, what: str, session: str = "", task_id: str = "", act: str = "") -> None:
        """Write what happened just now."""
        self._file.write(json.dumps(asdict(Event(time.time(), what, session, task_id, act))) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> list[Event]:
    """The events in the order they were written."""
    return [Event(**json.loads(line)) for line in path.read_text().splitlines()]
