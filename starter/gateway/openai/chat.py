"""`/v1/chat/completions`: a chat with an id is a session, a request without one an isolated task."""

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from starter.client import Session
from starter.gateway.asking import (
    NoAnswerError,
    answer,
    choice,
    events_of,
    session_id_of,
    settled,
    taken,
    task_id_of,
)
from starter.gateway.bodies import idempotency_key, read_json
from starter.gateway.callers import Caller, Desk, caller_of
from starter.gateway.errors import NO_RETRY, ApiError, invalid, unsupported
from starter.gateway.openai.ids import Ref
from starter.gateway.openai.requests import Asked, asked_of_chat, check_no_files
from starter.gateway.openai.shapes import completion
from starter.gateway.openai.streams import chunks
from starter.gateway.openai.uploads import with_files
from starter.gateway.shown import failure
from starter.gateway.sse import streamed
from workflows.contract import ISOLATED, TaskEvent
from workflows.wire.errors import ErrorType, SessionError

CHAT_HEADERS = ("x-openwebui-chat-id", "x-librechat-conversation-id", "x-conversation-id")
"""Where a chat says which one it is: Open WebUI does so itself, LibreChat where its settings say so."""

CHAT_ID_CHARS = 255
"""Longer than any that these make: UUIDs, with a word before."""

CHAT, ALONE = "chat-", "once-"
"""How the ids of sessions begin that stand for a chat, or for one request."""

ALONE_SECONDS = 3_600.0
"""A session for one request is closed at once; where the gateway died before that, it ends an hour after its task."""

_NONE_YET = frozenset({"", "new", "null", "undefined"})
"""What clients send in the place of an id that a chat has not got yet."""


class Chat:
    """The requests of that path."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create(self, request: Request) -> Response:
        """Submit a task, or answer what one asks, and wait until it has ended or asks."""
        caller, key, chat_id = caller_of(request), idempotency_key(request), _chat_id(request)
        asked = asked_of_chat(await read_json(request), self._desk.settings, remembered=chat_id is not None)
        if chat_id is None:
            session, ref, note = await self._alone(caller, asked, key)
        else:
            session, ref, note = await self._in_chat(caller, chat_id, asked, key)
        if asked.stream:
            first = await taken(session, ref.task_id)
            events = events_of(session, first, answered=None if note else ref.part)
            if chat_id is None:
                events = _unasked(session, ref.task_id, events)
            return streamed(chunks(ref, first, events, note=note, with_usage=asked.with_usage))
        record = await settled(session, ref.task_id, self._desk.settings.wait, left=request.is_disconnected)
        if chat_id is None and record.waiting_for is not None:
            raise await _nobody_to_ask(session, ref.task_id)
        if record.status != "completed" and record.waiting_for is None:
            raise ApiError(500, "task_failed", failure(record), headers=NO_RETRY)
        return JSONResponse(completion(ref, record, note))

    async def _alone(self, caller: Caller, asked: Asked, key: str | None) -> tuple[Session, Ref, str | None]:
        """A task that sees nothing and leaves nothing, in a session that ends with it."""
        session_id, task_id = session_id_of(ALONE, caller.owner, key), task_id_of(key)
        try:
            session = await self._desk.open(caller, session_id, idle_timeout=ALONE_SECONDS)
            await session.submitted(
                await with_files(session, asked.task_input(), asked.uploads),
                task_id=task_id,
                kind=asked.model,
                labels=dict(asked.labels),
                context=ISOLATED,
                stream=asked.stream or None,
            )
            await session.close("drain")
        except SessionError as error:  # a repeated request finds the session of the first one closed, or closing
            session = self._desk.sessions.get(session_id)
            if error.type != ErrorType.SESSION_CLOSED or key is None or await session.task(task_id) is None:
                raise
        return session, Ref(session_id, task_id), None

    async def _in_chat(
        self, caller: Caller, chat_id: str, asked: Asked, key: str | None
    ) -> tuple[Session, Ref, str | None]:
        found = await self._desk.enter(caller, session_id_of(CHAT, caller.owner, chat_id))
        session, asking = found.session, await found.asking()
        if asking is not None and asking.waiting_for is not None:
            question, ref = asking.waiting_for, Ref(session.id, asking.task_id, asking.waiting_for.id)
            try:
                check_no_files(asked)
                await answer(session, asking.task_id, question, choice(question, asked.words))
            except NoAnswerError as error:
                return session, ref, str(error)
            return session, ref, None
        ref = Ref(session.id, task_id_of(key))
        await session.submitted(
            await with_files(session, asked.task_input(), asked.uploads),
            task_id=ref.task_id,
            kind=asked.model,
            labels=dict(asked.labels),
            stream=asked.stream or None,
        )
        return session, ref, None


async def _unasked(session: Session, task_id: str, events: AsyncIterator[TaskEvent]) -> AsyncIterator[TaskEvent]:
    async for event in events:
        if event.type == "question":
            raise await _nobody_to_ask(session, task_id)
        yield event


async def _nobody_to_ask(session: Session, task_id: str) -> ApiError:
    await session.cancel(task_id, "nobody to ask")
    return unsupported("a request without a chat id", "the task asks a person, and its answer has no way back")


def _chat_id(request: Request) -> str | None:
    """The id of a chat that a request is of; null where it is of none. Raises ApiError."""
    for name in CHAT_HEADERS:
        value = request.headers.get(name, "").strip()
        if value in _NONE_YET or value.startswith("{{"):  # a placeholder that nobody has filled in
            continue
        if len(value) > CHAT_ID_CHARS:
            raise invalid(name, f"must have {CHAT_ID_CHARS} characters at most")
        return value
    return None
