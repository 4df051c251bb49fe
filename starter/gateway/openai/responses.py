"""`/v1/responses`: a response is a task."""

import contextlib
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from starter.client import Session
from starter.client.erasure import Erasure
from starter.gateway.asking import (
    NoAnswerError,
    answer,
    choice,
    events_of,
    present,
    session_id_of,
    settled,
    taken,
    task_id_of,
    verdict,
)
from starter.gateway.bodies import idempotency_key, number_in, read_json
from starter.gateway.callers import Caller, Desk, caller_of
from starter.gateway.errors import ApiError, invalid, unsupported
from starter.gateway.openai.ids import RESPONSE, Ref, ref_in
from starter.gateway.openai.requests import Asked, asked_of_responses, check_no_files
from starter.gateway.openai.shapes import response
from starter.gateway.openai.streams import NEVER, ResponseStream
from starter.gateway.openai.uploads import with_files
from starter.gateway.sse import streamed
from workflows.contract import TaskRecord
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.fields import UNDER_WAY

OWN_SESSION = "resp-"
"""How the ids of sessions begin that a response has made for itself."""

CANCEL_SECONDS = 2.0
"""What a cancel waits for its task to end: most do at once, and a response in progress is a true answer too."""


_MOST = 2**53  # beyond it, numbers of JavaScript are no longer whole


@dataclass(frozen=True)
class Begun:
    """A task that a request has begun, or gone on with. `note`: what is said before a question that is put again."""

    session: Session
    ref: Ref
    note: str | None = None


