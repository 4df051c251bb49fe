"""One turn with a session, as every door has it: wait until the task has ended or asks a person, and answer that."""

import asyncio
import contextlib
import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from temporalio.service import RPCError

from starter.client import Session
from starter.client.calls import NoWorkerError
from starter.client.session import LONGEST_LOOK
from workflows.contract import Question, TaskEvent, TaskRecord
from workflows.wire.approval import NO, YES
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.fields import UNDER_WAY
from workflows.wire.streaming import FROM_RECORD, Place

FIRST_LOOK = 0.25
"""Seconds until the first look whether a task asks: an ordinary answer of a model takes longer."""

TAKEN_SECONDS = 15.0
"""Until then a session takes an answer that it has got: as long as any update may take (`UPDATE_SECONDS`)."""

_ENDS = " \t\r\n.,!?\"'`"
_SHORT = {"y": "yes", "n": "no"}

_START = "0.0"  # the cursor before anything was told


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
    """The record of a task that has ended, or asks a person. Raises SessionError (UnknownTask; BudgetSpent as `taken`).

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
                    if record is not None:
                        await _not_in_vain(session, record)
                pause = min(2 * pause, LONGEST_LOOK)
            return end.result()
    finally:
        end.cancel()


async def events_of(
    session: Session, first: TaskRecord, *, after: str | None = None, answered: str | None = None
) -> AsyncIterator[TaskEvent]:
    """What a task does that stands as `first` says, until it has ended or asks a person; `after`: a cursor.

    `answered`: the question that has been answered, which a look of before may still show. A text that was not told
    before the end is in the record of `ended` alone.
    """
    if first.status not in UNDER_WAY:
        yield TaskEvent(type="ended", cursor=_START, record=first)
        return
    if first.waiting_for is not None and first.waiting_for.id != answered:
        yield TaskEvent(type="question", cursor=_START, record=first)
        return
    async with aclosing(session.stream(first.task_id, after)) as events:  # type: ignore[type-var]
        async for event in events:
            asks = event.record.waiting_for if event.record else None
            if event.type == "question" and asks is not None and asks.id == answered:
                continue
            if event.type == "restarted":
                now: TaskRecord | None = None
                with contextlib.suppress(NoWorkerError, RPCError):  # the stream sits out what restarts
                    now = await present(session, first.task_id)
                if now is not None and now.status not in UNDER_WAY:
                    # What was told of its last attempt is gone; the record has the text.
                    yield TaskEvent(type="ended", cursor=_START, record=now)
                    return
            if event.type == "text" and Place.of(event.cursor).attempt == FROM_RECORD:
                continue
            yield event
            if event.type == "question":
                return


async def taken(session: Session, task_id: str) -> TaskRecord:
    """The record of a task that has just been submitted. Raises SessionError (UnknownTask).

    One that would wait for a person to raise its session's budget is cancelled: raises SessionError (BudgetSpent).
    """
    record = await present(session, task_id)
    await _not_in_vain(session, record)
    return record


async def _not_in_vain(session: Session, record: TaskRecord) -> None:
    if record.status != "pending":
        return
    now = await session.snapshot()
    if now.status == "paused" and now.paused_by == "budget":
        await session.cancel(record.task_id, "the budget of the session is spent")
        raise SessionError(ErrorType.BUDGET_SPENT, "the budget of this session is spent; nothing was done")


async def present(session: Session, task_id: str) -> TaskRecord:
    """The record of a task as it is now, with its output. Raises SessionError (UnknownTask)."""
    record = await session.task(task_id)
    if record is None:
        raise SessionError(ErrorType.UNKNOWN_TASK, f"session {session.id!r} has no task {task_id!r}")
    return await session.result(task_id) if record.status not in UNDER_WAY and record.truncated else record


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
