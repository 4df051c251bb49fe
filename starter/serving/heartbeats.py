"""Beats for every activity that has a heartbeat timeout, so that a dead worker is noticed after that and no later.

Frameworks give their tools no heartbeats: a killed worker then costs what the tool may take, and a cancellation never
reaches it, for it comes with the answer to a beat. What an activity says by beats of its own stays: a beat of ours
repeats the newest of them, and before the first what the attempt before this one said last: there the next resumes.

A timeout then means that the worker is gone or its event loop stuck; one activity that hangs is for its
`start_to_close_timeout` to end.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from temporalio import activity, client
from temporalio.common import RawValue
from temporalio.worker import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

BEATS_IN_A_TIMEOUT = 3
"""One that comes late is made up for by the next."""

NO_TIMEOUT_SECONDS = 30.0
"""Between beats of an activity without a timeout: as the SDK has it."""


class Heartbeats(Interceptor):
    """Beats for the activities of a worker. What a beat brings the SDK does: it cancels asyncio tasks and threads."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 (the SDK's)
        """Stand before every activity."""
        return _Inbound(next)


class _Inbound(ActivityInboundInterceptor):
    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        self._said = _Said(outbound)
        super().init(self._said)

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 (the SDK's name)
        info, context = activity.info(), activity._Context.current()  # noqa: SLF001 (where the SDK's own stand)
        if info.heartbeat_timeout is None:
            self._said.pause = NO_TIMEOUT_SECONDS
        else:
            self._said.pause = info.heartbeat_timeout.total_seconds() / BEATS_IN_A_TIMEOUT
            self._said.newest = _written(info.heartbeat_details)
            if context.client:
                context.client = _listening(context.client, self._said)
        beating = asyncio.create_task(self._said.repeated(always=info.heartbeat_timeout is not None))
        try:
            return await super().execute_activity(input)
        except BaseException:
            self._said.say_what_is_held_back()  # the next attempt goes on from it
            raise
        finally:
            beating.cancel()


class _Said(ActivityOutboundInterceptor):
    """What an activity said last, as it was when it said it: it may change the very object afterwards.

    `newest`: null where that cannot be written; it is then not overwritten either, and the SDK tells the activity.
    `pause`: seconds between beats. Of those that come sooner the newest waits: the SDK, which would see to that, is
    told to send beats at once (`STREAM_THROTTLE_SECONDS`), for streams, which pace themselves.
    """

    newest: Sequence[RawValue] | None = None
    pause = 0.0
    _sent = -math.inf
    _held_back = False

    def heartbeat(self, *details: Any) -> None:
        self.newest = _written(details)
        streams = bool(details) and isinstance(details[0], dict) and "stream" in details[0]
        if self.newest is None:
            self.next.heartbeat(*details)
        elif streams or time.monotonic() >= self._sent + self.pause:
            self._say(self.newest)
        else:
            self._held_back = True

    def say_what_is_held_back(self) -> None:
        """Send the newest beat if it has not been."""
        if self._held_back and self.newest is not None:
            self._say(self.newest)

    async def repeated(self, *, always: bool) -> None:
        """Say it again after each pause, or only what was held back, until cancelled."""
        while True:
            await asyncio.sleep(self.pause)
            if self.newest is not None and (always or self._held_back):
                self._say(self.newest)

    def _say(self, newest: Sequence[RawValue]) -> None:
        self._sent, self._held_back = time.monotonic(), False
        self.next.heartbeat(*newest)


def _written(details: Sequence[Any]) -> Sequence[RawValue] | None:
    with suppress(Exception):
        return [RawValue(payload) for payload in activity.payload_converter().to_payloads(details)] if details else []
    return None


def _listening(own: client.Client, said: _Said) -> client.Client:
    """The client of an activity, which may beat by that too: `AsyncActivityHandle.heartbeat` waits until it is kept."""
    config = own.config()
    config["interceptors"], config["plugins"] = [_Listener(said), *config["interceptors"]], []
    return client.Client(**config)


class _Listener(client.Interceptor):
    def __init__(self, said: _Said) -> None:
        self._said = said

    def intercept_client(self, next: client.OutboundInterceptor) -> client.OutboundInterceptor:  # noqa: A002 (the SDK's)
        return _Calls(next, self._said)


class _Calls(client.OutboundInterceptor):
    def __init__(self, next: client.OutboundInterceptor, said: _Said) -> None:  # noqa: A002 (the SDK's name)
        super().__init__(next)
        self._said = said

    async def heartbeat_async_activity(self, input: client.HeartbeatAsyncActivityInput) -> None:  # noqa: A002 (the SDK's)
        info, whose = self._said.info(), input.id_or_token
        if isinstance(whose, client.AsyncActivityIDReference):
            own = (whose.workflow_id, whose.activity_id) == (info.workflow_id, info.activity_id)
        else:
            own = whose == info.task_token
        if own:  # first: an older beat that the SDK holds back would come after this one
            self._said.heartbeat(*input.details)
        await super().heartbeat_async_activity(input)
