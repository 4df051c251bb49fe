"""Server-sent events, for every door that streams."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.responses import StreamingResponse

KEEP_ALIVE_SECONDS = 15.0
"""Silence after which a comment is sent: proxies close what is silent for 30 to 60 seconds."""

_HEADERS = {"x-accel-buffering": "no"}  # nginx would hold events back


def event(data: Mapping[str, Any] | str, name: str | None = None) -> str:
    """One event; its data is JSON, or a word."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return (f"event: {name}\n" if name else "") + f"data: {text}\n\n"


def streamed(events: AsyncIterator[str]) -> StreamingResponse:
    """The answer that those events are; they end with it when the caller leaves."""
    return StreamingResponse(_kept_alive(events), media_type="text/event-stream", headers=_HEADERS)


async def _kept_alive(events: AsyncIterator[str]) -> AsyncIterator[str]:
    following: asyncio.Future[str] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(events))
            if not (await asyncio.wait({following}, timeout=KEEP_ALIVE_SECONDS))[0]:
                yield ": waiting\n\n"
                continue
            try:
                found = following.result()
            except StopAsyncIteration:
                return
            following = None
            yield found
    finally:
        if following is not None:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await following
        await _closed(events)


async def _closed(events: AsyncIterator[str]) -> None:
    close = getattr(events, "aclose", None)
    if close is not None:
        await close()
