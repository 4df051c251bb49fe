"""Sessions for programs: the only place that knows ids, policies and how to wait.

client = await SessionClient.connect()
session = await client.open("demo", Config(owner="ada"))
answer = await session.ask("What colour is a banana?")
"""

from starter.client.session import Session
from starter.client.sessions import SessionClient

__all__ = ["Session", "SessionClient"]
