"""OpenAI's official package for Node, in an environment of its own, talks to two gateways."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from starter.program import ROOT
from tests.environments import INSTALL_SECONDS
from tests.gateways import gateway
from tests.harness import WAIT, Harness
from tests.servers import Server

PACKAGE = "openai@6.49.0"
SCRIPT = ROOT / "tests/node/gateway.mjs"

pytestmark = [
    pytest.mark.environment,
    pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="no node or no npm here"),
]


async def _ran(folder: Path, seconds: float, *command: str | Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await asyncio.wait_for(process.communicate(), seconds)
    assert 0 == process.returncode, errors.decode()
    return out.decode()


async def test_the_official_package_for_node(server: Server, harness: Harness, tmp_path: Path) -> None:
    await _ran(tmp_path, INSTALL_SECONDS, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", PACKAGE)
    script = tmp_path / SCRIPT.name
    script.write_bytes(SCRIPT.read_bytes())
    async with gateway(server, harness) as one, gateway(server, harness) as other:
        found = json.loads(await _ran(tmp_path, WAIT, "node", script, one.url, other.url))
    answer = "A ripe banana is yellow."
    assert {
        "models": ["default", "Answer"],
        "text": answer,
        "metadata": {"topic": "fruit"},
        "resumed": answer,
        "last": "response.completed",
        "items": ["user", "assistant", "user", "assistant"],
        "cancelled": "cancelled",
        "asked": "deploy?\n\n(yes / no)",
        "chat": "left alone",
        "error": ["BadRequestError", 400, "unsupported_parameter", "temperature"],
    } == found
