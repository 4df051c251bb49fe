"""The real Web UI in a real browser: what a person does there, and what it shows them."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from playwright.async_api import FrameLocator, Locator, Page, async_playwright

from tests.harness import WAIT

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1400, 1000
"""A window on a laptop, in pixels."""


def chromium() -> str | None:
    """The browser that the system has. Playwright brings one of its own only by a download of its own."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


@asynccontextmanager
async def browsing(web_ui: str) -> AsyncIterator["WebUiPage"]:
    """A window of the browser on the Web UI at that address."""
    # Its sandbox does not work for root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        page = await browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, timezone_id="UTC")
        page.set_default_timeout(WAIT * 1_000)
        yield WebUiPage(page, f"{web_ui}/namespaces/default/workflows")
        await browser.close()


class WebUiPage:
    """One window. Every step waits until it can be done, and fails after a minute."""

    def __init__(self, page: Page, workflows: str) -> None:
        self.page = page
        self._workflows = workflows

    async def find_by_owner(self, owner: str) -> Locator:
        """The rows of the list of workflows, filtered by `SessionOwner`."""
        await self.page.goto(self._workflows)
        await self.page.get_by_role("button", name="Add Filter").click()
        await self.page.get_by_test_id("workflow-filter-search").fill("SessionOwner")
        await self.page.get_by_role("menuitem", name="SessionOwner Keyword").click()
        await self.page.get_by_placeholder("Enter value").fill(owner)
        await self.page.get_by_role("button", name="Apply").click()
        await self.page.wait_for_url("**?query=*")
        return self.page.get_by_role("row").filter(has=self.page.get_by_role("cell"))

    async def follow(self, workflow_id: str) -> None:
        """Click on an id in the list."""
        await self.page.get_by_role("link", name=workflow_id, exact=True).click()
        await self.page.get_by_role("heading", name=workflow_id).wait_for()

    async def open(self, workflow_id: str) -> None:
        """Go to the page of a session or task."""
        await self.page.goto(f"{self._workflows}/{quote(workflow_id, safe='')}")
        await self.page.get_by_role("heading", name=workflow_id).wait_for()

    async def status(self) -> str:
        """What Temporal says of the workflow, beside its name."""
        return await self.page.get_by_role("main").get_by_role("status").first.inner_text()

    async def timeline(self, *rows: str) -> Locator:
        """The rows of the timeline, once they have all those texts."""
        await self.page.get_by_role("tab", name="Timeline").click()
        shown = self.page.get_by_role("main").get_by_role("list").get_by_role("listitem")
        for row in rows:
            await shown.filter(has_text=row).first.wait_for()
        return shown

    async def details(self, *texts: str) -> FrameLocator:
        """The Current Details, once they have all those texts; refreshed meanwhile as a person would, with R."""
        await self.page.get_by_role("tab", name="User Metadata").click()
        details = self.page.frame_locator("#user-metadata-current-details")
        async with asyncio.timeout(WAIT):
            while any(text not in words for words in [await words_of(details)] for text in texts):
                await self.page.keyboard.press("r")
                await asyncio.sleep(0.2)
        return details

    async def fill_signal(self, name: str, data: str) -> Locator:
        """More Actions, Send a Signal, Custom; then a name and its data: the form, not sent."""
        # While it still tells of the signal before, UI 2.54.1 sends the next one and then hangs in its form.
        await self.page.locator("#workflow-signal-success-toast").wait_for(state="hidden")
        await self.page.get_by_role("button", name="More Actions").click()
        await self.page.get_by_role("menuitem", name="Send a Signal").click()
        form = self.page.get_by_role("dialog", name="Send a Signal")
        await form.get_by_role("button", name="Select a signal").click()
        await form.get_by_role("option", name="Custom Input Signal name").click()
        await form.get_by_label("Signal name").fill(name)
        await form.get_by_role("textbox", name="Data").fill(data)
        return form

    async def send_signal(self, name: str, data: str) -> None:
        """Fill the form and send it."""
        form = await self.fill_signal(name, data)
        # Left, the editor lays the JSON out anew and moves the button: a click may miss it, a key does not.
        await form.get_by_role("button", name="Submit").press("Enter")
        await form.wait_for(state="hidden")

    async def send_update(self, name: str, data: str) -> Locator:
        """More Actions, Send an Update: the form, which stays with the reason of a refusal."""
        await self.page.get_by_role("button", name="More Actions").click()
        await self.page.get_by_role("menuitem", name="Send an Update").click()
        form = self.page.get_by_role("dialog", name="Send an Update")
        await form.get_by_role("button", name="Select an Update").click()
        await form.get_by_role("option", name=name).click()
        await form.get_by_role("textbox", name="Data").fill(data)
        await form.get_by_role("button", name="Submit", exact=True).press("Enter")
        return form

    async def query(self, name: str, argument: str = "") -> str:
        """The beginning of the answer to a query, as the Queries tab shows it."""
        await self.page.get_by_role("tab", name="Queries").click()
        await self.page.get_by_test_id("query-select-button").click()
        await self.page.get_by_role("option", name=name).click()
        await self.page.get_by_role("textbox", name="Query Arg").fill(argument)
        await self.page.get_by_role("button", name="Run Query").click()
        result = self.page.get_by_role("textbox", name="Query Result")
        await result.filter(has_text="{").wait_for()
        return await result.inner_text()

    async def request_cancellation(self) -> None:
        """The button for Temporal's own cancel, confirmed."""
        await self.page.get_by_role("button", name="Request Cancellation").click()
        form = self.page.get_by_role("dialog", name="Cancel Workflow")
        await form.get_by_test_id("confirm-modal-button").click()
        await form.wait_for(state="hidden")


async def words_of(details: FrameLocator) -> str:
    """What is to be read there, with straight quotes."""
    return (await details.locator("main").inner_text()).replace("\u201c", '"').replace("\u201d", '"')


async def offered(details: FrameLocator, name: str) -> str:
    """The data that the details offer to paste for a signal, as a selection in the browser would copy it."""
    row = details.get_by_role("row").filter(has=details.get_by_role("cell", name=name, exact=True))
    return await row.first.get_by_role("code").last.inner_text()
