"""`/agui`: a thread is a session, a run is a task, or the answer to what one asks."""

import asyncio
import contextlib
from dataclasses import dataclass
from functools import partial
from typing import Any

from ag_ui.core import ResumeEntry
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from temporalio.service import RPCError

from starter.client import Session
from starter.client.calls import NoWorkerError
from starter.gateway.agui.interrupts import answer_in, question_in, said
from starter.gateway.agui.requests import Asked, asked_of_run, checked
from starter.gateway.agui.streams import RunStream, messages_of
from starter.gateway.answers import given_answer
from starter.gateway.asking import (
    NoAnswerError,
    answer,
    choice,
    events_of,
    present,
    session_id_of,
    taken,
    task_id_of,
)
from starter.gateway.bodies import read_json
from starter.gateway.callers import Caller, Desk, Found, caller_of
from starter.gateway.errors import invalid
from starter.gateway.sse import streamed
from workflows.contract import Question, TaskRecord
from workflows.wire.encoding import alike, preview
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.limits import PREVIEW_BYTES

THREAD = "agui-"
"""How the ids of sessions begin that stand for a thread."""

BY_ID = "session:"
"""Before the id of a session of the caller's that was opened elsewhere, in the place of a thread's."""


PASSED_SECONDS = 0.5
"""Until then an answer that a session has taken is in its task's history: that is one workflow task of it."""


@dataclass(frozen=True)
class Begun:
    """A task that a run has begun, or goes on with. `answered`: the question that it has answered.

    `note`: what is said before a question that is put again. `refused`: what is said of a call that was refused.
    """

    session: Session
    task_id: str
    answered: str | None = None
    note: str | None = None
    refused: str | None = None


class Runs:
    """The requests of that path."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create(self, request: Request) -> Response:
        """Submit a task, or answer what one asks, and tell what comes of it."""
        caller = caller_of(request)
        asked = asked_of_run(await read_json(request), request.path_params.get("kind"), self._desk.settings)
        if asked.resume is None and not asked.words:
            return await self._shown(caller, asked)
        begun, begin = await self._begun(caller, asked)
        session, task_id = begun.session, begun.task_id
        first = await taken(session, task_id)
        stream = RunStream(
            asked.thread_id, asked.run_id, task_id, asked.messages, note=begun.note, refused=begun.refused
        )

        events = events_of(session, first, answered=begun.answered)
        return streamed(stream.events(first, events, partial(_values, session), begin))

    async def _shown(self, caller: Caller, asked: Asked) -> Response:
        """What a client gets that has nothing yet: what was said, the state, and what goes on or is asked."""
        session = (await self._found(caller, asked.thread_id)).session
        running, context = (await session.snapshot()).running, await session.context()
        messages = messages_of(context.transcript, running)
        task_id = running.task_id if running else ""
        stream = RunStream(asked.thread_id, asked.run_id, task_id, messages, shows=True)
        if running is None:
            return streamed(stream.still(context.values))
        first = await present(session, task_id)
        return streamed(stream.events(first, events_of(session, first), partial(_values, session), context.values))

    async def cancel(self, request: Request) -> Response:
        """Cancel the task of a run, waiting or running; without a run the one that runs in the thread."""
        query = request.query_params
        thread_id = checked("threadId", query.get("threadId"))
        found = await self._found(caller_of(request), thread_id)
        if "runId" in query:
            task_id: str | None = task_id_of(checked("runId", query["runId"]))
        else:
            running = (await found.session.snapshot()).running
            task_id = running.task_id if running else None
        if task_id is None:
            raise SessionError(ErrorType.UNKNOWN_TASK, "no task runs in that thread")
        await present(found.session, task_id)
        await found.session.cancel(task_id)
        return JSONResponse({"threadId": thread_id, "status": "cancelling"}, 202)

    async def _begun(self, caller: Caller, asked: Asked) -> tuple[Begun, dict[str, Any] | None]:
        """What the run has begun, and the session's state where the client has another."""
        if asked.resume is not None:
            found = await self._found(caller, asked.thread_id)
            return await self._resumed(found.session, asked), await _other_state(found.session, asked)
        begin: dict[str, Any] | None = None
        try:
            found = await self._found(caller, asked.thread_id)
        except SessionError as error:
            if error.type != ErrorType.SESSION_NOT_FOUND or asked.thread_id.startswith(BY_ID):
                raise
            session = await self._desk.open(caller, self._session_id(caller, asked.thread_id), context=asked.state)
            found = Found(session, at_rest=True)
        else:
            begin = await _other_state(found.session, asked)
        return await self._said(found, asked), begin

    async def _said(self, found: Found, asked: Asked) -> Begun:
        """A message is the answer to what is asked, and a task where nothing is; a repeated run is the same task."""
        session, task_id = found.session, task_id_of(asked.run_id)
        asking = await found.asking()
        question = asking.waiting_for if asking is not None else None
        if asking is not None and question is not None and await session.task(task_id) is None:
            return await _answered(session, asking, question, asked.words)
        return await _submitted(session, asked)

    async def _resumed(self, session: Session, asked: Asked) -> Begun:
        """The answer to an interrupt. The same one as was given already is no fault: a run may be repeated."""
        entry = asked.resume
        found = question_in(entry.interrupt_id) if entry else None
        if entry is None or found is None:
            raise invalid("resume.0.interruptId", "is the id of no interrupt")
        task_id, question_id = found
        try:
            record = await present(session, task_id)
        except SessionError as error:
            if error.type not in {ErrorType.UNKNOWN_TASK, ErrorType.INVALID_REQUEST}:
                raise
            raise invalid("resume.0.interruptId", "is the id of no interrupt of this thread") from None
        question = record.waiting_for
        if question is None or question.id != question_id:
            if not await _repeats(session, record, question_id, entry):
                raise SessionError(ErrorType.NOT_WAITING, "that is no longer asked, and was not answered so")
        elif entry.status == "cancelled":
            await session.cancel(task_id, "the question was left unanswered")
        else:
            return await _answered(session, record, question, entry.payload, resumed=True)
        if asked.words and preview(asked.task_input(), PREVIEW_BYTES) != record.input_preview:  # else it is the old one
            return await _submitted(session, asked)
        return Begun(session, task_id, question_id)

    async def _found(self, caller: Caller, thread_id: str) -> Found:
        return await self._desk.look(caller, self._session_id(caller, thread_id))

    def _session_id(self, caller: Caller, thread_id: str) -> str:
        if thread_id.startswith(BY_ID):
            return thread_id.removeprefix(BY_ID)
        return session_id_of(THREAD, caller.owner, thread_id)


