"""One timer for the next thing that time alone will change."""

import asyncio
from datetime import datetime

from temporalio import workflow


class Alarm:
    """Rings at or before the time it was last set to.

    An alarm already set for an earlier time is left to ring early instead of being replaced: a deadline that moves with
    every task, such as the idle timeout, then costs two events a period and not four a task.
    """

    def __init__(self) -> None:
        self._at: datetime | None = None
        self._timer: asyncio.Task[None] | None = None
        self.rang = False

    def set(self, at: datetime | None) -> None:
        """Ring by `at`; null asks for nothing."""
        self.rang = False
        if at is None or (self._at is not None and self._at <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        self._timer = asyncio.create_task(self._ring(at))

    async def _ring(self, at: datetime) -> None:
        await workflow.sleep(at - workflow.now(), summary="next delayed task, expiry or time of rest")
        self._at, self._timer, self.rang = None, None, True
