"""What is known after a chaos run, in plain values: the checker judges it, and tests make it up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.chaos.log import Effect, Event


@dataclass(frozen=True)
class Turn:
    """One finished task in a transcript."""

    task_id: str
    version: int
    input: Any
    output: Any


@dataclass(frozen=True)
class Memory:
    """A session's context as of a version: all of it, or what of it a task was given."""

    version: int
    values: Mapping[str, Any]
    turns: Sequence[Turn]


@dataclass(frozen=True)
class Change:
    """One version of the context: whose it is and which keys it changed."""

    version: int
    by: str
    keys: frozenset[str]


@dataclass(frozen=True)
class Result:
    """What a task's workflow returned; a patch has all of `set`, `unset` and `append`."""

    output: Any
    patch: Mapping[str, Any] | None


@dataclass(frozen=True)
class Child:
    """One run of a task's workflow, by its history. Times in seconds since the epoch.

    `status`: `running`, or how it ended; `named`: the session and the task that its input names.
    """

    task_id: str
    run_id: str
    started: float
    closed: float | None
    status: str
    named: tuple[str, str]
    input: Any
    memory: Memory
    result: Result | None


@dataclass(frozen=True)
class Ending:
    """One final record. Times in seconds since the epoch, as the session counts them: by its workflow tasks."""

    task_id: str
    status: str
    error: str | None
    submitted: float
    started: float | None
    run_id: str | None
    before: int | None
    after: int | None
    output: Any


@dataclass(frozen=True)
class Found:
    """One session afterwards. `counts`: tasks accepted (`submitted`) and ended, by its own count of each status.

    `refusals`: the errors of the messages that it refused.
    """

    session: str
    endings: Sequence[Ending]
    counts: Mapping[str, int]
    memory: Memory
    changes: Sequence[Change]
    refusals: Sequence[str]
    children: Sequence[Child]


@dataclass(frozen=True)
class Facts:
    """All that is known. A session that does not answer is missing; `at`: when they were asked."""

    events: Sequence[Event]
    effects: Sequence[Effect]
    sessions: Sequence[Found]
    at: float
    replayed: int = 0
    unreplayable: Sequence[str] = ()
