"""Waiting for something long in an activity, with heartbeats meanwhile."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from temporalio import activity

from activities.stream import emitter
from workflows.wire.escapes import contained

_Result = TypeVar("_Result")


async def beating(work: Awaitable[_Result], pause: float) -> _Result:
    """The result of `work`, with a beat each `pause` seconds: it tells that the worker lives, brings a cancellation.

    Where a stream is open the beats are its own, and the worker repeats them: a plain one would wipe out what was told.
    """
    running = asyncio.ensure_future(_contained(work))
    try:
        while not (await asyncio.wait({running}, timeout=pause))[0]:
            if emitter() is None:
                activity.heartbeat()
        return running.result()
    finally:
        # Cancelled while waiting: end the work too, and let it close its connections.
        if running.cancel():
            await asyncio.wait({running})


async def _contained(work: Awaitable[_Result]) -> _Result:
    with contained():  # out of a task of its own an exit would end the worker
        return await work
