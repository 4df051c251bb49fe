"""The embedded server: what happens when it cannot start."""

import socket
from pathlib import Path

import pytest

from starter.dev_server import LOOPBACK, DevServer


async def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        server = DevServer(tmp_path / "temporal.db", port=taken.getsockname()[1], ui_port=0, http_port=0)
        with pytest.raises(RuntimeError) as failure:
            await server.start()
    assert "ended at once" in str(failure.value)
    assert 1 == len(str(failure.value).splitlines())
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.pid
