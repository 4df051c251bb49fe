"""What each signal asks of a session. Pure: a name and a decoded body in, a changed state out."""

from datetime import datetime
from typing import Any

from workflows.contract import (
    CancelRequest,
    CloseRequest,
    RefusalNotice,
    RespondRequest,
    TaskRequest,
    WaitingNotice,
)
from workflows.state.session_state import SessionState
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.validation import parsed

DESCRIPTION = (
    'Choose Custom, then a name and its data: submit {"task_id", "input"}, respond {"task_id", "value"}, '
    'cancel_task {"task_id"}, close {"mode"}, pause, resume. User Metadata has them ready to paste.'
)


def act(state: SessionState, name: str, body: Any, now: datetime) -> None:
    """Do what the signal asks. Raises SessionError and changes nothing."""
    match name:
        case "submit":
            state.accept(parsed(TaskRequest, body), now)
        case "cancel_task":
            state.cancel(parsed(CancelRequest, body), now)
        case "task_waiting":
            state.wait(parsed(WaitingNotice, body))
        case "task_refused":
            state.refuse_task(parsed(RefusalNotice, body), now)
        case "respond":
            state.respond(parsed(RespondRequest, body), now)
        case "pause" if body is None:
            state.pause("caller")
        case "resume" if body is None:
            state.resume()
        case "pause" | "resume":
            raise SessionError(ErrorType.INVALID_REQUEST, "takes no argument")
        case "close":
            state.close(parsed(CloseRequest, {} if body is None else body), now)
        case _:
            raise SessionError(ErrorType.INVALID_REQUEST, "there is no signal of that name")
