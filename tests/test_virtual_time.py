"""Months in seconds: what time alone does to a session, on the dev server with its time skipping."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.client import Client
from temporalio.testing import TimeSkipper, TimeSkippingConfig

from tests.harness import WAIT, Harness, ask, run_task
from tests.servers import SKIPPING, server_of
from workflows.contract import Config

DAY = 86_400.0


class SkippingHarness(Harness):
    """A harness whose sessions live in virtual time: their clock stands until it is told to go on."""

    def __init__(self, temporal: Client) -> None:
        self.skipper = TimeSkipper(temporal, config=TimeSkippingConfig())
        super().__init__(self.skipper.client)
        self.plain = temporal

    async def pass_days(self, session_id: str, days: float) -> bool:
        """Let that time pass for one session; False if it ended on the way."""
        handle = self.plain.get_workflow_handle(session_id)
        return await self.skipper.fast_forward(handle, timedelta(days=days))


@pytest.fixture(scope="module")
async def virtual() -> AsyncIterator[SkippingHarness]:
    """A worker on a server that skips time, session by session."""
    async with SkippingHarness.on(server_of(SKIPPING)) as harness:
        yield harness


async def test_thirty_idle_days_close_a_session_and_a_task_in_between_starts_them_anew(
    virtual: SkippingHarness,
) -> None:
    with virtual.skipper.with_time_skipping_disabled():
        session = await virtual.open(Config(idle_timeout=30 * DAY))
        assert "yellow" in await ask(session, "What colour is a banana?")
    assert await virtual.pass_days(session.id, 29)
    assert "idle" == (await session.snapshot()).status
    assert "completed" == (await run_task(session, "How big is the sun?")).status
    assert await virtual.pass_days(session.id, 29)
    assert "idle" == (await session.snapshot()).status
    await virtual.pass_days(session.id, 2)
    final = await session.finished(WAIT)
    assert ("closed", 2) == (final.status, final.counters.completed)