class Responses:
    """The requests of that path."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create(self, request: Request) -> Response:
        """Submit a task, or answer what one asks, and wait for what comes of it unless that is for the background."""
        caller, key = caller_of(request), idempotency_key(request)
        asked = asked_of_responses(await read_json(request), self._desk.settings)
        begun = await self._begun(caller, asked, key)
        session, task_id = begun.session, begun.ref.task_id
        if asked.stream:
            stream = ResponseStream(begun.ref, _given(begun, asked))
            return self._streamed(session, stream, await taken(session, task_id), put_again=begun.note is not None)
        if asked.background:
            return JSONResponse(response(begun.ref, await taken(session, task_id), **_given(begun, asked)))
        try:
            record = await settled(session, task_id, self._desk.settings.wait, left=request.is_disconnected)
        except TimeoutError:
            record = await present(session, task_id)  # in progress; it can be retrieved
        return JSONResponse(response(begun.ref, record, **_given(begun, asked)))

    async def retrieve(self, request: Request) -> Response:
        """A response as it is now, or as the stream of what it says, after `starting_after`."""
        session, ref = await self._found(request)
        query = request.query_params
        if query.get("stream") == "true":
            seen = number_in(query.get("starting_after"), "starting_after", 0, _MOST, NEVER)
            first = await present(session, ref.task_id)
            return self._streamed(session, ResponseStream(ref, {"background": True}, seen), first)
        return JSONResponse(response(ref, await present(session, ref.task_id), background=True))

    async def cancel(self, request: Request) -> Response:
        """Cancel its task, waiting or running; one that has ended stays as it is."""
        session, ref = await self._found(request)
        await present(session, ref.task_id)
        await session.cancel(ref.task_id)
        with contextlib.suppress(TimeoutError):
            await session.result(ref.task_id, CANCEL_SECONDS)
        return JSONResponse(response(ref, await present(session, ref.task_id), background=True))

    async def delete(self, request: Request) -> Response:
        """Erase the session that a response has made for itself, where nothing has followed in it."""
        session, ref = await self._found(request)
        await present(session, ref.task_id)
        alone = session.id.startswith(OWN_SESSION) and (await session.snapshot()).counters.submitted == 1
        if not alone:
            raise unsupported(
                "the deletion of a turn", "others stand on it; DELETE of the conversation erases all of them"
            )
        await Erasure(session.temporal, session.id).run()
        return JSONResponse({"id": ref.id(RESPONSE), "object": "response", "deleted": True})

    def _streamed(
        self, session: Session, stream: ResponseStream, first: TaskRecord, *, put_again: bool = True
    ) -> Response:
        """`put_again`: its question was not answered, and is what the stream ends with."""
        answered = None if put_again else stream.ref.part
        return streamed(stream.events(first, events_of(session, first, after=stream.cursor, answered=answered)))

    async def _begun(self, caller: Caller, asked: Asked, key: str | None) -> Begun:
        if asked.approval is not None:
            return await self._approved(caller, asked, key)
        if asked.previous is not None:
            return await self._followed(caller, asked, key)
        if asked.conversation is not None:
            found = await self._desk.look(caller, asked.conversation)
            return await self._said(found.session, await found.asking(), asked, key)
        session = await self._desk.open(caller, session_id_of(OWN_SESSION, caller.owner, key))
        return await self._submitted(session, asked, key)

    async def _said(self, session: Session, asking: TaskRecord | None, asked: Asked, key: str | None) -> Begun:
        """A message is the answer to what is asked, and a task where nothing is."""
        if asking is None or asking.waiting_for is None:
            return await self._submitted(session, asked, key)
        question, ref = asking.waiting_for, Ref(session.id, asking.task_id, asking.waiting_for.id)
        try:
            check_no_files(asked)
            await answer(session, asking.task_id, question, choice(question, asked.words))
        except NoAnswerError as error:
            return Begun(session, ref, str(error))
        return Begun(session, ref)

    async def _approved(self, caller: Caller, asked: Asked, key: str | None) -> Begun:
        """The answer to a request for approval. One that was given already is no fault of a repeated request."""
        approval = asked.approval
        if approval is None or approval.ref.part is None:
            raise invalid("input", "is no answer")
        ref, session = approval.ref, await self._desk.find(caller, approval.ref.session_id)
        previous = ref_in(asked.previous, RESPONSE) if asked.previous else None
        if (previous and previous.session_id != ref.session_id) or asked.conversation not in {None, ref.session_id}:
            raise invalid("input", "the request for approval is of another conversation")
        record = await present(session, ref.task_id)
        question = record.waiting_for
        if question is None or question.id != ref.part:
            if key is None:
                raise SessionError(ErrorType.NOT_WAITING, "that is no longer asked")
            return Begun(session, ref)
        try:
            said = verdict(question, approve=approval.approve, reason=approval.reason)
        except NoAnswerError as error:
            return Begun(session, ref, str(error))
        await answer(session, ref.task_id, question, said)
        return Begun(session, ref)

    async def _followed(self, caller: Caller, asked: Asked, key: str | None) -> Begun:
        """In the session of the previous response, if that is its last; else in a new one that begins after it."""
        ref = ref_in(asked.previous or "", RESPONSE)
        if ref is None:
            raise _no_previous()
        try:
            session = await self._desk.find(caller, ref.session_id)
            record = await present(session, ref.task_id)
        except SessionError as error:
            if error.type in {ErrorType.SESSION_NOT_FOUND, ErrorType.UNKNOWN_TASK}:
                raise _no_previous() from None
            raise
        if record.waiting_for is not None:
            return await self._said(session, record, asked, key)
        if key is not None and await session.task(task_id_of(key)) is not None:
            return await self._submitted(session, asked, key, "reject")
        if record.status in UNDER_WAY:
            raise invalid("previous_response_id", "that response is still in progress", "response_in_progress")
        snapshot = await session.snapshot()
        newest = snapshot.recent[-1].task_id if snapshot.recent else None
        if snapshot.running is None and not snapshot.pending and newest == ref.task_id:
            with contextlib.suppress(_BusyError):
                return await self._submitted(session, asked, key, "reject")
        version = record.context_version.after
        if version is None:
            version = record.context_version.before
        fork = await self._desk.open(
            caller,
            session_id_of(OWN_SESSION, caller.owner, key),
            fork_of={"session_id": session.id, "version": version},
        )
        return await self._submitted(fork, asked, key)

    async def _submitted(self, session: Session, asked: Asked, key: str | None, on_busy: str | None = None) -> Begun:
        task_id = task_id_of(key)
        try:
            await session.submitted(
                await with_files(session, asked.task_input(), asked.uploads),
                task_id=task_id,
                kind=asked.model,
                labels=dict(asked.labels),
                on_busy=on_busy,
                stream=asked.stream or None,
            )
        except SessionError as error:
            if on_busy and error.type == ErrorType.BUSY:
                raise _BusyError from None
            raise
        return Begun(session, Ref(session.id, task_id))

    async def _found(self, request: Request) -> tuple[Session, Ref]:
        ref = ref_in(request.path_params["response_id"], RESPONSE)
        if ref is None:
            raise _not_found()
        try:
            return await self._desk.find(caller_of(request), ref.session_id), ref
        except SessionError as error:
            if error.type == ErrorType.SESSION_NOT_FOUND:
                raise _not_found() from None
            raise


class _BusyError(Exception):
    """Another task was quicker."""


def _given(begun: Begun, asked: Asked) -> dict[str, Any]:
    """What the record of a task does not have of its response."""
    return {
        "note": begun.note,
        "background": asked.background,
        "previous": asked.previous,
        "instructions": asked.instructions,
    }


def _not_found() -> ApiError:
    return ApiError(404, "response_not_found", "there is no such response", param="response_id")


def _no_previous() -> ApiError:
    return ApiError(
        400, "previous_response_not_found", "there is no such previous response", param="previous_response_id"
    )
