"""Reading another session's context, for a session that begins with it."""

import asyncio
from contextlib import suppress
from typing import Any

from temporalio import activity
from temporalio.client import WorkflowHandle, WorkflowQueryFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.beating import beating
from activities.file_store import FilesError, FilesSettingError, store_of
from workflows.contract import ContextView, ForkSource
from workflows.wire.encoding import json_bytes
from workflows.wire.errors import NOT_READY, ErrorType, SessionError, refusal_in
from workflows.wire.files import file_of, moved, references_in
from workflows.wire.limits import CONTEXT_BYTES, CONTROL_TIMEOUT_SECONDS, FILE_ATTEMPTS, FORK_GLANCE_SECONDS


@activity.defn
async def read_context(source: ForkSource) -> ContextView:
    """The context of a session, open or closed, as of a version (default: now).

    Files of the source that its values and turns refer to are copied into the session that asks, which then owns its
    own; where that cannot be done its references stay, and reading one is refused by name.

    A source that is a fork itself is asked again until it has read its own, and one over which its worker's code fails
    until it does not: raises a retryable ApplicationError (NotReady). Raises non-retryable ones: SessionNotFound,
    UnknownVersion; InvalidRequest where it never will have, since it ended before that, or waits for the session that
    asks.
    """
    try:
        view = await _view(source)
    except ApplicationError as error:
        if error.type != ErrorType.UNKNOWN_VERSION:
            raise
        view = await _view(source.model_copy(update={"version": None}))
        if view.fork_of is None:
            raise
    waits_for = view.fork_of
    if waits_for is None:
        own = activity.info().workflow_id or ""
        return await beating(_with_own_files(view, source.session_id, own), CONTROL_TIMEOUT_SECONDS / 2)
    if (await _handle(source.session_id).describe()).close_time:
        message = f"{source.session_id!r} ended before it had read the context of {waits_for!r}"
        raise ApplicationError(message, type=ErrorType.INVALID_REQUEST, non_retryable=True)
    if await _waits_for(waits_for, activity.info().workflow_id):
        message = f"{source.session_id!r} waits for the context of this session itself"
        raise ApplicationError(message, type=ErrorType.INVALID_REQUEST, non_retryable=True)
    raise ApplicationError(f"{source.session_id!r} has not read the context of {waits_for!r} yet", type=NOT_READY)


async def _with_own_files(view: ContextView, source_id: str, own_id: str) -> ContextView:
    """The context, with copies of the source's files in the place of those."""
    try:
        store = store_of()
    except FilesSettingError:
        store = None
    keys: dict[str, str] = {}
    said = [[turn.input, turn.output] for turn in view.transcript]
    for reference in references_in([view.values, said]) if store else ():
        try:
            file = file_of(reference, source_id)
            if store and file.key not in keys:
                keys[file.key] = (await store.copy(file, own_id)).key
        except SessionError as error:  # what is no file of the source goes on as the JSON that it is
            if isinstance(error, FilesError) and error.passing and activity.info().attempt < FILE_ATTEMPTS:
                raise ApplicationError(error.message, type=error.type) from None
    values = moved(view.values, keys)
    if not keys or json_bytes(values) > CONTEXT_BYTES:
        return view
    transcript = [
        turn.model_copy(update={"input": moved(turn.input, keys), "output": moved(turn.output, keys)})
        for turn in view.transcript
    ]
    return view.model_copy(update={"values": values, "transcript": transcript})


async def _view(source: ForkSource) -> ContextView:
    try:
        view: ContextView = await _handle(source.session_id).query("context", source.version, result_type=ContextView)
    except WorkflowQueryFailedError as error:
        refusal = refusal_in(str(error))
        if refusal is None or refusal.type == ErrorType.KEY_MISSING:  # its worker is at fault, which another one mends
            raise ApplicationError(str(error), type=NOT_READY) from None
        raise ApplicationError(refusal.message, type=refusal.type, non_retryable=refusal.type != NOT_READY) from None
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        message = f"there is no session {source.session_id!r}"
        raise ApplicationError(message, type=ErrorType.SESSION_NOT_FOUND, non_retryable=True) from None
    return view


async def _waits_for(session_id: str, own: str | None) -> bool:
    """Whether that session waits for `own`, over however many others; a circle of others is for them to find."""
    seen: set[str] = set()
    following: str | None = session_id
    # Whoever is gone, or does not answer, waits for nobody as far as this attempt can tell.
    with suppress(ApplicationError, RPCError, TimeoutError):
        async with asyncio.timeout(FORK_GLANCE_SECONDS):
            while following and following != own and following not in seen:
                seen.add(following)
                following = (await _view(ForkSource(session_id=following))).fork_of
    return following == own


def _handle(session_id: str) -> WorkflowHandle[Any, Any]:
    return activity.client().get_workflow_handle(session_id)
