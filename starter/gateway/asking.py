"""One turn with a session, as every door has it: wait until the task has ended or asks a person, and answer that."""

import asyncio
import contextlib
import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from temporalio.service import RPCError

from starter.client import Session
from starter.client.calls import NoWorkerError
from starter.client.session import LONGEST_LOOK
from workflows.contract import Question, TaskRecord
from workflows.wire.approval import NO, YES
from workflows.wire.encoding import canonical
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.markdown import words_of

FIRST_LOOK = 0.25
"""Seconds until the first look whether a task asks: an ordinary answer of a model takes longer."""

TAKEN_SECONDS = 15.0
"""Until then a session takes an answer that it has got: as long as any update may take (`UPDATE_SECONDS`)."""

_ENDS = " \t\r\n.,!?\"'`"
_SHORT = {"y": "yes", "n": "no"}

ENDED = frozenset({"completed", "failed", "cancelled", "timed_out", "expired", "rejected"})


class NoAnswerError(Exception):
    """What was said is none of the answers that a question has; the message says so to a person."""


def task_id_of(key: str | None) -> str:
    """The task id that an idempotency key stands for in its session; a new one without a key."""
    return f"task-{uuid.uuid4().hex}" if key is None else f"key-{_hash(key)}"


def session_id_of(prefix: str, owner: str | None, name: str | None) -> str:
    """The session id that a name of an owner's stands for, say a chat id; a new one without a name.

    Not to be guessed without knowing both, and of no other owner.
    """
    if name is None:
        return f"{prefix}{uuid.uuid4().hex}"
    return prefix + _hash(json.dumps([owner, name]))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]


async def settled(
    session: Session, task_id: str, wait: float | None, *, left: Callable[[], Awaitable[bool]] | None = None
) -> TaskRecord:
    """The record of a task that has ended, or asks a person. Raises SessionError (UnknownTask).

    Raises TimeoutError after `wait` seconds, and once the caller has `left`.
    """
    end = asyncio.create_task(session.result(task_id))
    try:
        async with asyncio.timeout(wait):
            pause = FIRST_LOOK
            while not (await asyncio.wait({end}, timeout=pause))[0]:
                if left and await left():
                    raise TimeoutError
                with contextlib.suppress(NoWorkerError, RPCError):  # who waits sits out what restarts
                    record = await session.task(task_id)
                    if record is not None and record.waiting_for is not None:
                        return record
                pause = min(2 * pause, LONGEST_LOOK)
            return end.result()
    finally:
        end.cancel()


@dataclass(frozen=True)
class TaskEvent:
    """One thing that happens in a task, with the place after it: `<attempt>.<position>`."""

    type: str
    cursor: str
    text: str | None = None
    record: TaskRecord | None = None


async def task_events(session: Session, task_id: str, after: str | None) -> AsyncIterator[TaskEvent]:
    """What happens in a task after that place, until it has ended or asks a person: its text whole, at the end."""
    record = await settled(session, task_id, None)
    if record.waiting_for is not None:
        yield TaskEvent("question", after or "1.0", record=record)
        return
    if record.status == "completed":
        text = words_of(record.output)
        text = canonical(record.output) if text is None else text
        position = int((after or "1.0").split(".")[1])
        if text[position:]:
            yield TaskEvent("text", f"1.{len(text)}", text=text[position:])
    yield TaskEvent("ended", after or "1.0", record=record)


async def present(session: Session, task_id: str) -> TaskRecord:
    """The record of a task as it is now, with its output. Raises SessionError (UnknownTask)."""
    record = await session.task(task_id)
    if record is None:
        raise SessionError(ErrorType.UNKNOWN_TASK, f"session {session.id!r} has no task {task_id!r}")
    return await session.result(task_id) if record.status in ENDED and record.truncated else record


async def answer(session: Session, task_id: str, question: Question, value: object) -> None:
    """Answer that question, and wait until its session has taken the answer. Raises SessionError (NotWaiting)."""
    await session.respond(task_id, value, question.id)
    async with asyncio.timeout(TAKEN_SECONDS):
        pause = 0.01
        while (record := await session.task(task_id)) is not None:
            if record.waiting_for is None or record.waiting_for.id != question.id:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_LOOK)


def choice(question: Question, words: str) -> str:
    """What `words` answer to that question: one of its choices, where it has some; else themselves.

    Case, blanks and the marks around them do not matter, `y` and `n` stand for yes and no, and a number for the choice
    at that place. Nothing is guessed. Raises NoAnswerError.
    """
    choices = question.choices
    if not choices:
        return words
    said = words.strip(_ENDS).casefold()
    folded = [each.strip(_ENDS).casefold() for each in choices]
    for meant in (said, _SHORT.get(said)):
        if meant and folded.count(meant) == 1:
            return choices[folded.index(meant)]
    if said.isascii() and said.isdecimal() and len(said) < 4 and 1 <= int(said) <= len(choices):  # noqa: PLR2004
        return choices[int(said) - 1]
    raise NoAnswerError("That is none of the answers to what was asked.")


def verdict(question: Question, *, approve: bool, reason: str | None) -> object:
    """What an approval says to that question. Raises NoAnswerError where it is no question of yes and no."""
    if not question.choices:
        raise NoAnswerError("That was asked for words, not for leave: the answer is a message.")
    meant = choice(question, YES if approve else NO)
    if question.data is not None and reason and meant != YES:
        return {"answer": meant, "reason": reason}
    return meant
