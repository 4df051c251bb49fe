"""Sessions for programs: the only place that knows ids, policies and how to wait.

client = await SessionClient.connect()
session = await client.open("demo", Config(owner="ada"))
answer = await session.ask("What colour is a banana?")
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starter.client.session import Session
    from starter.client.sessions import SessionClient

__all__ = ["Session", "SessionClient"]


def __getattr__(name: str) -> object:
    """`Session` and `SessionClient`, once asked for: the help of the command line does without them, and 0.2 s."""
    if name == "Session":
        from starter.client.session import Session  # noqa: PLC0415 (lazily)

        return Session
    if name == "SessionClient":
        from starter.client.sessions import SessionClient  # noqa: PLC0415 (lazily)

        return SessionClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
