"""Makes the pictures of docs/web-chat.md, with `make screenshots`: one session, in light, in dark and on a phone."""

import asyncio
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from playwright.async_api import Page, expect
from temporalio import activity, workflow

from activities import stream
from starter.client import Session
from tests.browser.chats import SHOWN, Place, a_place, program_with_page
from tests.browser.pages import chromium
from tests.browser.screenshots import PICTURES
from tests.harness import WAIT, run_task, snapshot_when
from tests.servers import own_server, running
from workflows.contract import Config, TaskInput, TaskOutput
from workflows.kinds.approval import ask_approval

STORY = (
    "**Bananas** ripen from green to yellow:\n\n| day | colour |\n|---|---|\n| 1 | green |\n| 5 | yellow |\n"
    "| 9 | brown spots |\n\nKeep them out of the *fridge* until they are yellow. After that the cold keeps the fruit "
    "firm, although its skin turns dark; nothing is wrong with one that looks like that."
)
STORY_PAUSE = 0.25
"""Seconds between two words of it."""

PHONE = 390
"""Pixels of a phone's width."""


@activity.defn
async def tell() -> str:
    """Tells the story, word by word."""
    async with stream.emitting() as out:
        for word in STORY.split(" "):
            out.text(word + " ")
            await asyncio.sleep(STORY_PAUSE)
    return STORY + " "


@activity.defn
async def look_up(order: str) -> int:
    """What an order cost, in cents."""
    return len(order) * 2_100


@workflow.defn(name="Shop", sandboxed=False, failure_exception_types=[Exception])
class ShopWorkflow:
    """An agent whose model and tools are as simple as can be."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        """Refund what is to be refunded, and tell the story otherwise."""
        minute = timedelta(minutes=1)
        if "refund" not in task.input:
            return TaskOutput(
                output=await workflow.execute_activity(
                    tell, start_to_close_timeout=minute, heartbeat_timeout=minute, summary="ask the model"
                )
            )
        cents = await workflow.execute_activity(look_up, "A7", start_to_close_timeout=minute, summary="look_up A7")
        said = await ask_approval(task, "refund", {"order": "A7", "cents": cents})
        return TaskOutput(output=f"{said.approved}")


async def main() -> None:
    """Make them all."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp))
    (folder / "source").mkdir()
    program = await asyncio.to_thread(program_with_page, folder / "source", folder / "made")
    async with running(own_server()) as server, a_place(server, program, [ShopWorkflow], [tell, look_up]) as place:
        await _others(place)
        session = await place.harness.client.open("fruit", Config(owner="ada", title="Fruit"))
        await run_task(session, "What colour is a banana?")
        path = "/?session=fruit&owner=ada"
        await _streaming(place, session, path)
        await session.submit("Please refund order A7: the bananas were brown.", kind="Shop", task_id="refund")
        await session.submit("How big is the sun?")
        await session.submit("How far is the moon?")
        await snapshot_when(session, lambda seen: seen.status == "waiting")
        await _approval(place, path)
        await session.close("now")
        await session.finished(WAIT)


async def _others(place: Place) -> None:
    """What else stands at the side."""
    for name in ("space-talk", "lunch"):
        await run_task(await place.harness.client.open(name, Config(owner="ada")), "How big is the sun?")
    deploys = await place.harness.client.open("deploys", Config(owner="ada"))
    await deploys.submit("Deploy version 1.4", kind="Approve")
    await snapshot_when(deploys, lambda seen: seen.status == "waiting")


async def _streaming(place: Place, session: Session, path: str) -> None:
    """A text that is still coming."""
    await session.submit("How do they ripen, and where do I keep them?", kind="Shop", task_id="story", stream=True)
    async with place.window(path, height=640) as page:
        await expect(page.locator(".answer").last).to_contain_text("fridge", timeout=SHOWN)
        await page.locator("a.session").nth(3).wait_for()
        await _take(page, "chat-streaming")
    await session.result("story", WAIT)


async def _approval(place: Place, path: str) -> None:
    async with place.window(path, height=900) as page:
        await page.get_by_role("group", name="Question").wait_for()
        await page.locator("a.session").nth(3).wait_for()
        await _take(page, "chat-approval")
        await page.emulate_media(color_scheme="dark")
        await page.get_by_role("button", name="Edit arguments").click()
        await _take(page, "chat-dark")
    async with place.window(path, width=PHONE, height=780) as page:
        await page.get_by_role("group", name="Question").wait_for()
        await _take(page, "chat-phone")
        await page.get_by_role("button", name="Sessions").click()
        await _take(page, "chat-phone-side")


async def _take(page: Page, name: str) -> None:
    await asyncio.sleep(0.8)  # until what moves has come to rest
    await page.screenshot(path=PICTURES / f"{name}.png")


if __name__ == "__main__":
    if chromium() is None:
        sys.exit("no Chromium on this machine: apt-get install chromium")
    PICTURES.mkdir(exist_ok=True)
    asyncio.run(main())
