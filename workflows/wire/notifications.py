"""What a session hands to the `Notification` that tells of it, and what a receiver is sent. Pure."""

from typing import Any

from workflows.wire import fields as f
from workflows.wire.fields import Request


class Notice(Request):
    """One event: the session's `number`-th, from 1. `data`: what is told of it, without session and number."""

    number: int
    type: f.NotifyEvent
    url: str
    at: f.Timestamp
    data: dict[str, Any]


class NotificationStart(Request):
    """Start input of a Notification: events of one session, told apart from each other."""

    session_id: f.Id
    notices: list[Notice]


def body_of(session_id: str, notice: Notice) -> dict[str, Any]:
    """The JSON that a receiver is sent, in the shape of Standard Webhooks; the same at each attempt."""
    return {
        "type": notice.type,
        "timestamp": notice.at.isoformat().replace("+00:00", "Z"),
        "data": {"session_id": session_id, "number": notice.number, **notice.data},
    }
