"""Reading another session's context, for a session that begins with it."""

from temporalio import activity
from temporalio.client import WorkflowQueryFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from workflows.contract import ContextView, ForkSource
from workflows.wire.errors import NOT_READY, ErrorType


@activity.defn
async def read_context(source: ForkSource) -> ContextView:
    """The context of a session, open or closed, as of a version (default: now).

    Raises non-retryable ApplicationError: SessionNotFound, UnknownVersion.
    """
    handle = activity.client().get_workflow_handle(source.session_id)
    try:
        view: ContextView = await handle.query("context", source.version, result_type=ContextView)
    except WorkflowQueryFailedError as error:
        name, _, message = str(error).partition(": ")
        raise ApplicationError(message, type=name, non_retryable=name != NOT_READY) from None
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        message = f"there is no session {source.session_id!r}"
        raise ApplicationError(message, type=ErrorType.SESSION_NOT_FOUND, non_retryable=True) from None
    return view
