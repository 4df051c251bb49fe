"""The servers and workers that tests run on. Everything started here is stopped here, whatever a test does."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from starter.connection import connect
from starter.dev_server import DevServer
from tests.harness import Harness


@pytest.fixture(scope="session")
async def server() -> AsyncIterator[DevServer]:
    """The real server, in memory, for all tests that do not kill or tune it."""
    server = DevServer(database=None, port=0, ui_port=0, http_port=0)
    await server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
async def temporal(server: DevServer) -> Client:
    """One connection to it."""
    return await connect(server.address)


@pytest.fixture(params=[1000, 0], ids=["cached", "replayed"])
def cached_workflows(request: pytest.FixtureRequest) -> int:
    """Workflows a worker keeps in memory; with none, every workflow task replays the whole history."""
    return int(request.param)


@pytest.fixture
async def harness(temporal: Client) -> AsyncIterator[Harness]:
    """A worker of this test's own; afterwards everything that ran on it is replayed."""
    harness = Harness(temporal)
    async with harness.worker():
        yield harness
    await harness.replay_all()
