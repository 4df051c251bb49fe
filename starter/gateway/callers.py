"""Who calls, and which sessions are theirs. A foreign session is told from an unknown one by nobody."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from temporalio.service import RPCError, RPCStatusCode

from starter.client import Session, SessionClient
from starter.gateway.keys import StoredKey
from starter.gateway.settings import ANY, GatewaySettings
from workflows.contract import SESSION_TYPE, Config, TaskRecord
from workflows.wire.attributes import OWNER, STATUS, owner_value
from workflows.wire.encoding import preview
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.limits import PREVIEW_BYTES


@dataclass(frozen=True)
class Caller:
    """Who sent a request: the name of a key, the owners whose sessions it opens (null: all), and whose it makes."""

    name: str
    owners: frozenset[str] | None
    owner: str | None

    @classmethod
    def of(cls, key: StoredKey, owner: str | None) -> "Caller":
        """Who has that key, and asks for new sessions to be `owner`'s; null for the first of the key.

        Raises ValueError for an owner that is none of the key.
        """
        if ANY in key.owners:
            return cls(key.name, None, owner)
        if owner is not None and owner not in key.owners:
            raise ValueError
        return cls(key.name, frozenset(key.owners), owner or key.owners[0])


@dataclass(frozen=True)
class Found:
    """A session of the caller's. `at_rest`: it is known that no task of it asks a person now."""

    session: Session
    at_rest: bool

    async def asking(self) -> TaskRecord | None:
        """The task that asks a person now, `waiting_for` what it says; null where none does."""
        running = None if self.at_rest else (await self.session.snapshot()).running
        return running if running is not None and running.waiting_for is not None else None


@dataclass(frozen=True)
class Desk:
    """What every door needs: the sessions, as a caller may have them, and the settings."""

    sessions: SessionClient
    settings: GatewaySettings

    async def find(self, caller: Caller, session_id: str) -> Session:
        """The session of that id. Raises SessionError (SessionNotFound), alike for none and for a foreign one."""
        return (await self.look(caller, session_id)).session

    async def look(self, caller: Caller, session_id: str) -> Found:
        """The same, with what the server's own knowledge of it says."""
        try:
            session = self.sessions.get(session_id)
        except SessionError:  # no id of any session
            raise _not_found(session_id) from None
        try:
            found = await self.sessions.temporal.get_workflow_handle(session_id).describe()
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            raise _not_found(session_id) from None
        if found.workflow_type != SESSION_TYPE:
            raise _not_found(session_id)
        # Written in the workflow task in which a task begins to ask.
        here = Found(session, at_rest=found.typed_search_attributes.get(STATUS) == "open")
        if caller.owners is None:
            return here
        owner = found.typed_search_attributes.get(OWNER)
        if owner is not None:
            theirs = owner in {owner_value(name) for name in caller.owners}
        else:  # a namespace without the attribute, or a session that has not run yet
            theirs = (await session.snapshot()).config.owner in caller.owners
        if not theirs:
            raise _not_found(session_id)
        return here

    async def enter(self, caller: Caller, session_id: str) -> Found:
        """The session of an id of the gateway's own making, opened for the caller where there is none yet."""
        try:
            return await self.look(caller, session_id)
        except SessionError as error:
            if error.type != ErrorType.SESSION_NOT_FOUND:
                raise
        return Found(await self.open(caller, session_id), at_rest=True)

    async def open(
        self,
        caller: Caller,
        session_id: str,
        *,
        labels: Mapping[str, str] | None = None,
        idle_timeout: float | None = None,
        context: Mapping[str, Any] | None = None,
        fork_of: Mapping[str, Any] | None = None,
    ) -> Session:
        """The session of that id, opened for the caller where there is none. Raises as `SessionClient.open` does.

        The id is the gateway's own making: nobody else has a session of that id.
        """
        config = Config(owner=caller.owner, labels=dict(labels or {}), idle_timeout=idle_timeout)
        return await self.sessions.open(session_id, config, context, fork_of)


def caller_of(request: Request) -> Caller:
    """Who sent that request, as the gateway's entrance has found out."""
    caller: Caller = request.state.caller
    return caller


def _not_found(session_id: str) -> SessionError:
    return SessionError(ErrorType.SESSION_NOT_FOUND, f"there is no session {preview(session_id, PREVIEW_BYTES)!r}")
