"""The page to chat on, in a real browser: what a person does there, and that nothing comes from or goes elsewhere.

NiceGUI is not in our environment: `make examples` makes one that has it. Where this one has it, it is used.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import httpx
import pytest

pytest.importorskip("playwright", reason="no Playwright: pip install playwright")

from playwright.async_api import Locator, Page, expect

from tests.browser.chats import SHOWN, Place, a_place, program_with_page
from tests.browser.pages import chromium
from tests.environments import INSTALL_SECONDS
from tests.harness import WAIT, run_task, snapshot_when
from tests.servers import Server
from workflows.contract import Config

pytestmark = [
    pytest.mark.environment,
    pytest.mark.timeout(INSTALL_SECONDS),
    pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine: apt-get install chromium"),
    pytest.mark.not_on_test_server("it lists no sessions by their owner"),
]

BANANA, YELLOW = "What colour is a banana?", "A ripe banana is yellow."
HOSTILE = (
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>\n\n"
    "![x](http://elsewhere.example/x.png) [link](javascript:window.hacked=3) "
    "<iframe src='http://elsewhere.example'></iframe> **bold**"
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The command line of an environment with the extra `web`."""
    return program_with_page(tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("web"))


@pytest.fixture(scope="module")
async def place(server: Server, program: tuple[str, ...]) -> AsyncIterator[Place]:
    async with a_place(server, program) as place:
        yield place


def _said(page: Page, words: str) -> Locator:
    return page.locator(".answer").filter(has_text=words)


async def _sees(found: Locator, count: int = 1) -> None:
    await expect(found).to_have_count(count, timeout=SHOWN)


async def _type(page: Page, words: str) -> None:
    await page.get_by_label("Message").fill(words)
    await page.get_by_label("Message").press("Enter")


async def test_a_first_message_opens_the_session_of_the_address_and_a_link_at_the_side_leads_there(
    place: Place,
) -> None:
    session_id, owner = f"{place.harness.queue}-first", f"ada-{place.harness.queue}"
    async with place.window(f"/?session={session_id}&owner={owner}") as page:
        await page.get_by_text("the first message opens it").wait_for()
        await _type(page, BANANA)
        await _sees(_said(page, YELLOW))
        await expect(page.get_by_label("Message")).to_have_value("")
    session = place.harness.client.get(session_id)
    assert owner == (await session.snapshot()).config.owner
    async with place.window(f"/?owner={owner}") as page:
        await _sees(page.locator("a.session"))
        await page.locator("a.session").click()
        await _sees(_said(page, YELLOW))
        await page.get_by_role("button", name="What it called").click()
        assert f"session={session_id}" in page.url
    await session.close()


async def test_a_text_shows_while_it_comes_in_both_windows_after_a_reload_and_once(place: Place) -> None:
    session = await place.harness.open(Config(default_kind="Recite"))
    words, begun = [f"word{number}" for number in range(30)], len(place.asked)
    async with place.window(f"/?session={session.id}") as one, place.window(f"/?session={session.id}") as two:
        await one.get_by_label("Message").wait_for()
        await _type(one, " ".join(words))
        for page in (one, two):
            await _sees(_said(page, "word2"))
        assert (await session.snapshot()).running
        await two.reload()
        await _sees(_said(two, "word5"))
        assert (await session.snapshot()).running
        for page in (one, two):
            await _sees(_said(page, "word29"))
            await expect(page.get_by_role("button", name="Cancel")).to_have_count(0, timeout=SHOWN)
            assert [" ".join(words)] == [text.strip() for text in await page.locator(".answer").all_inner_texts()]
        assert 3 == sum(url.startswith("ws:") for url in place.asked[begun:])  # none was cut off
    await session.close()


