"""What a caller is told when it does not go well: a status, a name, one line, in the shape that OpenAI's clients read.

No text has a path, a stack or a key in it: those of the contract's errors name fields, ids and limits, and what else
goes wrong is told by its name alone.
"""

from collections.abc import Mapping
from typing import Any

from temporalio.service import RPCError, RPCStatusCode

from starter.client.calls import NoWorkerError
from starter.client.connection import NoServerError
from starter.client.erasure import NotErasedError
from workflows.wire.errors import ErrorType, SessionError

RETRY_SECONDS = 1
"""When a caller may try again what nobody could answer: a worker or a server that restarts takes a second or two."""

NO_RETRY = {"x-should-retry": "false"}
"""What keeps OpenAI's clients from sending again, as they do after 409 and 5xx, what would only end the same way."""

_STATUS: dict[str, int] = {
    ErrorType.SESSION_NOT_FOUND: 404,
    ErrorType.UNKNOWN_TASK: 404,
    ErrorType.SESSION_CLOSED: 409,
    ErrorType.TASK_ID_CONFLICT: 409,
    ErrorType.NOT_WAITING: 409,
    ErrorType.CONTEXT_CONFLICT: 409,
    ErrorType.QUEUE_FULL: 429,
    ErrorType.BUSY: 429,
    ErrorType.BUDGET_SPENT: 429,
    ErrorType.INPUT_TOO_LARGE: 413,
    ErrorType.KEY_MISSING: 503,
    ErrorType.FILE_TOO_LARGE: 413,
    ErrorType.FILE_NOT_FOUND: 404,
    ErrorType.FILES_UNAVAILABLE: 503,
}
"""Of the contract's refusals; all others are 400."""

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """The answer to a request that is refused or failed. `param`: the field that it is about; `code`: its name."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.param = status, code, message, param
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """As OpenAI has it."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")  # noqa: PLR2004
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def invalid(param: str, message: str, code: str = "invalid_value") -> ApiError:
    """400 for a field that does not fit."""
    return ApiError(400, code, f"{param}: {message}", param=param)


def unsupported(param: str, why: str) -> ApiError:
    """400 for what there is no such thing here for."""
    return ApiError(400, "unsupported_parameter", f"{param} is not supported: {why}", param=param)


def api_error(error: Exception) -> ApiError | None:
    """The answer that `error` means; null for a fault of our own."""
    told: ApiError | None = None
    match error:
        case ApiError():
            told = error
        case SessionError():
            told = _refused(error)
        case NoWorkerError():
            told = _away("no_worker", "no worker answers for this session now; what it has been sent is kept")
        case RPCError() if error.status == RPCStatusCode.INVALID_ARGUMENT:
            told = ApiError(400, "refused_by_server", "the Temporal server refuses the request")
        case NoServerError() | NotErasedError() | RPCError():
            told = _away("no_server", "the Temporal server does not do it now")
        case TimeoutError():
            told = ApiError(504, "still_running", "the task takes longer than a request waits; it goes on")
    return told


def _refused(error: SessionError) -> ApiError:
    status = _STATUS.get(error.type, 400)
    again = {"retry-after": str(RETRY_SECONDS)} if status == 429 else {}  # noqa: PLR2004 (Too Many Requests)
    in_vain = status == 409 or error.type == ErrorType.BUDGET_SPENT  # noqa: PLR2004 (Conflict)
    headers = NO_RETRY if in_vain else again
    return ApiError(status, _snake(error.type), error.message, headers=headers)


def _away(code: str, message: str) -> ApiError:
    return ApiError(503, code, message, headers={"retry-after": str(RETRY_SECONDS)})


def _snake(name: str) -> str:
    """`TaskIdConflict` as `task_id_conflict`: how OpenAI's codes are written."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
