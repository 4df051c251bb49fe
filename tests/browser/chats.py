"""The page to chat on in a real browser, in front of a worker of ours: for its tests, and for its pictures."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from activities.models.offline import OfflineModel
from starter.client.connection import connect
from starter.serving.registration import register_search_attributes
from tests.browser.pages import chromium
from tests.conformance.caller import SLOWNESS
from tests.gateways import Gateway
from tests.harness import WAIT, Harness
from tests.kinds import TEST_KINDS
from tests.recitals import ReciteWorkflow, recite
from tests.servers import Server
from tests.wheels import build, environment_with
from worker import KINDS, build_worker

HEAD_SECONDS = 3.0
"""What the gateway gives a connection to say what it wants; that of a page, a WebSocket, lives on."""

SHOWN = WAIT * 1_000 * SLOWNESS
"""Milliseconds until something has to be seen."""


def program_with_page(source: Path, made: Path) -> tuple[str, ...]:
    """The command line where the extra `web` is: here, or in an environment that is made in these folders."""
    if find_spec("nicegui"):
        return (sys.executable, "-m", "starter")
    return (str(environment_with(made, build(source, made), "cli,web") / "sessions"),)


@dataclass
class Place:
    """A worker, a gateway with a page, and a browser. `asked`: every address that the browser asked for."""

    harness: Harness
    server: Server
    url: str
    browser: Browser
    asked: list[str]

    @asynccontextmanager
    async def window(self, path: str = "/", width: int = 1_100, height: int = 760) -> AsyncIterator[Page]:
        """A window of its own, with nothing remembered. Raises AssertionError where a script on it failed."""
        context = await self.browser.new_context(viewport={"width": width, "height": height})
        page = await context.new_page()
        page.set_default_timeout(SHOWN)
        problems: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", lambda socket: self.asked.append(socket.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(self.url + path)
        yield page
        await context.close()
        assert [] == problems


@asynccontextmanager
async def a_place(
    server: Server, program: tuple[str, ...], kinds: Sequence[type] = (), activities: Sequence[Callable[..., Any]] = ()
) -> AsyncIterator[Place]:
    """All of it, started, and ended afterwards in good order. The worker has `kinds` beside its own."""
    harness = Harness(await connect(server.address))
    gateway = Gateway(server, harness, program=program, page="1", body_seconds=str(HEAD_SECONDS))
    # Its sandbox does not work for root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with _worker(harness, kinds, activities), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        try:
            await gateway.start()
            yield Place(harness, server, gateway.url, browser, [])
        finally:
            await browser.close()
            if gateway.process:
                assert 0 == await gateway.end(), gateway.log


@asynccontextmanager
async def _worker(
    harness: Harness, kinds: Sequence[type], activities: Sequence[Callable[..., Any]]
) -> AsyncIterator[None]:
    findable = await register_search_attributes(harness.temporal)
    async with build_worker(
        harness.temporal,
        OfflineModel(),
        queue=harness.queue,
        kinds=[*KINDS, *TEST_KINDS, ReciteWorkflow, *kinds],
        activities=[recite, *activities],
        search_attributes=findable,
    ):
        yield