async def test_a_text_that_begins_again_with_the_next_worker_is_there_once(place: Place) -> None:
    session, words = await place.harness.open(), [f"w{number} " for number in range(12)]
    piece = {"words": words, "pause": 0.1, "fails": 1}
    task_id = await session.submit(piece, kind="Recite", stream=True)
    async with place.window(f"/?session={session.id}") as page:
        await _sees(_said(page, "w11"))
        await session.result(task_id, WAIT)
        await expect(page.get_by_role("button", name="Cancel")).to_have_count(0, timeout=SHOWN)
        assert ["".join(words).strip()] == [text.strip() for text in await page.locator(".answer").all_inner_texts()]
    await session.close()


async def test_leave_is_asked_for_with_all_arguments_and_given_with_others(place: Place) -> None:
    session = await place.harness.open(Config(default_kind="Leave a call"))
    task_id = await session.submit({"tool": "refund", "arguments": {"order": "A7", "cents": 4200}})
    await snapshot_when(session, lambda seen: seen.status == "waiting")  # nobody looks
    async with place.window(f"/?session={session.id}") as page:
        question = page.get_by_role("group", name="Question")
        await expect(question).to_contain_text('"cents": 4200', timeout=SHOWN)
        await question.get_by_role("button", name="Edit arguments").click()
        await question.get_by_label("Arguments").fill('{"cents": 1')
        await question.get_by_role("button", name="Approve").click()
        await expect(question).to_contain_text("Nothing is sent yet", timeout=SHOWN)
        assert (await session.snapshot()).status == "waiting"
        await question.get_by_label("Arguments").fill('{"cents": 1}')
        await question.get_by_role("button", name="Approve").click()
        await _sees(question, 0)
    assert [True, {"cents": 1}, True, None] == (await session.result(task_id, WAIT)).output
    task_id = await session.submit({"tool": "refund", "arguments": {"cents": 1}})
    async with place.window(f"/?session={session.id}", width=390) as page:
        await page.get_by_placeholder("Why not").fill("It was worn.")
        await page.get_by_role("button", name="Refuse").click()
        await _sees(page.get_by_role("group", name="Question"), 0)
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert 390 == wide  # nothing hangs over the edge of a phone
    assert [False, {"cents": 1}, False, "It was worn."] == (await session.result(task_id, WAIT)).output
    await session.close()


async def test_choices_are_buttons_and_a_question_without_any_takes_words(place: Place) -> None:
    session = await place.harness.open(Config(default_kind="Approve"))
    async with place.window(f"/?session={session.id}") as page:
        await page.get_by_label("Message").wait_for()
        await _type(page, "deploy")
        await page.get_by_role("button", name="yes").click()
        asked = page.get_by_role("group", name="Question").filter(has_text="Why?")
        await asked.get_by_placeholder("Answer").fill("it is Tuesday")
        await asked.get_by_role("button", name="Answer").click()
        await _sees(_said(page, '"why": "it is Tuesday"'))
    await session.close()


async def test_what_waits_and_what_runs_is_cancelled(place: Place) -> None:
    session = await place.harness.open()
    await session.submit(600, task_id="slow", kind="Countdown")
    async with place.window(f"/?session={session.id}") as page:
        await page.get_by_label("Message").wait_for()
        await _type(page, "first")
        await _type(page, "second")
        waiting = page.get_by_role("list", name="Queue").get_by_role("listitem")
        await _sees(waiting, 2)
        await waiting.filter(has_text="first").get_by_role("button", name="Cancel").click()
        await _sees(waiting)
        await page.locator("[data-cancels=slow]").click()
        await _sees(page.locator(".problem").filter(has_text="TaskCancelled"), 2)
        await _sees(page.get_by_role("button", name="Cancel"), 0)
    records = (await session.snapshot()).recent
    assert ["cancelled", "cancelled", "completed"] == sorted(record.status for record in records)
    await session.close()


