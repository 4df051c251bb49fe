"""What a session and a task say to each other: its input and output, its questions and their answers."""

from typing import Any

from pydantic import Field

from workflows.wire import fields as f
from workflows.wire.fields import Carried, Request
from workflows.wire.ids import CONTRACT_VERSION


class ErrorInfo(Carried):
    """A named error."""

    type: str
    message: str


class Question(Carried):
    """What a task asks a person: an answer is one of `choices`, where there are any, and comes before `expires_at`.

    `data`: any JSON that the question is about, say a tool and its arguments. An answer to a question that has some may
    also be an object whose `answer` is one of the choices; what else is in it is for the task to read.
    """

    id: f.Name
    text: f.QuestionText
    choices: f.Choices | None = None
    expires_at: f.Timestamp | None = None
    data: Any = None


class WaitingNotice(Request):
    """From a task to its session: what it waits for a person to answer, or null when it waits no more.

    `run_id`: the task's first run; a notice that has one is taken from that run only.
    """

    task_id: f.Id
    question: Question | None
    run_id: str | None = None


class RefusalNotice(Request):
    """From a worker to a session: the server refuses what a task needs to go on, and would at every attempt.

    `run_id`: of the task's child, null where it is the start of the child that is refused.
    """

    task_id: f.Id
    run_id: str | None = None
    error: ErrorInfo


class Answer(Carried):
    """From a session to its task."""

    question_id: str
    value: Any


class Compaction(Request):
    """The turns up to version `through` leave the transcript: values of the same patch stand for them now."""

    through: f.ContextVersion


class ContextPatch(Request):
    """A change of context values, applied in the order unset, set, append; `compact` takes turns out as well."""

    set: f.Values = Field(default_factory=dict)
    unset: f.Keys = Field(default_factory=list)
    append: f.Appends = Field(default_factory=dict)
    # Left out where there is none: a session of before, which refuses what it does not know, takes the rest.
    compact: Compaction | None = Field(default=None, exclude_if=lambda given: given is None)


class Turn(Carried):
    """One finished task in the transcript; `version` is the context version it made."""

    task_id: str
    version: int
    input: Any = None
    output: Any = None
    finished_at: f.Timestamp
    finish_reason: f.FinishReason = None
    truncated: bool = False


class InjectedContext(Carried):
    """All that a task sees of its session, as of `version`. With `write` false it must return no patch."""

    version: int
    write: bool
    values: dict[str, Any]
    transcript: list[Turn]


class TaskInput(Carried):
    """The argument of every kind's `run`. `stream`: whether somebody asked to see what it says while it says it.

    `budget`: what the session's budget leaves of each figure that it names, for kinds that stop before it is spent.
    """

    contract: int = CONTRACT_VERSION
    session_id: str
    task_id: str
    input: Any
    context: InjectedContext
    stream: bool = False
    budget: dict[str, int | float] | None = None


class TaskOutput(Carried):
    """The result of every kind's `run`. `finish_reason`: why the output is not the whole answer, where it is not."""

    output: Any
    patch: ContextPatch | None = None
    usage: f.Usage | None = None
    finish_reason: f.FinishReason = None
