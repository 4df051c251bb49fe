"""Makes the pictures of docs/web-ui.md: `make screenshots`. A little session, on a server of its own."""

import asyncio
import contextlib
import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from starter.client import Session, SessionClient
from starter.client.connection import DEFAULT_TASK_QUEUE, connect
from tests.browser.pages import WebUiPage, browsing, chromium, offered
from tests.harness import WAIT, Harness, run_task, snapshot_when
from tests.servers import own_server, running
from workflows.contract import Config, task_workflow_id

PICTURES = Path(__file__).resolve().parents[2] / "docs/pictures"
CONVERSATION = {
    "banana": "What colour is a banana?",
    "sun": "How big is the sun?",
    "name": "My name is Ada.",
    "first": "What did I ask first?",
}
COLUMNS = 100
"""Of the terminal."""


async def main() -> None:
    """Make them all."""
    async with running(own_server()) as server:
        harness = Harness(await connect(server.address))
        harness.queue = DEFAULT_TASK_QUEUE
        harness.client = SessionClient(harness.temporal, harness.queue)
        async with harness.worker(), browsing(server.ui) as ui:
            session = await _a_session(harness)
            await _pictures(ui, session)
            await _draw_terminal(ui, server.address, "show", session.id)
            await session.close("now")
            await session.finished(WAIT)


async def _a_session(harness: Harness) -> Session:
    """Something of everything: turns, a failure, a refusal, a question to a person, and what waits."""
    other = await harness.client.open("lunch", Config(owner="grace"))
    await run_task(other, "How far is the moon?")
    session = await harness.client.open("demo", Config(owner="ada", title="Space talk"))
    for task_id, question in CONVERSATION.items():
        await run_task(session, question, task_id=task_id)
    await run_task(session, "soon", kind="Countdown", task_id="soon")
    await session.temporal.get_workflow_handle(session.id).signal("submit", {"task": "wrong"})
    await session.submit("Deploy version 1.4 to production", kind="Approve", task_id="deploy")
    await session.submit(60, kind="Countdown", task_id="tea")
    await session.submit("How far is the moon?", task_id="moon")
    await snapshot_when(session, lambda snapshot: snapshot.status == "waiting")
    return session


async def _pictures(ui: WebUiPage, session: Session) -> None:
    await _window(ui, 460)
    await (await ui.find_by_owner("ada")).get_by_text(session.id, exact=True).wait_for()
    await _take(ui, "list")
    await ui.follow(session.id)
    await ui.page.get_by_role("button", name="Collapse Navigation").click()
    await _window(ui, 1_160)
    await ui.timeline(*CONVERSATION.values())
    await _take(ui, "timeline")
    await _window(ui, 1_820)
    details = await ui.details("Status: waiting")
    await _take(ui, "session")
    await _window(ui, 720)
    form = await ui.fill_signal("respond", await offered(details, "respond"))
    await form.screenshot(path=PICTURES / "respond.png")
    await _window(ui, 760)
    await ui.open(task_workflow_id(session.id, "banana"))
    await ui.details("Answer, by offline")
    await _take(ui, "task")


async def _window(ui: WebUiPage, height: int) -> None:
    await ui.page.set_viewport_size({"width": 1280, "height": height})


async def _take(ui: WebUiPage, name: str) -> None:
    await asyncio.sleep(1)  # until what moves has come to rest
    await ui.page.screenshot(path=PICTURES / f"{name}.png")


async def _draw_terminal(ui: WebUiPage, address: str, *arguments: str) -> None:
    """What the command line shows on a terminal, drawn by the browser."""
    command = ["python", "-m", "starter", *arguments]
    shown = await asyncio.to_thread(_output_on_a_terminal, [sys.executable, *command[1:]], address)
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(shown))
    # Without the fonts that it would fetch from elsewhere.
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title=" ".join(command)), flags=re.DOTALL)
    await ui.page.goto("about:blank")
    await ui.page.set_content(f"<div style='width: 1000px'>{svg}</div>")
    await ui.page.locator("svg").screenshot(path=PICTURES / "show.png")


def _output_on_a_terminal(command: list[str], address: str) -> str:
    controller, terminal = pty.openpty()
    environment = os.environ | {"TEMPORAL_ADDRESS": address, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    with subprocess.Popen(command, stdout=terminal, env=environment):  # noqa: S603 (our own arguments)
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # Linux's way to say that the other side has closed
            while chunk := os.read(controller, 65_536):
                shown += chunk
    os.close(controller)
    return shown.decode().replace("\r", "")


if __name__ == "__main__":
    if chromium() is None:
        sys.exit("no Chromium on this machine: apt-get install chromium")
    PICTURES.mkdir(exist_ok=True)
    asyncio.run(main())
