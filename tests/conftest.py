"""The servers and workers that tests run on. Everything started here is stopped here, whatever a test does."""

import gc
import os
import signal
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from temporalio.client import Client

from starter.client.connection import connect
from starter.dev_server import DevServer
from tests import canary
from tests.conformance.caller import SLOWNESS
from tests.harness import Harness, be_patient
from tests.pages import WebUi
from tests.servers import DEV, KINDS, TEST_SERVER, Server, running, server_of
from tests.wheels import build, environment_with


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--server`: which of the three the suite runs on."""
    parser.addoption("--server", choices=KINDS, default=DEV, help="the Temporal server to test on")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """The mark that keeps a test from a server, with the server's fact; a key that nothing may keep."""
    os.environ.setdefault("PYTEST_TIMEOUT", str(float(config.getini("timeout")) * SLOWNESS))
    config.addinivalue_line("markers", "not_on_test_server(fact): the time-skipping test server cannot do this")
    be_patient()
    os.environ[canary.VARIABLE] = canary.SECRET
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell has it so in its background
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector what is imported for all tests, as it comes and ever after: it all stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give tests the time that this machine needs; skip what the chosen server cannot do, and say what that is."""
    for item in items:
        mark = item.get_closest_marker("timeout")
        if mark:
            item.add_marker(pytest.mark.timeout(mark.args[0] * SLOWNESS), append=False)
    if config.getoption("--server") != TEST_SERVER:
        return
    for item in items:
        mark = item.get_closest_marker("not_on_test_server")
        if mark:
            item.add_marker(pytest.mark.skip(reason=f"the test server: {mark.args[0]}"))


@pytest.fixture(autouse=True)
def _no_key_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert not canary.in_log(caplog.get_records("setup") + caplog.get_records("call"))


@pytest.fixture(scope="session")
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """The chosen server, in memory, for all tests that do not kill or tune one of their own."""
    async with running(server_of(request.config.getoption("--server"))) as server:
        yield server


@pytest.fixture(scope="session")
def web_ui(server: Server) -> Iterator[WebUi]:
    """The renderer of its Web UI."""
    if not isinstance(server, DevServer):
        pytest.skip("the test server has no Web UI")
    with closing(WebUi(server.ui_port)) as web_ui:
        yield web_ui


@pytest.fixture(scope="session")
async def temporal(server: Server) -> Client:
    """One connection to it."""
    return await connect(server.address)


@pytest.fixture
async def harness(temporal: Client) -> AsyncIterator[Harness]:
    """A worker of this test's own; afterwards everything that ran on it is replayed."""
    harness = Harness(temporal)
    async with harness.worker():
        yield harness
    await harness.replay_all()


@pytest.fixture
def elsewhere(temporal: Client) -> Harness:
    """Sessions on a queue of this test's own, whose worker the test starts."""
    return Harness(temporal)


@pytest.fixture(scope="session")
async def own_sessions(server: Server, temporal: Client) -> AsyncIterator[tuple[str, str]]:
    """What the conformance suite checks unless told otherwise: address and task queue of our worker."""
    harness = Harness(temporal)
    async with harness.worker():
        yield server.address, harness.queue
    await harness.replay_all()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of what is here."""
    return build(tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def llamaindex(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel and LlamaIndex."""
    return environment_with(tmp_path_factory.mktemp("llamaindex"), wheel, "cli,llamaindex,otel")
