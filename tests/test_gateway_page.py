"""docs/gateway.md, executed: its commands, its Python through the official package, its tables."""

import asyncio
import os
import re
import shlex
import sys
from pathlib import Path

from starter.gateway.settings import GatewaySettings, variable
from starter.program import ROOT
from tests.gateways import gateway
from tests.harness import WAIT, Harness
from tests.servers import Server

PAGE = (ROOT / "docs/gateway.md").read_text()
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
PYTHON = "".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
PRINTED = re.compile(r"print\(.*\)  # (.*)")


async def test_what_the_page_says_is_what_happens(server: Server, harness: Harness, tmp_path: Path) -> None:
    add, serve = (shlex.split(line)[3:] for line in "".join(COMMANDS).splitlines())
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    made = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "starter", *add), cwd=tmp_path, env=environment, stdout=asyncio.subprocess.PIPE
    )
    key = (await asyncio.wait_for(made.communicate(), WAIT))[0].decode().strip()
    assert ["gateway", "--keys", "keys.json", "--port", "8243"] == serve
    keys = ("--keys", str(tmp_path / "keys.json"))
    async with gateway(server, harness, *keys, kinds="Answer,Approve") as door:
        client = {"OPENAI_BASE_URL": f"{door.url}/v1", "OPENAI_API_KEY": key}
        page = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PYTHON),
            env={**environment, **client},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await asyncio.wait_for(page.communicate(), WAIT)
    assert 0 == page.returncode, errors.decode()
    assert PRINTED.findall(PYTHON) == out.decode().splitlines()


def test_the_table_of_settings_is_the_code() -> None:
    rows = [
        f"| `{variable(name)}` | {'off' if field.default is None else f'`{field.default}`'} | {field.description} |"
        for name, field in GatewaySettings.model_fields.items()
    ]
    assert rows == [line for line in PAGE.splitlines() if line.startswith("| `SESSIONS_")]


def test_every_setting_is_read_from_its_variable() -> None:
    given = {
        "HOST": "::1",
        "PORT": "1",
        "KEYS": "keys.json",
        "KINDS": "Answer, Price",
        "INSTRUCTIONS": "Price",
        "ORIGINS": "https://a.example, http://[::1]:80",
        "RATE": "0.5",
        "BURST": "1",
        "BODY_BYTES": "2048",
        "BODY_SECONDS": "0.5",
        "WAIT": "1",
        "GRACE": "0",
        "CONNECTIONS": "2",
        "PAGE": "1",
        "LOG_FORMAT": "json",
    }
    settings = GatewaySettings.from_environment({f"SESSIONS_GATEWAY_{name}": text for name, text in given.items()})
    default = GatewaySettings()
    assert set(given) == {name.upper() for name in GatewaySettings.model_fields}
    assert [] == [name for name in GatewaySettings.model_fields if getattr(settings, name) == getattr(default, name)]
    assert (["Answer", "Price"], True, False) == (
        settings.kind_names(),
        settings.takes_instructions("Price"),
        settings.allows("Other"),
    )
    assert default == GatewaySettings.from_environment({"SESSIONS_GATEWAY_PORT": ""})
