"""A whole installation with a key: neither its server's file nor a log has anything that was said."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from starter.client import SessionClient
from starter.client.connection import connect
from starter.dev_server import EARLY, DevServer
from starter.encryption.codec_server import dev_codec_server
from starter.encryption.keys import new_key
from tests.harness import WAIT, Harness, ask, hand_overs, run_task
from tests.servers import own_server, running
from tests.test_encryption import TEXTS, in_clear, opened, talk
from tests.test_operations import OperatedWorker
from workflows.contract import Config, task_workflow_id

pytestmark = [pytest.mark.rare, pytest.mark.not_on_test_server("it has no file")]

SPOKEN = set(TEXTS)


@asynccontextmanager
async def installation(folder: Path, monkeypatch: pytest.MonkeyPatch, keys: str) -> AsyncIterator[Harness]:
    """A server with a file that suggests continue-as-new early; everybody connects by the same environment."""
    monkeypatch.setenv("SESSIONS_ENCRYPTION_KEYS", keys)
    async with running(own_server({EARLY: 60}, folder / "temporal.db")) as server:
        harness = Harness(await connect(server.address))
        async with harness.worker():
            yield harness
        assert server._errors
        server._errors.seek(0)
        (folder / "server.log").write_bytes(server._errors.read())


async def live(harness: Harness) -> None:
    """A demo of everything that a session does: all texts, hand-overs, a task that outlives one, a fork, an end."""
    session = await opened(harness)
    await talk(session)
    await session.submit(3, kind="Countdown", task_id="outlives")
    for _ in range(40):
        await session.resume()
    assert "completed" == (await session.result("outlives", WAIT)).status
    for number in range(8):
        await ask(session, f"{TEXTS['input']} {number}")
    assert await hand_overs(session)
    fork = {"session_id": session.id}
    other = await SessionClient(harness.temporal, harness.queue).open(f"{session.id}-fork", fork_of=fork)
    assert TEXTS["value"] == (await other.context()).values["kept"]
    assert TEXTS["input"] in await ask(other, "What did I ask last?")
    await session.close(reason="the end")
    assert TEXTS["title"] == (await session.finished(WAIT)).config.title


@pytest.mark.parametrize(("keys", "found"), [(new_key("a"), set()), ("", SPOKEN)], ids=["with a key", "without"])
async def test_the_servers_file_and_logs_have_nothing_that_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, keys: str, found: set[str]
) -> None:
    async with installation(tmp_path, monkeypatch, keys) as harness:
        await live(harness)
    kept = "".join(file.read_bytes().decode("latin-1") for file in tmp_path.iterdir())  # noqa: ASYNC240 (all is over)
    assert "SessionStatus" in kept
    assert found == in_clear(kept)
    assert set() == in_clear(caplog.text)


async def test_a_worker_process_takes_its_keys_from_the_environment_and_says_what_is_wrong_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = new_key("a")
    async with running(own_server()) as server:
        process = OperatedWorker(server, "keys", tmp_path / "log")
        secret = keys.partition(":")[2]
        process.start(SESSIONS_ENCRYPTION_KEYS=secret)
        assert 1 == await process.ended()
        said = (tmp_path / "log").read_text()
        assert "worker: SESSIONS_ENCRYPTION_KEYS: entry 1 must be ID:BASE64" in said
        assert secret not in said
        monkeypatch.setenv("SESSIONS_ENCRYPTION_KEYS", keys)
        process.start(SESSIONS_ENCRYPTION_KEYS=keys)
        try:
            session = await SessionClient(await connect(server.address), "keys").open("s")
            assert "yellow" in await ask(session, "What colour is a banana?")
        finally:
            await process.stop()


async def test_the_web_ui_shows_what_was_said_by_the_codec_server_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = pytest.importorskip("tests.browser.pages", reason="no Playwright: pip install playwright")
    if pages.chromium() is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    keys = {"SESSIONS_ENCRYPTION_KEYS": new_key("a")}
    monkeypatch.setenv("SESSIONS_ENCRYPTION_KEYS", keys["SESSIONS_ENCRYPTION_KEYS"])
    server = own_server(database=tmp_path / "temporal.db")
    codec = dev_codec_server(server.ui_port, 0, keys)
    assert codec
    server.codec_endpoint = codec.start()
    try:
        async with running(server):
            harness = Harness(await connect(server.address))
            async with harness.worker():
                session = await harness.open(Config(title=TEXTS["title"]))
                await run_task(session, {"output": TEXTS["input"]}, kind="Return", task_id="t1")
                assert TEXTS["input"] in await shown(pages, server, task_workflow_id(session.id, "t1"), TEXTS["input"])
                codec.stop()
                told = await shown(pages, server, task_workflow_id(session.id, "t1"), "Codec Server could not connect")
                assert TEXTS["input"] not in told
    finally:
        codec.stop()


async def shown(pages: Any, server: DevServer, workflow_id: str, until: str) -> str:
    """The page of a workflow once it has that text, in a browser of its own: nothing is in its cache."""
    async with pages.browsing(server.ui) as ui, asyncio.timeout(WAIT):
        await ui.open(workflow_id)
        while True:
            told = str(await ui.page.get_by_role("main").inner_text())
            if until in told:
                return told
            await asyncio.sleep(0.2)
