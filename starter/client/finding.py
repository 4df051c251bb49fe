"""Finding sessions: lists in pages and counts, by status and by owner."""

import contextlib
from base64 import b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from datetime import datetime
from typing import get_args
from zlib import crc32

from pydantic import BaseModel
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionCount
from temporalio.service import RPCError, RPCStatusCode

from workflows.contract import SESSION_TYPE
from workflows.wire.attributes import COMMAND, NAMES, OWNER, STATUS, owner_of, owner_value
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.fields import ListedStatus

PAGE_SIZE = 1_000
"""What a server gives at once at most."""

_CHECKSUM = 4
"""Bytes of a page's checksum: a server may answer a damaged token with `please retry`, which the SDK does for long."""

# How Temporal calls the end of a workflow.
_ENDS: dict[ListedStatus, str] = {
    "closed": "Completed",
    "failed": "Failed",
    "cancelled": "Canceled",
    "terminated": "Terminated",
    "timed_out": "TimedOut",
}
_STATUS_OF = {end: status for status, end in _ENDS.items()}
_TOLD_BY_SESSIONS: tuple[ListedStatus, ...] = ("waiting", "paused", "draining")


class SessionListing(BaseModel):
    """One session in a list. `status` is a ListedStatus, `started_at` the start of its present run."""

    session_id: str
    status: str
    owner: str | None
    started_at: datetime
    closed_at: datetime | None


class SessionPage(BaseModel):
    """A part of a list; `next_page` asks for what follows, null at the end."""

    sessions: list[SessionListing]
    next_page: str | None


class SessionFinder:
    """Lists and counts the sessions of one namespace, as its visibility store has them: a moment late.

    A filter by owner, or by one of the first four statuses, needs the search attributes SessionStatus and SessionOwner;
    where the namespace lacks them, every method raises SessionError (InvalidRequest) for it.
    """

    def __init__(self, temporal: Client) -> None:
        self.temporal = temporal

    async def list(
        self, limit: int = 100, *, status: ListedStatus | None = None, owner: str | None = None
    ) -> AsyncIterator[SessionListing]:
        """Sessions, at most `limit`: first those that go on, newest first, then those that ended, last ended first."""
        page: str | None = None
        while limit > 0:
            found = await self.page(min(limit, PAGE_SIZE), status=status, owner=owner, page=page)
            for listing in found.sessions:
                yield listing
            limit, page = limit - len(found.sessions), found.next_page
            if page is None:
                return

    async def page(
        self, size: int = 100, *, status: ListedStatus | None = None, owner: str | None = None, page: str | None = None
    ) -> SessionPage:
        """One page of that list, of at most `size` sessions; `page` is the `next_page` of the one before."""
        sessions: list[SessionListing] = []
        query, token = _query(status, owner), _token(page)
        while True:
            part = min(size - len(sessions), PAGE_SIZE)
            found = self.temporal.list_workflows(query, page_size=part, next_page_token=token)
            try:
                await found.fetch_next_page()
            except RPCError as error:
                raise _named(error) from None
            sessions += map(_listing, found.current_page or ())
            token = found.next_page_token
            if not token or len(sessions) >= size:
                return SessionPage(sessions=sessions, next_page=_page(token) if token else None)

    async def count(self, *, owner: str | None = None) -> dict[ListedStatus, int]:
        """How many sessions there are in each status. Without the search attributes all that go on count as `open`."""
        counts: dict[ListedStatus, int] = dict.fromkeys(get_args(ListedStatus), 0)
        for group in (await self._counted(f"{_query(None, owner)} GROUP BY ExecutionStatus")).groups:
            counts[_STATUS_OF.get(str(group.group_values[0]), "open")] += group.count
        with contextlib.suppress(SessionError):
            for status in _TOLD_BY_SESSIONS:  # a server groups by nothing else than ExecutionStatus
                counts[status] = (await self._counted(_query(status, owner))).count
                counts["open"] = max(0, counts["open"] - counts[status])
        return counts

    async def _counted(self, query: str) -> WorkflowExecutionCount:
        try:
            return await self.temporal.count_workflows(query)
        except RPCError as error:
            raise _named(error) from None


def _query(status: ListedStatus | None, owner: str | None) -> str:
    clauses = [f"WorkflowType = '{SESSION_TYPE}'", "ExecutionStatus != 'ContinuedAsNew'"]
    if status is not None and status not in get_args(ListedStatus):
        raise SessionError(ErrorType.INVALID_REQUEST, f"{status!r} is none of {', '.join(get_args(ListedStatus))}")
    if status in _ENDS:
        clauses.append(f"ExecutionStatus = '{_ENDS[status]}'")
    elif status:
        silent = f" OR {STATUS.name} IS NULL" if status == "open" else ""
        clauses.append(f"ExecutionStatus = 'Running' AND ({STATUS.name} = '{status}'{silent})")
    if owner is not None:
        quoted = owner_value(owner).replace("'", "''")
        clauses.append(f"{OWNER.name} = '{quoted}'")
    return " AND ".join(clauses)


def _listing(execution: WorkflowExecution) -> SessionListing:
    attributes, owner = execution.typed_search_attributes, execution.typed_search_attributes.get(OWNER)
    ended = _STATUS_OF.get(execution.status.name.title().replace("_", "")) if execution.status else None
    return SessionListing(
        session_id=execution.id,
        status=ended or attributes.get(STATUS) or "open",
        owner=None if owner is None else owner_of(owner),
        started_at=execution.start_time,
        closed_at=execution.close_time,
    )


def _page(token: bytes) -> str:
    return urlsafe_b64encode(crc32(token).to_bytes(_CHECKSUM) + token).decode()


def _token(page: str | None) -> bytes | None:
    if page is None:
        return None
    with contextlib.suppress(ValueError):
        decoded = b64decode(page, altchars=b"-_", validate=True)
        checksum, token = decoded[:_CHECKSUM], decoded[_CHECKSUM:]
        if checksum == crc32(token).to_bytes(_CHECKSUM):
            return token
    raise SessionError(ErrorType.INVALID_REQUEST, f"{page!r} is not the next page of any list")


def _named(error: RPCError) -> Exception:
    """`error` under a name of ours, where it is one of the caller."""
    if error.status == RPCStatusCode.INVALID_ARGUMENT and any(name in str(error) for name in NAMES):
        return SessionError(
            ErrorType.INVALID_REQUEST,
            f"this namespace has no search attributes to filter by; a worker registers them at its start where it may, "
            f"else: {COMMAND}",
        )
    return error