async def test_nothing_that_a_model_says_runs_or_loads_anything_and_all_comes_from_loopback(place: Place) -> None:
    session = await place.harness.open()
    record = await run_task(session, HOSTILE, kind="Recite")
    assert str(record.output).startswith("<script>")
    async with place.window(f"/?session={session.id}") as page:
        await _sees(page.locator(".answer strong"))
        await asyncio.sleep(0.5)
        assert await page.evaluate("window.hacked === undefined")
        for kind in ("script", "img", "iframe", "[onerror]", "a[href^=javascript]"):
            await _sees(page.locator(f".exchanges {kind}"), 0)
    assert place.asked
    assert [] == [url for url in place.asked if url.split("/")[2].partition(":")[0] != "127.0.0.1"]
    await session.close()


@pytest.mark.parametrize("name", ["session", "owner"])
@pytest.mark.parametrize(
    "hostile", ["</script><script>window.hacked=1</script>", "${window.hacked=1}`", "{{window.hacked=1}}<img src=x>"]
)
async def test_a_hostile_address_is_drawn_as_it_is(place: Place, name: str, hostile: str) -> None:
    async with place.window(f"/?{urlencode({name: hostile})}") as page:
        await page.get_by_role("button", name="Sessions").wait_for()
        if name == "owner":
            await expect(page.get_by_label("Owner")).to_have_value(hostile, timeout=SHOWN)
        else:
            await _sees(page.locator(".title").filter(has_text=hostile))
        assert await page.evaluate("window.hacked === undefined")
        await _sees(page.locator("img"), 0)


async def test_a_page_of_another_origin_can_neither_read_nor_drive_nor_frame_it(place: Place) -> None:
    tried = (
        "new Promise(done => { const socket = new WebSocket("
        f"'{place.url.replace('http', 'ws')}/_nicegui_ws/socket.io/?EIO=4&transport=websocket');"
        " socket.onopen = () => done('open'); socket.onerror = () => done('refused'); })"
    )
    async with place.window("/healthz") as page:  # of the same origin
        assert "open" == await page.evaluate(tried)
        await page.goto("about:blank")
        assert "refused" == await page.evaluate(tried)
        await page.set_content(f"<iframe src='{place.url}/'></iframe>")
        await asyncio.sleep(0.5)
        assert 0 == await page.frame_locator("iframe").get_by_label("Sessions").count()
    async with httpx.AsyncClient() as client:
        assert 421 == (await client.get(f"{place.url}/", headers={"host": "elsewhere.example"})).status_code
        cross = {"origin": "http://elsewhere.example"}
        assert 403 == (await client.post(f"{place.url}/_nicegui_ws/socket.io/", headers=cross)).status_code


async def test_the_page_is_dark_where_the_system_is_and_its_side_is_away_on_a_phone(place: Place) -> None:
    session = await place.harness.open(Config(owner=place.harness.queue))
    async with place.window(f"/?session={session.id}&owner={place.harness.queue}", width=390) as page:
        await page.get_by_label("Message").wait_for()
        back = "getComputedStyle(document.body).backgroundColor"
        light = await page.evaluate(back)
        await page.emulate_media(color_scheme="dark")
        await page.wait_for_function(f"{back} !== '{light}'")
        link = page.locator("a.session").filter(has_text=session.id)
        await expect(link).not_to_be_in_viewport(timeout=SHOWN)
        await page.get_by_role("button", name="Sessions").click()
        await expect(link).to_be_in_viewport(timeout=SHOWN)
    await session.close()


async def test_the_command_prints_its_address_and_ends_by_ctrl_c(place: Place, program: tuple[str, ...]) -> None:
    started = await asyncio.create_subprocess_exec(
        *(*program, "chat", "demo", "--web", "--owner", "ada", "--no-open"),
        env={**os.environ, "TEMPORAL_ADDRESS": place.server.address},
        stdout=asyncio.subprocess.PIPE,
    )
    assert started.stdout
    try:
        url = (await asyncio.wait_for(started.stdout.readline(), WAIT)).decode().strip()
        assert url.endswith("/?session=demo&owner=ada")
        async with httpx.AsyncClient() as client:
            assert 200 == (await client.get(url)).status_code
    finally:
        started.send_signal(signal.SIGINT)
        code = await asyncio.wait_for(started.wait(), WAIT)
    assert 0 == code
