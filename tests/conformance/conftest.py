"""Where the suite finds the sessions it checks: behind `--address`, or on the worker that `own_sessions` runs.

`own_sessions` is not part of the suite, which knows nothing of any implementation.
"""

import uuid
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.worker import Worker

from tests.conformance.caller import Caller
from tests.conformance.kinds import KINDS


class Implementation(NamedTuple):
    """A running implementation: its server, and the task queue of its sessions."""

    address: str
    queue: str


def pytest_addoption(parser: pytest.Parser) -> None:
    """What to check, when it is not our own worker; the SDK's environment says the rest (namespace, API key, TLS)."""
    group = parser.getgroup("conformance")
    group.addoption("--address", help="HOST:PORT of the Temporal server of a running implementation")
    group.addoption("--sessions-queue", default="sessions", help="the task queue of its sessions")


def pytest_configure(config: pytest.Config) -> None:
    """The mark of what the time-skipping test server cannot do, for a run of this folder alone."""
    config.addinivalue_line("markers", "not_on_test_server(fact): the time-skipping test server cannot do this")


@pytest.fixture(scope="session")
def implementation(request: pytest.FixtureRequest) -> Implementation:
    """What is checked."""
    address = request.config.getoption("--address", None)
    if address:
        return Implementation(address, request.config.getoption("--sessions-queue"))
    return Implementation(*request.getfixturevalue("own_sessions"))


@pytest.fixture(scope="session")
async def caller(implementation: Implementation) -> AsyncIterator[Caller]:
    """A client with Temporal's plain JSON converter, and a worker for the kinds of this suite."""
    settings = ClientConfig.load_client_connect_config()
    settings["target_host"] = implementation.address
    client = await Client.connect(**settings)
    kinds_queue = f"conformance-{uuid.uuid4().hex[:12]}"
    async with Worker(client, task_queue=kinds_queue, workflows=KINDS):
        yield Caller(client, implementation.queue, kinds_queue)
