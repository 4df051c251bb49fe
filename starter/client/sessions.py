"""Sessions for programs: the only place that knows ids, policies and how to wait.

client = await SessionClient.connect()
session = await client.open("demo", Config(owner="ada"))
answer = await session.ask("What colour is a banana?")
"""

from collections.abc import Mapping
from typing import Any

from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from starter.client.calls import SessionCalls
from starter.client.connection import connect, task_queue
from starter.client.finding import SessionFinder
from starter.client.session import Session
from workflows.contract import (
    SESSION_TYPE,
    Config,
    StartRequest,
)
from workflows.state.context import SessionContext
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.fairness import fairness_key
from workflows.wire.files import check_references
from workflows.wire.validation import check_fork, checked_id, parsed, sendable


class SessionClient(SessionFinder):
    """Opens, finds, lists and counts sessions on one Temporal server."""

    def __init__(self, client: Client, queue: str | None = None) -> None:
        super().__init__(client)
        self._queue = queue or task_queue()

    @classmethod
    async def connect(cls, address: str | None = None) -> "SessionClient":
        """Connect to `address`, or as the SDK's environment says. Raises NoServerError."""
        return cls(await connect(address))

    async def open(
        self,
        session_id: str,
        config: Config | Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        fork_of: Mapping[str, Any] | None = None,
    ) -> "Session":
        """Start the session, or join it where it is open already: then the other arguments change nothing.

        With `fork_of`, `{"session_id", "version"?}`, it begins with the context of that session, and is waited for
        until it has it. Raises SessionError: SessionClosed for an id whose session was closed; InvalidRequest and
        ContextTooLarge before anything is sent; what a fork failed of, like SessionNotFound. Raises NoWorkerError where
        none answers for a fork: it is open then, and to open it again is to wait for it again.
        """
        body = config.model_dump(exclude_none=True) if isinstance(config, Config) else config
        given = sendable({"config": body, "context": context, "fork_of": fork_of})
        start = parsed(StartRequest, {name: value for name, value in given.items() if value is not None})
        check_fork(start.fork_of, session_id)
        check_references(start.context, session_id)
        SessionContext.initial(start.context)  # refused by the session it would cost the id for good
        try:
            await self.temporal.start_workflow(
                SESSION_TYPE,
                start.model_dump(mode="json", exclude_none=True),
                id=checked_id(session_id),
                task_queue=self._queue,
                priority=Priority(fairness_key=fairness_key(start.config.owner)),
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            )
        except WorkflowAlreadyStartedError:
            why = await SessionCalls(self.temporal, session_id).why_closed()
            if why.type == ErrorType.SESSION_NOT_FOUND:  # erased since: it was there a moment ago
                why = SessionError(ErrorType.SESSION_CLOSED, f"session {session_id!r} was closed")
            raise why from None
        session = self.get(session_id)
        if start.fork_of:
            await session.forked()
        return session

    def get(self, session_id: str) -> "Session":
        """The session of that id, without looking whether there is one."""
        return Session(self.temporal, session_id, self._queue)
