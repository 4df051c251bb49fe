"""How a run of a session begins: with a new state, or with what the run before it handed over. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from workflows.contract import StartRequest
from workflows.state.context import SessionContext
from workflows.state.session_state import SessionState
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.validation import check_fork, checked_id, explained, parsed


class UnreadableState(Exception):  # noqa: N818 (what is wrong, as the history shows it)
    """What a run of the session handed over does not fit this code: no fault of a caller, and no reason to end."""


def opened(start: Sequence[Any], session_id: str, now: datetime, *, continued: bool) -> SessionState:
    """The state that the start input stands for. Raises SessionError (InvalidRequest, ContextTooLarge).

    `continued`: whether a run before this one sent it. Nobody else may send a `state`; what does not fit of one raises
    UnreadableState, since other code may read it.
    """
    try:
        return _opened(start, session_id, now, continued=continued)
    except SessionError as error:
        if continued:
            raise UnreadableState(error.message) from None
        raise


def _opened(start: Sequence[Any], session_id: str, now: datetime, *, continued: bool) -> SessionState:
    if len(start) > 1:
        raise SessionError(ErrorType.INVALID_REQUEST, f"takes one argument, got {len(start)}")
    request = parsed(StartRequest, start[0] if start and start[0] is not None else {})
    if request.state is None:
        return new_state(request, checked_id(session_id), now)
    if not continued:
        raise SessionError(ErrorType.INVALID_REQUEST, "state: only a run hands it over, to the next one")
    try:
        return SessionState.model_validate(request.state)
    except ValidationError as error:
        raise SessionError(ErrorType.INVALID_REQUEST, f"state: {explained(error)}") from None


def new_state(request: StartRequest, session_id: str, now: datetime) -> SessionState:
    """A session at its beginning. Raises SessionError (InvalidRequest, ContextTooLarge)."""
    check_fork(request.fork_of, session_id)
    return SessionState(
        session_id=session_id,
        config=request.config,
        fork_of=request.fork_of,
        started_at=now,
        context=SessionContext.initial(request.context),
    )
