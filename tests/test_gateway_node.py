"""The official packages for Node of OpenAI and AG-UI, in environments of their own, talk to two gateways."""

import asyncio
import json
import re
import shutil
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from activities.models.offline import OfflineModel
from starter.gateway.asking import session_id_of
from starter.gateway.keys import KeyFile
from starter.program import ROOT
from tests.environments import INSTALL_SECONDS
from tests.gateways import gateway
from tests.harness import WAIT, Harness
from tests.kinds import TEST_KINDS
from tests.purchases import ToolsWorkflow, decide, pay
from tests.servers import Server
from tests.test_streaming import TellWorkflow, _steps, details, tell
from worker import KINDS, build_worker

PACKAGE = "openai@6.49.0"
SCRIPT = ROOT / "tests/node/gateway.mjs"
AGUI_PACKAGE = "@ag-ui/client@1.0.0"
AGUI_SCRIPT = ROOT / "tests/node/agui.mjs"
BANANA, YELLOW = "What colour is a banana?", "A ripe banana is yellow."

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


async def _installed(folder: Path, package: str, script: Path) -> Path:
    """The script in a folder that has the package."""
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    await _ran(folder, INSTALL_SECONDS, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", package)
    return Path(shutil.copy(script, folder))


async def test_the_official_package_for_node(server: Server, harness: Harness, tmp_path: Path) -> None:
    script = await _installed(tmp_path, PACKAGE, SCRIPT)
    async with gateway(server, harness) as one, gateway(server, harness) as other:
        found = json.loads(await _ran(tmp_path, WAIT, "node", script, one.url, other.url))
    answer = YELLOW
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


async def test_the_official_agent_of_ag_ui(server: Server, elsewhere: Harness, tmp_path: Path) -> None:
    script = await _installed(tmp_path, AGUI_PACKAGE, AGUI_SCRIPT)
    key = KeyFile(tmp_path / "keys.json").add("ada", ["ada"])
    kinds, keys = [*KINDS, *TEST_KINDS, ToolsWorkflow], {"keys": str(tmp_path / "keys.json")}
    async with (
        build_worker(elsewhere.temporal, OfflineModel(), queue=elsewhere.queue, kinds=kinds, activities=[decide, pay]),
        gateway(server, elsewhere, **keys) as one,
        gateway(server, elsewhere, **keys) as other,
    ):
        found = json.loads(await _ran(tmp_path, 2 * WAIT, "node", script, one.url, other.url, key))
        assert "unexpected" not in one.log + other.log
    looked_up = [["assistant", [["look_up", '{"what":"price"}']]], ["tool", "3"]]
    paid = [["assistant", [["pay", '{"amount":3}']]], ["tool", '{"paid":2}']]
    said = ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"]
    assert {
        "events": ["RUN_STARTED", *said, "STATE_SNAPSHOT", "RUN_FINISHED"],
        "second": "Your name is Ada.",
        "roles": ["user", "assistant", "user", "assistant"],
        "streamed": [True, True],
        "again": [["user", BANANA], ["assistant", YELLOW]],
        "asked": [["confirmation", "deploy?"]],
        "uncovered": "AGUIError",
        "why": [["input_required", "Why?"]],
        "approved": {"did": "deploy", "why": "it is Tuesday"},
        "state": {"colour": "red", "done": ["deploy"]},
        "interrupts": [],
        "opened": [[["user", "rain"]], ["rain?"]],
        "words": "left alone",
        "tool": ["tool_call", {"tool": "pay", "arguments": {"amount": 3}, "choices": ["yes", "no"]}, True],
        "tools": [[["user", "pay"], *looked_up, *paid, ["assistant", "Paid 2."]], []],
        "error": [400, "unsupported_parameter", "tools"],
        "failed": ["OutOfTea", "out of tea"],
    } == found


async def test_what_the_page_of_ag_ui_says_is_what_happens(server: Server, harness: Harness, tmp_path: Path) -> None:
    [code] = re.findall(r"```js\n(.*?)```", (ROOT / "docs/agui.md").read_text(), re.DOTALL)
    async with gateway(server, harness, kinds="Approve") as door:
        code = code.replace("http://127.0.0.1:8243", door.url)
        said = "console.log(JSON.stringify([asked, agent.pendingInterrupts].flat().map((each) => each.message)));"
        (tmp_path / "written.mjs").write_text(f'const key = "none";\n{code}{said}')
        script = await _installed(tmp_path / "npm", AGUI_PACKAGE, tmp_path / "written.mjs")
        assert ["deploy?", "Why?"] == json.loads(await _ran(tmp_path / "npm", WAIT, "node", script))


async def test_the_agent_of_ag_ui_runs_again_when_its_gateway_is_killed_in_mid_stream(
    server: Server, elsewhere: Harness, tmp_path: Path
) -> None:
    script = await _installed(tmp_path, AGUI_PACKAGE, AGUI_SCRIPT)
    session_id = session_id_of("agui-", None, "killed")
    steps = _steps[session_id] = asyncio.Queue()
    async with (
        build_worker(
            elsewhere.temporal,
            OfflineModel(),
            queue=elsewhere.queue,
            kinds=[*KINDS, TellWorkflow],
            activities=[tell],
            max_heartbeat_throttle_interval=timedelta(milliseconds=20),
        ),
        gateway(server, elsewhere) as door,
    ):
        steps.put_nowait(details(["A ripe "]))
        client = await asyncio.create_subprocess_exec(
            *("node", script, "--again", door.url, "the-run"), cwd=tmp_path, stdout=asyncio.subprocess.PIPE
        )
        assert client.stdout
        async with asyncio.timeout(2 * WAIT):
            assert b"told\n" == await client.stdout.readline()
            await door.end(signal.SIGKILL)
            await door.start(door.url.rpartition(":")[2])
            steps.put_nowait(details(["A ripe banana "]))
            steps.put_nowait([YELLOW])
            out = (await client.communicate())[0].decode()
        assert {"shown": [["user", BANANA], ["assistant", YELLOW]], "repeated": True} == json.loads(
            out.splitlines()[-1]
        )
        assert 1 == (await elsewhere.client.get(session_id).snapshot()).counters.submitted