async def _submitted(session: Session, asked: Asked) -> Begun:
    task_id = task_id_of(asked.run_id)
    try:
        await session.submitted(asked.task_input(), task_id=task_id, kind=asked.kind, stream=True)
    except SessionError as error:  # a closed session still tells what its runs were
        if error.type != ErrorType.SESSION_CLOSED or await session.task(task_id) is None:
            raise
    return Begun(session, task_id)


async def _answered(
    session: Session, record: TaskRecord, question: Question, payload: Any, *, resumed: bool = False
) -> Begun:
    """Give an answer, in words or as the payload of a resume; what is none puts the question again."""
    try:
        value = answer_in(question, payload) if resumed else choice(question, payload)
    except NoAnswerError as error:
        return Begun(session, record.task_id, note=str(error))
    await answer(session, record.task_id, question, value)
    return Begun(session, record.task_id, question.id, refused=said(value) if question.data is not None else None)


async def _repeats(session: Session, record: TaskRecord, question_id: str, entry: ResumeEntry) -> bool:
    """Whether that is what the question was answered with."""
    if entry.status == "cancelled":
        return record.status == "cancelled"
    given = await given_answer(session, record.task_id, question_id)
    if given is None and record.status == "running":  # the session has taken it, and is passing it on
        await asyncio.sleep(PASSED_SECONDS)
        given = await given_answer(session, record.task_id, question_id)
    try:
        return given is not None and alike(answer_in(given.question, entry.payload), given.value)
    except NoAnswerError:
        return False


async def _values(session: Session) -> dict[str, Any] | None:
    with contextlib.suppress(NoWorkerError, RPCError, SessionError):  # what was answered is said all the same
        return (await session.context()).values
    return None


async def _other_state(session: Session, asked: Asked) -> dict[str, Any] | None:
    """The session's values, where the client has sent a state that is another; what it has sent is not taken."""
    if not asked.state:
        return None
    values = await _values(session)
    return None if values == asked.state else values
